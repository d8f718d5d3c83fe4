"""Writable shared mappings of a cache file that the kernel gives out itself (passthrough).

Stores through such a mapping pass us by. The first store to a clean page gives the file a new mtime; later ones to the
same page do not, until the page was written back. So pages are written back before a stamp is taken (`write_back`), and
each later store shows again. A mapping outlives its descriptor: close(2) is all we hear. While one lives, or anybody
has the file open for writing, the kernel refuses a read lease on it (fcntl(2), F_SETLEASE): so `is_mapped` tells, once
no writer has it open, that stores may still come. msync(2) goes to the cache file and not to us: files that are opened
for reading and writing are therefore not passed through at all, unless the mount is told `mmap: fast`.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import tempfile

from moorfs.dirty import stamp_of

_SETSIG = 10  # F_SETSIG of <fcntl.h>: not in Python's fcntl
_WAIT_BEFORE, _WRITE, _WAIT_AFTER = 1, 2, 4  # sync_file_range(2)
_libc = ctypes.CDLL(None, use_errno=True)


def is_mapped(path: str) -> bool:
    """Whether stores to the file may still come, by a mapping or an open descriptor. False where no lease can be had
    for another reason: then nothing can be known."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, _SETSIG, signal.SIGURG)  # of SIGIO, which a broken lease sends by default, a process dies
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(fd)


def write_back(fd: int) -> None:
    """All dirty pages of the file to its disk, so that the next store through a mapping makes a new mtime. This is no
    fsync: the disk's own cache is not asked. Raises OSError, ENOSPC and EIO among them."""
    flags = ctypes.c_uint(_WAIT_BEFORE | _WRITE | _WAIT_AFTER)
    if _libc.sync_file_range(ctypes.c_int(fd), ctypes.c_int64(0), ctypes.c_int64(0), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_seen(folder: str) -> bool:
    """Whether a store after `write_back` makes a new stamp in this folder (not on tmpfs); found by trying."""
    with tempfile.TemporaryFile(dir=folder) as file:
        fd = file.fileno()
        os.ftruncate(fd, mmap.PAGESIZE)
        with mmap.mmap(fd, mmap.PAGESIZE) as pages:
            pages[0] = 1
            write_back(fd)
            before = stamp_of(fd)
            pages[0] = 2
            return stamp_of(fd) != before
