"""Who may write to the root folder of a volume: its mode, its owner, and whom the server squashes."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from moorage.model.base import Model, matching


class Squash(StrEnum):
    """None, Root or All."""

    none = "None"
    Root = "Root"
    All = "All"


class RootFolder(Model):
    """The root folder of a new volume."""

    mode: Annotated[
        str, Field(max_length=5), matching("^[0-2]?[0-7]{3}$", "write an octal mode, such as 0770 or 2775, in quotes")
    ] = "0777"
    """Its mode, in octal. 0777: every pod may write, whatever user it runs as."""
    uid: Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int64"})] = 0
    """The user that owns it, by number."""
    gid: Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int64"})] = 0
    """The group that owns it, by number."""
