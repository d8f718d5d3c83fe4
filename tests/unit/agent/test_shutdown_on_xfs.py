"""A volume whose XFS has shut down, on a real one: it is seen, and comes back with all that was synced."""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from xfspool import MIB, NEEDS_ROOT, SIZE, Xfs, pool_on_xfs, write

from moorage.errors import InUse
from moorage.ganesha import Export
from moorage.share import Place, Wanted
from moorage_operator.agent.reconcile import Shares
from moorage_operator.agent.trim import Trimmer
from moorage_operator.local.disks import Disks
from moorage_operator.local.localpool import LocalPool

pytestmark = NEEDS_ROOT

_XFS_IOC_GOINGDOWN = 0x8004587D  # <xfs/xfs_fs.h>
_NOLOGFLUSH = 2  # what is in memory is lost, as after an error of the log
PLACE = Place("/export", ("10.0.0.1",))


def shut_down(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, _XFS_IOC_GOINGDOWN, struct.pack("=I", _NOLOGFLUSH))
    finally:
        os.close(handle)


class Exports:
    """An NFS server that holds the file system of what it exports."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[Export, int]] = {}

    def exported(self, export_id: int) -> Export | None:
        return self.held[export_id][0] if export_id in self.held else None

    async def ensure_exported(self, export: Export) -> None:
        if export.export_id not in self.held:
            self.held[export.export_id] = export, os.open(self.folder / Path(export.path).name, os.O_RDONLY)

    async def ensure_unexported(self, export_id: int) -> None:
        if held := self.held.pop(export_id, None):
            os.close(held[1])

    folder = Path()


async def test_a_volume_that_has_shut_down_is_served_again_with_all_that_was_synced(xfs: Xfs) -> None:
    exports, wanted = Exports(), Wanted("a", "ns", "a", "uid-a", SIZE)
    exports.folder = xfs.mounts.point("a").parent
    shares = Shares(xfs.pool, xfs.mounts, exports, Trimmer(xfs.pool, xfs.mounts, lambda: False), lambda record: "")
    await shares.converge("a", wanted, PLACE)
    data = write(xfs.mounts.point("a") / "file", MIB)

    shut_down(xfs.mounts.point("a"))
    seen = await shares.observe("a")
    with pytest.raises(OSError) as failed:
        (xfs.mounts.point("a") / "file").read_bytes()
    after, plan = await shares.converge("a", wanted, PLACE)

    assert failed.value.errno == errno.EIO
    assert (seen.mounted, seen.down, seen.fs_bytes) == (True, True, 0)
    assert (after.mounted, after.down, after.fs_bytes, plan.reason) == (True, False, SIZE, "")
    assert after.exported is not None
    assert (xfs.mounts.point("a") / "file").read_bytes() == data
    write(xfs.mounts.point("a") / "more", MIB)
    await exports.ensure_unexported(after.exported.export_id)


def test_a_volume_that_has_shut_down_is_neither_full_nor_grown_from(xfs: Xfs) -> None:
    xfs.volume("a")

    shut_down(xfs.mounts.point("a"))

    assert xfs.mounts.mounted("a")
    assert xfs.mounts.down("a")
    assert xfs.mounts.size("a") == 0
    xfs.mounts.ensure_unmounted("a")
    assert not xfs.mounts.mounted("a")
    assert not xfs.mounts.down("a")


def test_a_local_volume_that_has_shut_down_comes_back_when_its_pods_let_go(
    tmp_path: Path, plain_mkfs: None, private_mounts: None
) -> None:
    """In a namespace of its own: what others make meanwhile are copies of all mounts, and would hold the volume."""
    pool = LocalPool(tmp_path / "pool")
    pool.root.mkdir()
    pool.open()
    disks, pods = Disks(tmp_path / "disks", pool), tmp_path / "pods"
    pool.ensure_image(Wanted("a", "ns", "a", "uid-a", SIZE, sparse=True))
    disks.ensure_mounted("a")
    with bound(disks.point("a"), pods):
        data = write(pods / "file", MIB)
        shut_down(pods)
        disks.ensure_unmounted("a")

        with pytest.raises(InUse, match="delete them"):
            disks.ensure_mounted("a")
        assert not disks.mounted("a")

    disks.ensure_mounted("a")
    try:
        assert (disks.point("a") / "file").read_bytes() == data
    finally:
        assert disks.unmount_all() == []
        pool.close()


@contextlib.contextmanager
def bound(source: Path, target: Path) -> Generator[None]:
    """A pod's view of the mount."""
    target.mkdir()
    subprocess.run(["mount", "--bind", source, target], check=True, timeout=60)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True, timeout=60)


def test_a_volume_on_a_full_pool_can_be_mounted_again_and_files_be_removed(tmp_path: Path, plain_mkfs: None) -> None:
    """Without room to replay its log it could not: the folders made last lie in blocks that the image has not yet."""
    with pool_on_xfs(tmp_path, 600 * MIB) as xfs:
        xfs.pool.ensure_image(Wanted("a", "ns", "a", "uid-a", 2048 * MIB, sparse=True))
        xfs.mounts.ensure_mounted("a")
        point = xfs.mounts.point("a")
        fill_the_pool_and_make_folders(xfs.pool.root, point)

        shut_down(point)
        xfs.mounts.ensure_unmounted("a")
        xfs.mounts.ensure_mounted("a")
        made = sorted(each.name for each in point.iterdir())
        for name in made:
            (point / name).rmdir()

        assert len(made) == FOLDERS
        assert not xfs.pool.spare.give()
        os.truncate(xfs.pool.root / "filler", 0)  # the blocks of a file that is unlinked may come back later
        xfs.pool.ensure_spare()
        assert xfs.pool.spare.give()


FOLDERS = 3000


def fill_the_pool_and_make_folders(pool: Path, volume: Path) -> None:
    """To the last block, by another than the volume; then what is made in it is in its log only."""
    filler = os.open(pool / "filler", os.O_RDWR | os.O_CREAT)
    try:
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while os.write(filler, bytes(size)):
                    pass
        with contextlib.suppress(OSError):
            os.fsync(filler)
    finally:
        os.close(filler)
    for number in range(FOLDERS):
        (volume / f"folder-{number}").mkdir()
    handle = os.open(volume, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
