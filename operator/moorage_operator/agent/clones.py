"""Images that begin with the files of a snapshot or of another share, without copying them."""

import os
from contextlib import suppress
from pathlib import Path

from moorage import clone, imagesize
from moorage.actions import Problem
from moorage.clone import Here, Origin
from moorage.errors import MoorageError
from moorage.share import Wanted
from moorage_operator.agent import extents, reflink
from moorage_operator.agent.allocation import allocate
from moorage_operator.agent.command import run
from moorage_operator.agent.files import sync_file, sync_folder
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.origins import Origins
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.snapshotpool import LOOK, SnapshotPool

_UUID_DEADLINE = 120.0


class Clones:
    """Blocking; called in threads, for one share by one thread at a time."""

    def __init__(self, pool: Pool, snapshots: SnapshotPool, mounts: Mounts, origins: Origins, server: str) -> None:
        self._pool = pool
        self._snapshots = snapshots
        self._mounts = mounts
        self._origins = origins
        self._server = server

    def beginning(self, wanted: Wanted) -> Origin | Problem | None:
        """What a volume with a source begins with, or why it cannot (yet)."""
        if not wanted.source:
            return None
        origin = self._origins.find(wanted.namespace, wanted.source)
        refused = clone.refusal(wanted.source, wanted.size, origin, Here(self._server, self._pool.clones))
        return refused or origin

    def ensure_cloned(self, wanted: Wanted, origin: Origin) -> None:
        """A mountable image and its record, which comes last; each attempt begins anew."""
        image = self._pool.image(wanted.id)
        if not image.exists():
            self._make(wanted, origin, image)
        self._pool.ensure_image(wanted)

    def ensure_no_leftovers(self, volume_id: str) -> None:
        """A crash may have left an unfinished image mounted."""
        self._mounts.ensure_unmounted(_scratch(volume_id))

    def _make(self, wanted: Wanted, origin: Origin, image: Path) -> None:
        from_snapshot = _from_snapshot(wanted)
        source = self._snapshots.image(origin.id) if from_snapshot else self._pool.image(origin.id)
        fresh = image.with_name("image.tmp")
        self.ensure_no_leftovers(wanted.id)
        image.parent.mkdir(exist_ok=True)
        fresh.unlink(missing_ok=True)
        if not from_snapshot:
            reflink.sync_file_system(self._mounts.point(origin.id))
        try:
            self._share(wanted, origin, source, fresh)
        except BaseException:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        sync_folder(image.parent)
        sync_folder(self._pool.volumes)

    def _share(self, wanted: Wanted, origin: Origin, source: Path, fresh: Path) -> None:
        """Blocks that hold nothing are reserved, those that are shared are promised: they may be copied later."""
        room, image, length = self._pool.room, fresh.with_name("image"), _length(source, wanted, origin)
        copies, rest = self._need(wanted, origin, source, length)
        with room.promise(copies + rest) as promise:
            reflink.clone_file(source, fresh)
            with room.taking:
                promise.bytes = copies
                _lengthen(fresh, length, wanted.sparse)
                room.check(0)
            self._settle(source, fresh, wanted)
            with room.taking:
                fresh.rename(image)
                for path in {image} if _from_snapshot(wanted) else {image, source}:
                    room.renew(path)
                promise.bytes = 0

    def _need(self, wanted: Wanted, origin: Origin, source: Path, length: int) -> tuple[int, int]:
        """Bytes for copies of shared blocks, and for the rest of the image.

        A snapshot is never written to, so it needs no copies; an overcommitted image was promised nothing.
        """
        found = extents.look(source, LOOK, sync=True)
        volume = None if _from_snapshot(wanted) else self._pool.record(origin.id)
        copies = found.own if volume and not volume.sparse else 0
        if wanted.sparse:
            return imagesize.copies_bytes(copies), imagesize.LOG_BYTES
        return imagesize.copies_bytes(copies + found.written), max(0, length - found.written)

    def _settle(self, source: Path, fresh: Path, wanted: Wanted) -> None:
        """Replay the log of what was in use, and a name of its own: XFS and NFS handles tell file systems by UUID."""
        self._mounts.replay(fresh, _scratch(wanted.id), wanted.root)
        run(["xfs_admin", "-U", "generate", str(fresh)], _UUID_DEADLINE)
        if _uuid(fresh) == _uuid(source):  # xfs_db's exit code says nothing
            raise MoorageError(f"the file system in {fresh} keeps the UUID of its source: xfs_admin did not change it")
        sync_file(fresh)


def _scratch(volume_id: str) -> str:
    return f".{volume_id}"


def _from_snapshot(wanted: Wanted) -> bool:
    return wanted.source is not None and wanted.source.is_snapshot


def _lengthen(image: Path, length: int, sparse: bool) -> None:
    if not sparse:
        allocate(image, length, back_to=None)
    elif image.stat().st_size < length:
        os.truncate(image, length)


def _length(source: Path, wanted: Wanted, origin: Origin) -> int:
    """Bytes of the image: room to grow in is taken at once."""
    now = source.stat().st_size
    if imagesize.usable_bytes(wanted.size) <= origin.size:
        return now
    return max(now, imagesize.grown_image_bytes(wanted.size, imagesize.group_bytes(_superblock(source))))


def _uuid(image: Path) -> bytes:
    return imagesize.superblock_uuid(_superblock(image))


def _superblock(image: Path) -> bytes:
    with image.open("rb") as file:
        return file.read(96)
