"""Directories beneath a directory, by openat2(2): no symbolic link and no other file system on the way.

Who else has the export mounted may swap a folder for a link at any time: what is opened here is beneath the root all
the same, or nothing is.
"""

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress

_OPENAT2 = 437  # on every architecture (asm-generic/unistd.h)
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_ATTEMPTS = 100
HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def opened(root: int, folder: str, flags: int = LISTABLE) -> Generator[int]:
    """A descriptor of the directory `folder`, relative to the directory `root`; "" is the root itself.

    Raises OSError: ENOENT, ENOTDIR; ELOOP for a symbolic link, EXDEV for another file system.
    """
    descriptor = _open(root, folder or ".", flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(root: int, folder: str, flags: int) -> int:
    how = (ctypes.c_uint64 * 3)(flags, 0, _RESOLVE)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    for attempt in range(_ATTEMPTS):
        result = int(_libc.syscall(ctypes.c_long(_OPENAT2), root, os.fsencode(folder), ctypes.byref(how), size))
        if result >= 0:
            return result
        code = ctypes.get_errno()
        error = OSError(code, os.strerror(code), folder)
        if not isinstance(error, BlockingIOError) or attempt == _ATTEMPTS - 1:
            raise error
        # somebody renamed a folder meanwhile (openat2(2), EAGAIN)
    raise AssertionError("unreachable")


def make_parents(root: int, folder: str) -> None:
    """The directories above `folder`, each made unless it is there (mode 0755)."""
    made = ""
    for part in folder.split("/")[:-1]:
        with opened(root, made) as above, suppress(FileExistsError):
            os.mkdir(part, mode=0o755, dir_fd=above)
        made = f"{made}/{part}" if made else part
        with opened(root, made, HANDLE):
            pass


@contextmanager
def parent(root: int, folder: str) -> Generator[tuple[int, str]]:
    """A descriptor of the directory above `folder`, and the folder's own name in it."""
    above, _, name = folder.rpartition("/")
    with opened(root, above) as descriptor:
        yield descriptor, name


def exists(above: int, name: str) -> bool:
    """Whether there is anything of this name in the directory, were it a dangling link."""
    try:
        os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
