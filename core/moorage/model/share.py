"""Share: how an agent serves a volume, as the volume's status tells it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from moorage.model.base import Bytes, Message, Model, Reason


class ShareState(StrEnum):
    """Creating, Served, Failed or Released."""

    Creating = "Creating"
    Served = "Served"
    Failed = "Failed"
    Released = "Released"


class Share(Model):
    """What the share agent sees of the share; written only by the agent (its own field manager)."""

    state: ShareState
    """Creating; Served: nodes can mount it; Failed: see reason; Released: unexported, its data gone or kept."""
    server: Annotated[str, Field(max_length=253)]
    """The server (pod) that holds the share."""
    address: Annotated[str, Field(max_length=253)] = ""
    """DNS name or address that nodes mount from."""
    path: Annotated[str, Field(max_length=512)] = ""
    """NFS path of the export."""
    export_id: Annotated[int, Field(ge=0, le=65535, json_schema_extra={"format": "int32"})] = 0
    """Number of the export on its server."""
    size_bytes: Bytes = 0
    """Size that the file system enforces, in bytes."""
    reason: Reason = ""
    """Why the share is Failed, in one CamelCase word."""
    message: Message = ""
    """Why the share is Failed, and what to do."""
