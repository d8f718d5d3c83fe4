"""StorageSnapshot: a shared volume as it was at one moment."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
from moorage.model.base import (
    AGE,
    LABEL_RULE,
    MESSAGE,
    NAME_PATH,
    PHASE,
    READY,
    REASON,
    Bytes,
    Column,
    Generation,
    Label,
    Message,
    Model,
    Moment,
    Phase,
    Placement,
    Reason,
    Resource,
    Rule,
    ShortId,
    constant,
)
from moorage.model.condition import Conditions


class StorageSnapshotSpec(Model):
    """What to keep."""

    rules: ClassVar[tuple[Rule, ...]] = (constant("volume", "make another StorageSnapshot"),)

    volume: Annotated[Label, Field(max_length=names.NAME_MAX)]
    """A shared StorageVolume in the same namespace, on a backend with engine ganesha. Cannot be changed."""


class ImageState(StrEnum):
    """Creating, Ready, Failed or Released."""

    Creating = "Creating"
    Ready = "Ready"
    Failed = "Failed"
    Released = "Released"


class SnapshotImage(Model):
    """What the share agent sees of the snapshot; written only by the agent (its own field manager)."""

    state: ImageState
    """Creating; Ready: volumes can be made from it; Failed: see reason; Released: its data is gone."""
    server: Annotated[str, Field(max_length=253)]
    """The server (pod) that holds it."""
    size_bytes: Bytes = 0
    """Size of the volume when it was taken: the least size of a volume made from it, in bytes."""
    taken: Moment | None = None
    """When it was taken (RFC 3339)."""
    reason: Reason = ""
    """Why it is Failed, in one CamelCase word."""
    message: Message = ""
    """Why it is Failed, and what to do."""


class StorageSnapshotStatus(Model):
    """What the operator and the share agent know of the snapshot."""

    phase: Phase | None = None
    """PENDING, PROVISIONING, READY, DESTROYING, DESTROYED or FAILED. Derived from the conditions."""
    phase_since: Moment | None = None
    """When `phase` last changed (RFC 3339)."""
    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    id: ShortId = ""
    """Short id of this snapshot."""
    placement: Placement | None = None
    """Where the volume is, and with it the snapshot; never changes afterwards."""
    volume_id: ShortId = ""
    """Short id of the incarnation of the volume that it was taken of; never changes afterwards."""
    size: Annotated[str | None, Field(max_length=20)] = None
    """Size of the volume when it was taken, in bytes with a unit."""
    release: bool = False
    """Set when a deleted snapshot is needed by nobody any more: the share agent may now destroy it."""
    image: SnapshotImage | None = None
    """What the share agent sees of it; written only by the agent."""
    conditions: Conditions = ()
    """The truth that the phase is derived from."""


class StorageSnapshot(Resource):
    """A shared volume as it was at one moment. New volumes begin with it by spec.source; it outlives its volume."""

    plural: ClassVar[str] = "storagesnapshots"
    short_names: ClassVar[tuple[str, ...]] = ("ssnap",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Volume", path=".spec.volume", description="The StorageVolume that it was taken of."),
        Column(name="Size", path=".status.size", description="Size of the volume when it was taken."),
        PHASE,
        READY,
        Column(name="Taken", path=".status.image.taken", description="When it was taken.", type="date"),
        REASON,
        MESSAGE,
        AGE,
    )
    selectable: ClassVar[tuple[str, ...]] = (".spec.volume", ".status.phase", ".status.placement.server")
    rules: ClassVar[tuple[Rule, ...]] = (
        LABEL_RULE,
        Rule(
            rule=f"size(self.metadata.name) <= {names.NAME_MAX}",
            message=f"name the snapshot with at most {names.NAME_MAX} characters",
            field_path=NAME_PATH,
        ),
    )

    spec: StorageSnapshotSpec
    """What to keep. Cannot be changed."""
    status: StorageSnapshotStatus = StorageSnapshotStatus()
    """What is known of the snapshot; written by the operator and the share agent."""
