"""What a StorageVolume asks of whoever keeps its data: a share agent, or the worker of a filer."""

from dataclasses import dataclass

from moorage.model import VolumeOnDelete


@dataclass(frozen=True, slots=True)
class WantedVolume:
    """`size`: bytes. `deleting` without `release`: somebody may still hold it."""

    id: str
    namespace: str
    name: str
    uid: str
    size: int
    deleting: bool = False
    release: VolumeOnDelete | None = None

    @property
    def released(self) -> VolumeOnDelete | None:
        """Data may go only for a volume that is being deleted, and only on the operator's word."""
        return self.release if self.deleting else None
