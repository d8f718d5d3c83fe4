"""A StorageVolume and what was seen around it: the input of its plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage import conditions, engines, names, placement
from moorage.actions import Manifest, Problem
from moorage.berth import Room
from moorage.holders import Uses
from moorage.model import Bucket, Placement, StorageBackend, StorageSnapshot, StorageVolume, VolumeType
from moorage.transit import SeenAttachment


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A StorageVolume and what was seen around it.

    `bucket`: the Bucket that the volume shows, or that has the name of the one it would own. `claim` and
    `persistent_volume`: what stands under the names that the operator would use. `holders`: who uses the volume, in
    words; listed freshly, after the status that is in `volume` was read, when the volume is being deleted. `users`:
    the pods that use it, as the watches have shown them; `attachments`: its StorageAttachments. `room`: what is known
    of servers besides their own words. `source`: what spec.source names. `node_gone`: a local volume's node was removed
    from the cluster. `labels`: of the volume's namespace, None where they are not known.
    """

    volume: StorageVolume
    now: str
    backends: tuple[StorageBackend, ...] = ()
    bucket: Bucket | None = None
    claim: Manifest | None = None
    persistent_volume: Manifest | None = None
    holders: tuple[str, ...] = ()
    users: dict[tuple[str, str], Uses] = field(default_factory=dict[tuple[str, str], Uses])
    attachments: tuple[SeenAttachment, ...] = ()
    room: Room = field(default_factory=Room)
    source: StorageSnapshot | StorageVolume | None = None
    node_gone: bool = False
    labels: Mapping[str, str] | None = None

    @property
    def id(self) -> str:
        return self.volume.status.id or names.short_id(self.volume.metadata["uid"])

    @property
    def owns_bucket(self) -> bool:
        return self.volume.spec.type == VolumeType.object and self.volume.spec.bucket is None

    @property
    def backend(self) -> StorageBackend | None:
        """The backend that the volume was placed on, if it still exists."""
        placed = self.volume.status.placement
        return next((each for each in self.backends if placed and each.metadata["name"] == placed.backend), None)


def backend_trouble(facts: VolumeFacts) -> Problem | None:
    """What is wrong with the backend that the volume was placed on, or with its server there."""
    placed = facts.volume.status.placement
    return trouble_at(placed, facts.backend, facts.room) if placed else None


def trouble_at(placed: Placement, backend: StorageBackend | None, room: Room) -> Problem | None:
    """What is wrong with the backend (the one that was placed on, if it still exists), or with the server there."""
    if backend is None:
        return Problem("BackendNotFound", f"StorageBackend {placed.backend} does not exist any more: create it again")
    if not conditions.is_true(backend.status.conditions, conditions.READY):
        return Problem("BackendNotReady", f"StorageBackend {placed.backend}: {placement.why_not_ready(backend)}")
    why = room.why_silent(placed)
    text = f"server {placed.server} of StorageBackend {placed.backend} does not answer: {why}"
    reason = "NodeNotReady" if placed.engine == engines.LOCAL else "ServerNotReady"
    return Problem(reason, text) if why else None
