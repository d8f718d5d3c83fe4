"""A snapshot on the NFS server's pool: a file that shares its blocks with a volume's image. Wanted and seen -> actions.

A snapshot is taken once. It has its record from then on, and is kept until its StorageSnapshot is deleted and
released: one whose StorageSnapshot vanished otherwise stays on the pool.
"""

from dataclasses import dataclass
from typing import Self

from moorage.model import ImageState, SnapshotImage
from moorage.record import Record, SnapshotRecord

NOT_OFFERED = (
    "the pool's file system cannot share blocks between files, so there are no snapshots and clones on this server:"
    " use XFS (mkfs.xfs with reflink=1, its default) for the pool"
)
NOT_YET = "NotReady"  # a reason that passes by itself: the snapshot is Creating, and not Failed
_MESSAGE_MAX = 1024


@dataclass(frozen=True, slots=True)
class WantedSnapshot:
    """What a StorageSnapshot asks of this server. `told` is what its status says of the snapshot so far."""

    id: str
    namespace: str
    name: str
    uid: str
    volume_id: str
    volume_name: str
    deleting: bool = False
    release: bool = False
    told: SnapshotImage | None = None

    @property
    def released(self) -> bool:
        """Only one that is being deleted may go, and only on the operator's word."""
        return self.deleting and self.release


@dataclass(frozen=True, slots=True)
class SeenSnapshot:
    """What is on the pool. `image_bytes` is 0 without an image, `shown_bytes` while the volume is not mounted."""

    record: SnapshotRecord | None = None
    image_bytes: int = 0
    unfinished: bool = False
    volume: Record | None = None
    volume_image_bytes: int = 0
    shown_bytes: int = 0
    clones: bool = True


@dataclass(frozen=True, slots=True)
class EnsureTaken:
    """Image and record; `size` is what `df` shows of the volume."""

    wanted: WantedSnapshot
    size: int


@dataclass(frozen=True, slots=True)
class EnsureSnapshotAbsent:
    id: str


Action = EnsureTaken | EnsureSnapshotAbsent


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """Actions in order, and the trouble that they cannot cure, if any."""

    actions: tuple[Action, ...] = ()
    reason: str = ""
    message: str = ""

    @classmethod
    def stuck(cls, reason: str, message: str) -> Self:
        return cls((), reason, message)


def plan(snapshot_id: str, wanted: WantedSnapshot | None, seen: SeenSnapshot) -> SnapshotPlan:
    """What to do for one snapshot. `wanted` is None when it is known that no StorageSnapshot has this id."""
    if wanted is None:
        begun = seen.unfinished and not seen.record and not seen.image_bytes
        return SnapshotPlan((EnsureSnapshotAbsent(snapshot_id),) if begun else ())
    if seen.record and seen.record.uid != wanted.uid:
        return _taken_id(wanted)
    if wanted.released:
        there = seen.record or seen.image_bytes or seen.unfinished
        return SnapshotPlan((EnsureSnapshotAbsent(snapshot_id),) if there else ())
    if not seen.record:
        return _take(wanted, seen)
    if not seen.image_bytes:
        text = (
            f"the image of snapshot {wanted.id} is gone from the pool: restore snapshots/{wanted.id}/image, or delete"
        )
        return SnapshotPlan.stuck("ImageMissing", f"{text} this StorageSnapshot")
    return SnapshotPlan()


def _taken_id(wanted: WantedSnapshot) -> SnapshotPlan:
    """An id is short: two snapshots may have the same, and one tenant must not get another's data by that."""
    if wanted.released:
        return SnapshotPlan()
    text = f"another snapshot on the pool has the id {wanted.id}: delete this StorageSnapshot and make it again"
    return SnapshotPlan.stuck("IdTaken", text)


def _take(wanted: WantedSnapshot, seen: SeenSnapshot) -> SnapshotPlan:
    if wanted.told and wanted.told.taken:
        text = f"the pool holds nothing of snapshot {wanted.id}, which was taken before: is this the right pool?"
        return SnapshotPlan.stuck("SnapshotMissing", f"{text} Bring its pool back, or delete this StorageSnapshot")
    if wanted.deleting:
        return SnapshotPlan()
    if not seen.volume or not seen.volume_image_bytes or seen.volume.namespace != wanted.namespace:
        text = f"StorageVolume {wanted.volume_name} has no share {wanted.volume_id} on this server"
        return SnapshotPlan.stuck(
            "VolumeMissing", f"{text}: see its status, and delete this StorageSnapshot if it is gone"
        )
    if not seen.clones:
        return SnapshotPlan.stuck("ClonesNotOffered", NOT_OFFERED)
    if not seen.shown_bytes:
        return SnapshotPlan.stuck(NOT_YET, f"StorageVolume {wanted.volume_name} is not mounted on this server yet")
    return SnapshotPlan((EnsureTaken(wanted, seen.shown_bytes),))


def status(server: str, wanted: WantedSnapshot, seen: SeenSnapshot, reason: str, message: str) -> SnapshotImage:
    """What `status.image` says. What was said to be taken stays said: it tells that there was data once."""
    mine = seen.record if seen.record and seen.record.uid == wanted.uid else None
    size, taken = (mine.size, mine.taken) if mine else (0, None)
    if not mine and wanted.told:
        size, taken = wanted.told.size_bytes, wanted.told.taken
    return SnapshotImage(
        state=_state(wanted, mine, reason, message),
        server=server,
        size_bytes=size,
        taken=taken,
        reason=reason,
        message=message[:_MESSAGE_MAX],
    )


def _state(wanted: WantedSnapshot, mine: SnapshotRecord | None, reason: str, message: str) -> ImageState:
    if message and reason != NOT_YET:
        return ImageState.Failed
    if wanted.released:
        return ImageState.Creating if mine else ImageState.Released
    return ImageState.Ready if mine and not message else ImageState.Creating
