"""Files that share their blocks: FICLONE of ioctl_ficlonerange(2), and syncfs(2), which Python lacks."""

import ctypes
import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from moorage import snapshotshare
from moorage.errors import NoCapacity, NotOffered

# <linux/fs.h>
_FICLONE = 0x40049409
# XFS, Btrfs and others with reflink answer; ext4 says EOPNOTSUPP, old XFS EINVAL, NFS and tmpfs ENOTTY or the first.
_NOT_OFFERED = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS})
_libc: Final = ctypes.CDLL(None, use_errno=True)


class ClonesNotOffered(NotOffered):
    """The pool's file system cannot share blocks between files."""


def clone_file(source: Path, target: Path) -> None:
    """Make `target` a file with the content that `source` has at one moment during this call.

    The kernel keeps writers of `source` waiting meanwhile. Raises ClonesNotOffered, and NoCapacity when there is no
    room for the map of the new file's blocks.
    """
    with _opened(source, os.O_RDONLY) as old, _opened(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as new:
        try:
            fcntl.ioctl(new, _FICLONE, old)
        except OSError as error:
            if error.errno in _NOT_OFFERED:
                raise ClonesNotOffered(snapshotshare.NOT_OFFERED) from error
            if error.errno == errno.ENOSPC:
                raise NoCapacity("the pool ran full while blocks were shared: enlarge it") from error
            raise


def sync_file_system(folder: Path) -> None:
    """All that was written to the file system at `folder` until now is on its device when this returns."""
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))


def offered(folder: Path) -> bool:
    """Whether files in `folder` can share blocks: tried with an empty file, for which a full pool has room, too."""
    source, target = folder / "probe.tmp", folder / "probe-clone.tmp"
    try:
        target.unlink(missing_ok=True)
        source.touch()
        clone_file(source, target)
    except (NotOffered, NoCapacity, OSError):
        return False
    finally:
        with suppress(OSError):
            source.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
    return True


@contextmanager
def _opened(path: Path, flags: int) -> Generator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
