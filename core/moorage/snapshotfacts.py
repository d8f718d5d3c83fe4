"""A StorageSnapshot and what was seen around it: the input of its plans."""

from dataclasses import dataclass, field

from moorage import names
from moorage.berth import Room
from moorage.model import StorageBackend, StorageSnapshot, StorageVolume


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """A StorageSnapshot and what was seen around it.

    `volume`: the StorageVolume that spec.volume names. `holders`: the volumes that begin with the snapshot and are not
    served yet, in words. Only the operator lets volumes begin, by what its watches have shown, and the same watches
    show it the holders: no fresh list is needed. `room`: what is known of servers besides their own words.
    """

    snapshot: StorageSnapshot
    now: str
    backends: tuple[StorageBackend, ...] = ()
    volume: StorageVolume | None = None
    holders: tuple[str, ...] = ()
    room: Room = field(default_factory=Room)

    @property
    def id(self) -> str:
        return self.snapshot.status.id or names.short_id(self.snapshot.metadata["uid"])

    @property
    def backend(self) -> StorageBackend | None:
        """The backend that the snapshot is on, if it still exists."""
        placed = self.snapshot.status.placement
        return next((each for each in self.backends if placed and each.metadata["name"] == placed.backend), None)
