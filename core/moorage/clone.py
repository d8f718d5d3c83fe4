"""A new share that begins as a snapshot or another share, by sharing blocks: what it asks, and why it may not (yet)."""

from dataclasses import dataclass
from typing import Self

from moorage import quantity
from moorage.actions import Problem
from moorage.imagesize import usable_bytes
from moorage.model import VolumeSource
from moorage.snapshotshare import NOT_OFFERED

NOT_YET = "SourceNotReady"  # a reason that passes by itself: the share is Creating, and not Failed


@dataclass(frozen=True, slots=True)
class Asked:
    """A source by kind and name; it is in the volume's own namespace."""

    kind: str
    name: str

    @classmethod
    def of(cls, source: VolumeSource | None) -> Self | None:
        if source and source.snapshot:
            return cls("snapshot", source.snapshot)
        return cls("volume", source.volume) if source and source.volume else None

    @property
    def is_snapshot(self) -> bool:
        return self.kind == "snapshot"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def words(self) -> str:
        return f"{'StorageSnapshot' if self.is_snapshot else 'StorageVolume'} {self.name}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The source as it is found: on which server ("" when not placed), and there, once it can be cloned, its size."""

    id: str
    server: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Here:
    """The server that looks: its name, and whether files on its pool can share blocks."""

    server: str
    clones: bool


def refusal(asked: Asked, size: int, origin: Origin | None, here: Here) -> Problem | None:
    """Why a volume of `size` bytes cannot begin with what it asks for (yet). Each passes when its cause goes."""
    if origin is None:
        text = f"there is no {asked.words} in this namespace: make it, or delete this volume"
        return Problem("SourceNotFound", text)
    if origin.server and origin.server != here.server:
        text = f"{asked.words} is on server {origin.server}, this volume on {here.server}: delete it and make it again"
        return Problem("SourceElsewhere", text)
    if not here.clones:
        return Problem("ClonesNotOffered", NOT_OFFERED)
    if not origin.size:
        return Problem(NOT_YET, f"{asked.words} is not ready yet: see its status")
    if usable_bytes(size) < origin.size:
        least = quantity.format(origin.size)
        return Problem("SourceTooSmall", f"{asked.words} has {least}: write at least size: {least}")
    return None
