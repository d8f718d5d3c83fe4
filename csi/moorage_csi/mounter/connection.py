"""A FUSE connection of our own: it lives as long as somebody holds its file descriptor, whoever serves it.

Source: linux/Documentation/filesystems/fuse, and mount(2).
"""

import ctypes
import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from moorage.errors import MoorageError, NotFound
from moorage_csi import mounts

log = logging.getLogger(__name__)

_DEVICE = "/dev/fuse"
_MS_NODEV = 4
_READ_AHEAD = 1024  # KiB, at most what moorfs agrees to; the kernel's own 128 would be eight requests for one
_FLAGS = {"ro": 1, "nosuid": 2, "nodev": _MS_NODEV, "noexec": 8, "noatime": 1024}


class EndedError(NotFound):
    """Nobody shows the file system any more: its connection has ended."""


def open_mounted(target: str, fstype: str, source: str, options: Sequence[str] = ()) -> int:
    """A new connection mounted at `target`; the descriptor that a server speaks on.

    Nobody serves it yet: whoever looks into `target` waits.
    """
    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        _mount(device, target, fstype, source, options)
    except BaseException:
        os.close(device)
        raise
    _read_far_ahead(target)
    return device


def show_again(device: int, target: str, fstype: str, source: str, options: Sequence[str] = ()) -> None:
    """The file system of a connection that others still show, mounted at `target` too: open files go on.

    Raises EndedError when nobody shows it, MoorageError where the kernel cannot do so (before 5.15).
    """
    _mount(device, target, fstype, source, options)


def _mount(device: int, target: str, fstype: str, source: str, options: Sequence[str]) -> None:
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    flags = _MS_NODEV
    for option in options:
        flags |= _FLAGS.get(option, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    words = (source.encode(), mounts.canonical(target).encode(), fstype.encode())
    if libc.mount(*words, ctypes.c_ulong(flags), data.encode()):
        number = ctypes.get_errno()
        kind = EndedError if number == errno.ENOTCONN else MoorageError
        raise kind(f"mount of {source} ({fstype}) at {target} failed: {os.strerror(number)}")


def _read_far_ahead(target: str) -> None:
    """Only speed depends on it."""
    mount = mounts.at(mounts.canonical(target))
    try:
        if mount:
            Path(f"/sys/class/bdi/{mount.device}/read_ahead_kb").write_text(f"{_READ_AHEAD}\n")
    except OSError as error:
        log.warning("%s: the kernel reads only 128 KiB ahead: %s", target, error)
