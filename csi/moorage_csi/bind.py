"""Bind one folder of a mounted volume to a target: `bind.py <staging> <folder> <target> ro|rw [new]`.

Run as a script in a child process, because every step may hang when the volume's server is dead. The folder is resolved
by openat2(2) beneath the staging path, without symbolic links and without crossing mounts, so no path in the volume,
nor a race on one, leads out of it. The mount is read-only before anybody can see it: the flag is set on the detached
tree (mount_setattr), which is then put in place (move_mount). With `new` the target is made, or was an empty directory
of its own: nothing is ever hidden beneath the mount. Only the standard library, for a quick start.
"""

import ctypes
import errno
import os
import sys
from contextlib import suppress

# Exit statuses that the caller turns into errors.
MISSING, REFUSED, FAILED, OCCUPIED = 3, 4, 5, 6

# The system calls have the same numbers on every architecture (asm-generic/unistd.h).
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_OPEN_TREE_CLONE, _AT_EMPTY_PATH = 1, 0x1000
_MOVE_EMPTY_PATHS = 0x04 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
_MOUNT_ATTR_RDONLY = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def open_beneath(root: int, folder: str) -> int:
    """A handle (O_PATH) on a directory beneath the directory `root`; `folder` is relative."""
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE)
    for attempt in range(100):
        try:
            return _syscall(_OPENAT2, root, os.fsencode(folder), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        except BlockingIOError:  # somebody renamed a folder meanwhile (openat2(2), EAGAIN)
            if attempt == 99:
                raise
    raise AssertionError("unreachable")


class OccupiedError(Exception):
    """The target holds something already."""


def open_empty(target: str) -> int:
    """A handle on the directory `target`, made unless it is there, in which nothing lies; raises OccupiedError."""
    parent, name = os.path.split(target)
    above = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(FileExistsError):
        os.mkdir(name, mode=0o755, dir_fd=above)
    try:
        place = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        raise OccupiedError("it is a file or a symbolic link, not a directory") from error
    if os.fstat(place).st_dev != os.fstat(above).st_dev:
        raise OccupiedError("something else is mounted there")
    if os.listdir(place):
        raise OccupiedError("it is a directory that is not empty")
    return place


def bind(staging: str, folder: str, target: str, readonly: bool, new: bool = False) -> None:
    root = os.open(staging, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    source = open_beneath(root, folder.lstrip("/") or ".")
    place = open_empty(target) if new else os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    tree = _syscall(_OPEN_TREE, source, b"", ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH))
    if readonly:
        attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        _syscall(_MOUNT_SETATTR, tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), ctypes.byref(attributes), size)
    _syscall(_MOVE_MOUNT, tree, b"", place, b"", ctypes.c_uint(_MOVE_EMPTY_PATHS))


def main(arguments: list[str]) -> int:
    staging, folder, target, mode, *new = arguments
    try:
        bind(staging, folder, target, mode == "ro", bool(new))
    except OccupiedError as error:
        print(error, file=sys.stderr)
        return OCCUPIED
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return REFUSED if error.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR) else FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
