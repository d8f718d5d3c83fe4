"""A share of the NFS server: an XFS image on the pool, mounted, exported. What is wanted and seen -> what to do.

Size. The image is the size asked plus 64 MiB, and mkfs.xfs is told to make a log of exactly 64 MiB inside it. XFS
counts every block but the log in statfs (`f_blocks = sb_dblocks - sb_logblocks`), so `df` shows the size asked, to
the byte when it is a multiple of 4 KiB (it is rounded up to one). A grown file system drops a last allocation group
of fewer than 64 blocks, so the grown image gets that much more where needed: never less than asked.
"""

from dataclasses import dataclass, replace
from typing import Self

from pydantic import Field

from moorage import ganesha
from moorage.ganesha import Export
from moorage.model import Model, OnDelete

BLOCK = 4096
LOG_BYTES = 64 * 2**20
SMALLEST = 256 * 2**20  # mkfs.xfs refuses file systems under 300 MB; the log is 64 MiB of that
POOL_RESERVE = 16 * 2**20  # left for share.json files and the NFS recovery records
SMALLEST_GROUP = 64 * BLOCK  # XFS_MIN_AG_BLOCKS of the kernel's growfs
POOL_VERSION = 1


class Record(Model):
    """`share.json` beside the image: what must outlive the agent, the pod and the cluster."""

    version: int = POOL_VERSION
    id: str
    namespace: str
    name: str
    uid: str
    export_id: int
    size: int
    retained: bool = False


class PoolState(Model):
    """`pool.json` at the top of the pool: the format's version, the next export id, the last known node addresses."""

    version: int = POOL_VERSION
    next_export_id: int = 1
    clients: tuple[str, ...] = Field(default=())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a StorageVolume asks of this server. `deleting` without `release`: somebody may still hold it.

    `export_id` is the one in its status, 0 for a volume that was never served: one that was served has data.
    """

    id: str
    namespace: str
    name: str
    uid: str
    size: int
    deleting: bool = False
    release: OnDelete | None = None
    export_id: int = 0

    @property
    def released(self) -> OnDelete | None:
        """Data may go only for a volume that is being deleted, and only on the operator's word."""
        return self.release if self.deleting else None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there: on the pool, in the mount table, in Ganesha. Sizes in bytes, 0 when absent."""

    record: Record | None = None
    image_bytes: int = 0
    fs_bytes: int = 0
    mounted: bool = False
    exported: Export | None = None


@dataclass(frozen=True, slots=True)
class EnsureImage:
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class EnsureMounted:
    id: str


@dataclass(frozen=True, slots=True)
class EnsureGrown:
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class EnsureExported:
    export: Export


@dataclass(frozen=True, slots=True)
class EnsureUnexported:
    export_id: int


@dataclass(frozen=True, slots=True)
class EnsureUnmounted:
    id: str


@dataclass(frozen=True, slots=True)
class EnsureRetained:
    """Say in the record whether the share is kept out of service."""

    id: str
    retained: bool = True


@dataclass(frozen=True, slots=True)
class EnsureAbsent:
    id: str


Action = (
    EnsureImage
    | EnsureMounted
    | EnsureGrown
    | EnsureExported
    | EnsureUnexported
    | EnsureUnmounted
    | EnsureRetained
    | EnsureAbsent
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where this server mounts shares, and whom it admits."""

    export_root: str
    clients: tuple[str, ...]

    def mount_point(self, volume_id: str) -> str:
        return f"{self.export_root}/{volume_id}"

    def export(self, record: Record) -> Export:
        return Export(record.export_id, self.mount_point(record.id), ganesha.pseudo_path(record.id), self.clients)


def with_export(seen: Seen, exported: Export | None) -> Seen:
    """What was seen on the disk, and what Ganesha says."""
    return replace(seen, exported=exported)


def usable_bytes(size: int) -> int:
    """The size that a share of `size` bytes gets: whole blocks, and never under the smallest file system."""
    return max(-(-size // BLOCK) * BLOCK, SMALLEST)


def image_bytes(size: int) -> int:
    """Bytes of a fresh image for `size` usable bytes."""
    return usable_bytes(size) + LOG_BYTES


def grown_image_bytes(size: int, group_bytes: int) -> int:
    """Bytes that an image with allocation groups of `group_bytes` must have to show `size` usable bytes."""
    target = image_bytes(size)
    last = target % group_bytes
    return target - last + SMALLEST_GROUP if 0 < last < SMALLEST_GROUP else target


def group_bytes(superblock: bytes) -> int:
    """Size of an allocation group, from the first 96 bytes of an XFS file system (xfs_dsb: big endian)."""
    if superblock[:4] != b"XFSB":
        raise ValueError("the image does not begin with an XFS superblock")
    block_size = int.from_bytes(superblock[4:8], "big")
    return block_size * int.from_bytes(superblock[84:88], "big")


def room(free: int) -> int:
    """Usable bytes of the largest share that would still fit on a pool with `free` bytes."""
    return max(0, free - POOL_RESERVE - LOG_BYTES)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order, and the trouble that they cannot cure (a reason and a message), if any."""

    actions: tuple[Action, ...] = ()
    reason: str = ""
    message: str = ""

    @classmethod
    def stuck(cls, reason: str, message: str, *actions: Action) -> Self:
        return cls(actions, reason, message)


def plan(wanted: Wanted | None, seen: Seen, place: Place) -> Plan:
    """What to do for one share. `wanted` is None for an orphan: data on the pool that no StorageVolume owns.

    Data is removed only for a volume that is being deleted and released; an orphan is served no more, and kept.
    """
    if wanted is None:
        return Plan(_out_of_service(seen))
    if wanted.released is OnDelete.Delete:
        return Plan((*_out_of_service(seen), EnsureAbsent(wanted.id)) if _on_disk(seen) else _out_of_service(seen))
    if wanted.released is OnDelete.Retain:
        mark = (EnsureRetained(wanted.id),) if seen.record and not seen.record.retained else ()
        return Plan((*_out_of_service(seen), *mark))
    return _serve(wanted, seen, place)


def _serve(wanted: Wanted, seen: Seen, place: Place) -> Plan:
    if not seen.record:
        return _without_record(wanted)
    if not seen.image_bytes:
        return _without_image(wanted, seen)
    if seen.record.retained:
        return Plan((EnsureRetained(wanted.id, retained=False),))
    if not seen.mounted:
        # An export made over the bare folder must go first: Ganesha holds on to the directory that it opened.
        return Plan((*_out_of_service(seen), EnsureMounted(wanted.id)))
    return _mounted(wanted, seen, place, seen.record)


def _without_record(wanted: Wanted) -> Plan:
    """A new share; but never an empty one for a volume that was served: then this is the wrong pool, or a lost one."""
    if wanted.export_id:
        text = f"the pool holds nothing of share {wanted.id}, which was served before: is this the right pool?"
        return Plan.stuck("ShareMissing", f"{text} Bring its pool back, or delete the volume")
    return Plan() if wanted.deleting else Plan((EnsureImage(wanted), EnsureMounted(wanted.id)))


def _mounted(wanted: Wanted, seen: Seen, place: Place, record: Record) -> Plan:
    """Exported first, grown afterwards: a full pool must not keep an existing share from being served."""
    short = seen.fs_bytes < usable_bytes(wanted.size) and not wanted.deleting
    grow = (EnsureGrown(wanted.id, usable_bytes(wanted.size)),) if short else ()
    if not place.clients:
        return Plan.stuck("NoClients", "no node address is known yet: the share is not exported", *grow)
    export = place.export(record)
    return Plan(grow if seen.exported == export else (EnsureExported(export), *grow))


def _without_image(wanted: Wanted, seen: Seen) -> Plan:
    """Never an empty image in the place of one that held data. While it is mounted its data can still be copied."""
    text = f"the image of share {wanted.id} is gone from the pool: restore volumes/{wanted.id}/image"
    if seen.mounted:
        return Plan.stuck("ImageMissing", f"{text}; copy the data away through a pod before this server restarts")
    return Plan.stuck("ImageMissing", text, *_out_of_service(seen))


def _out_of_service(seen: Seen) -> tuple[Action, ...]:
    """Unexport before unmount: Ganesha holds the mount busy."""
    actions: list[Action] = []
    if seen.exported:
        actions.append(EnsureUnexported(seen.exported.export_id))
    if seen.mounted and seen.record:
        actions.append(EnsureUnmounted(seen.record.id))
    return tuple(actions)


def _on_disk(seen: Seen) -> bool:
    return bool(seen.record or seen.image_bytes)
