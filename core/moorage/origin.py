"""What a volume with spec.source begins with: the snapshot or volume, whether it is there, and where."""

from dataclasses import dataclass

from moorage import conditions
from moorage.actions import Problem
from moorage.engines import CLONES_NOT_OFFERED
from moorage.model import ImageState, Placement, ShareState, StorageSnapshot, StorageVolume, VolumeSource, VolumeType

NOT_FOUND = "SourceNotFound"
NOT_READY = "SourceNotReady"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a volume begins with: `words` for messages ("StorageSnapshot monday"), where it is, its size in bytes."""

    words: str
    placement: Placement
    size: int


def find(asked: VolumeSource, namespace: str, found: StorageSnapshot | StorageVolume | None) -> Origin | Problem:
    """The origin, or why there is none yet. One that is being deleted still serves: it waits for its clones."""
    words = _words(asked)
    if found is None:
        return Problem(NOT_FOUND, f"{words} does not exist in namespace {namespace}: create it, or name another one")
    if isinstance(found, StorageVolume) and found.spec.type != VolumeType.shared:
        text = f"{words} is of type {found.spec.type.value}, and only shared volumes can be cloned"
        return Problem(CLONES_NOT_OFFERED, f"{text}: make an empty volume and copy the data")
    status = found.status
    size = _snapshot_size(found) if isinstance(found, StorageSnapshot) else _volume_size(found)
    if status.placement is None or size is None:
        said = conditions.message_of(status.conditions, conditions.READY) or "nobody has looked at it yet"
        return Problem(NOT_READY, f"waiting for {words}, which is {status.phase or 'PENDING'}: {said}")
    return Origin(words, status.placement, size)


def _words(asked: VolumeSource) -> str:
    return f"StorageSnapshot {asked.snapshot}" if asked.snapshot else f"StorageVolume {asked.volume}"


def _snapshot_size(snapshot: StorageSnapshot) -> int | None:
    image = snapshot.status.image
    return image.size_bytes if image and image.state == ImageState.Ready and not snapshot.status.release else None


def _volume_size(volume: StorageVolume) -> int | None:
    """None while it is not served. On a filer nothing makes clones: its size does not matter."""
    share = volume.status.share
    if share is None or share.state == ShareState.Released or volume.status.release:
        return None
    served = share.state == ShareState.Served or share.size_bytes > 0
    return share.size_bytes if served else None


def is_waited_for(volume: StorageVolume) -> bool:
    """Whether the volume still needs its source: it has one, is wanted, and is not served yet."""
    share = volume.status.share
    served = share is not None and share.state == ShareState.Served
    return volume.spec.source is not None and "deletionTimestamp" not in volume.metadata and not served
