"""fallocate(2) on a cache file; Python's os has only its plainest form."""

import ctypes
import errno
import os

from moorfs.ports import FileError

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32
_libc = ctypes.CDLL(None, use_errno=True)


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Raises FileError: EOPNOTSUPP where the cache's file system has not this mode, ENOSPC, EINVAL."""
    c = ctypes.c_int64
    if _libc.fallocate(ctypes.c_int(fd), ctypes.c_int(mode), c(offset), c(length)):
        number = ctypes.get_errno()
        raise FileError(number, f"fallocate mode {mode} on the cache file: {os.strerror(number)}")


def must_be_zeroing(mode: int) -> None:
    """Raises EOPNOTSUPP for modes that move bytes: not for a file of which only some blocks are here."""
    if mode & ~(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE):
        raise FileError(errno.EOPNOTSUPP, f"fallocate mode {mode} needs the whole file in the cache")
