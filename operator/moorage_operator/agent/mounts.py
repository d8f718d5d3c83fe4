"""Images mounted under the export root."""

import errno
import os
from pathlib import Path

from moorage import imagesize
from moorage.errors import MoorageError
from moorage.model import RootFolder
from moorage.usage import Figures
from moorage_operator.agent import loop
from moorage_operator.agent.command import CommandFailed, run
from moorage_operator.agent.pool import Pool

_MOUNT_DEADLINE = 300.0  # a log to replay on a slow disk
_UMOUNT_DEADLINE = 60.0
_GROW_DEADLINE = 120.0


class Mounts:
    """Blocking; called in threads, for one share by one thread at a time."""

    options = "nosuid,nodev,noexec"

    def __init__(self, root: Path, pool: Pool) -> None:
        self._root = root
        self._pool = pool
        root.mkdir(parents=True, exist_ok=True)

    def point(self, volume_id: str) -> Path:
        return self._root / volume_id

    def mounted(self, volume_id: str) -> bool:
        """A mount point is on another device than the folder above it."""
        try:
            return self.point(volume_id).stat().st_dev != self._root.stat().st_dev
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EIO:  # see `down`
                return True
            raise

    def down(self, volume_id: str) -> bool:
        """Whether the file system mounted there has shut down.

        XFS asks no disk for its root folder's attributes, which it has in memory: EIO can mean nothing else.
        """
        try:
            self.point(volume_id).stat()
        except OSError as error:
            return error.errno == errno.EIO
        return False

    def size(self, volume_id: str) -> int:
        """What `df` shows as the total; 0 for a file system that has shut down."""
        return 0 if self.down(volume_id) else self.figures(volume_id).total

    def figures(self, volume_id: str) -> Figures:
        """What `df` and `df -i` show, of whatever is mounted there."""
        seen = os.statvfs(self.point(volume_id))
        unit = seen.f_frsize
        return Figures(seen.f_blocks * unit, seen.f_bfree * unit, seen.f_bavail * unit, seen.f_files, seen.f_ffree)

    def ensure_mounted(self, volume_id: str) -> None:
        """No `nouuid`: the same image mounted twice on a node is refused by XFS, which saves the data."""
        if self.mounted(volume_id):
            return
        try:
            self._mount(volume_id)
        except CommandFailed as error:
            # Its log could not be replayed for want of room on the pool; another's mount may have freed some just now.
            if "No space left" not in str(error):
                raise
            self._pool.spare.give()
            self._mount(volume_id)
        if self.down(volume_id):
            self.ensure_unmounted(volume_id)
            raise self._still_down(volume_id)

    def _mount(self, volume_id: str) -> None:
        point = self.point(volume_id)
        point.mkdir(mode=0o700, exist_ok=True)
        with self._pool.attached(volume_id) as device:
            run(["mount", "-t", "xfs", "-o", self.options, str(device), str(point)], _MOUNT_DEADLINE)

    def _still_down(self, volume_id: str) -> MoorageError:
        return MoorageError(f"the file system of share {volume_id} shut down as soon as it was mounted")

    def replay(self, image: Path, name: str, root: RootFolder | None) -> None:
        """Mount a copy of an image once, beside what has the same UUID, so that its log is clean afterwards.

        Its root folder is as in the source, unless `root` asks for another mode and owner.
        """
        point = self.point(name)
        point.mkdir(mode=0o700, exist_ok=True)
        with loop.attached(image) as device:
            run(["mount", "-t", "xfs", "-o", f"nouuid,{self.options}", str(device), str(point)], _MOUNT_DEADLINE)
        if root:
            os.chown(point, root.uid, root.gid)
            point.chmod(int(root.mode, 8))
        self.ensure_unmounted(name)

    def ensure_unmounted(self, volume_id: str) -> None:
        point = self.point(volume_id)
        if self.mounted(volume_id):
            run(["umount", str(point)], _UMOUNT_DEADLINE)
        if point.exists():
            point.rmdir()

    def ensure_free(self, volume_id: str) -> None:
        """Raises InUse while somebody else on this node has the share's file system mounted: its data must stay."""

    def ensure_grown(self, volume_id: str, size: int) -> None:
        """Image, loop device, file system: each step may be repeated after a crash."""
        target = imagesize.grown_image_bytes(size, imagesize.group_bytes(self._superblock(volume_id)))
        self._pool.enlarge(volume_id, target)
        point = self.point(volume_id)
        self._pool.resized(point.stat().st_dev)
        run(["xfs_growfs", *self._pool.growth(target), str(point)], _GROW_DEADLINE)
        if self.size(volume_id) < size:
            raise MoorageError(f"share {volume_id} shows {self.size(volume_id)} bytes after growing to {size}")
        self._pool.note_size(volume_id, size)

    def unmount_all(self) -> list[str]:
        """At the end; what could not be unmounted goes with the container's mount namespace."""
        troubles: list[str] = []
        for entry in sorted(self._root.iterdir()):
            try:
                self.ensure_unmounted(entry.name)
            except (CommandFailed, OSError, MoorageError) as error:
                troubles.append(f"{entry.name}: {error}")
        return troubles

    def _superblock(self, volume_id: str) -> bytes:
        with self._pool.image(volume_id).open("rb") as image:
            return image.read(96)
