"""A pool on an XFS of its own, in a file on a loop device, as root: nothing of it is pretended."""

import contextlib
import os
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moorage.clone import Asked, Origin
from moorage.share import Wanted
from moorage.snapshotshare import WantedSnapshot
from moorage_operator.agent.clones import Clones
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.origins import Origins
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.snapshotpool import SnapshotPool

MIB = 2**20
SIZE = 300 * MIB
NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root for loop devices and mounts; tests/e2e shows the same through pods"
)


@dataclass
class Xfs:
    pool: Pool
    mounts: Mounts
    snapshots: SnapshotPool
    clones: Clones

    def volume(self, name: str, size: int = SIZE) -> Path:
        """A share, mounted; where."""
        self.pool.ensure_image(Wanted(name, "ns", name, f"uid-{name}", size))
        self.mounts.ensure_mounted(name)
        return self.mounts.point(name)

    def snapshot(self, name: str, volume: str) -> None:
        wanted = WantedSnapshot(name, "ns", name, f"uid-{name}", volume, volume)
        self.snapshots.take(wanted, self.mounts.point(volume), self.mounts.size(volume))

    def wanted(self, name: str, source: str, kind: str = "snapshot", size: int = SIZE) -> Wanted:
        return Wanted(name, "ns", name, f"uid-{name}", size, source=Asked(kind, source))

    def clone(self, name: str, source: str, kind: str = "snapshot", size: int = SIZE) -> Path:
        """A share that begins with a snapshot or a volume, mounted; where."""
        self.clones.ensure_cloned(self.wanted(name, source, kind, size), Origin(source, "server", SIZE))
        self.mounts.ensure_mounted(name)
        return self.mounts.point(name)

    def uuid(self, volume: str) -> bytes:
        with self.pool.image(volume).open("rb") as image:
            return image.read(48)[32:]


def write(path: Path, size: int) -> bytes:
    """Random bytes, on the disk when this returns; they are returned too."""
    data = os.urandom(size)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return data


@contextlib.contextmanager
def pool_on_xfs(folder: Path, size: int) -> Generator[Xfs]:
    """A pool on a disk of `size` bytes; everything is unmounted at the end, and must let itself be."""
    disk, root = folder / "disk", folder / "pool"
    root.mkdir()
    with disk.open("wb") as file:
        file.truncate(size)
    _do("mkfs.xfs", "-q", "-m", "reflink=1", str(disk))
    _do("mount", "-o", "loop", str(disk), str(root))
    try:
        pool = Pool(root)
        pool.open()
        mounts, snapshots = Mounts(folder / "export", pool), SnapshotPool(pool)
        origins = Origins(list, list, pool, snapshots, mounts)
        try:
            yield Xfs(pool, mounts, snapshots, Clones(pool, snapshots, mounts, origins, "server"))
        finally:
            troubles = mounts.unmount_all()
            pool.close()
        assert troubles == []
    finally:
        _unmount(root)


def _unmount(root: Path) -> None:
    """The kernel may let go of a loop device's file some moments after its mount went."""
    for _ in range(50):
        if subprocess.run(["umount", str(root)], check=False, capture_output=True, timeout=60).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"{root} stays busy")


def _do(*command: str) -> None:
    subprocess.run(command, check=True, timeout=120)
