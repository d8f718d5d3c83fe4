"""A FUSE connection of our own: it lives as long as somebody holds its file descriptor, whoever serves it.

Source: linux/Documentation/filesystems/fuse, and mount(2).
"""

import ctypes
import os
from collections.abc import Sequence

from moorage.errors import MoorageError
from moorage_csi import mounts

_DEVICE = "/dev/fuse"
_MS_NODEV = 4
_FLAGS = {"ro": 1, "nosuid": 2, "nodev": _MS_NODEV, "noexec": 8, "noatime": 1024}


def open_mounted(target: str, fstype: str, source: str, options: Sequence[str] = ()) -> int:
    """A new connection mounted at `target`; the descriptor that a server speaks on.

    Nobody serves it yet: whoever looks into `target` waits.
    """
    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    flags = _MS_NODEV
    for option in options:
        flags |= _FLAGS.get(option, 0)
    try:
        _mount(source, target, fstype, flags, data)
    except BaseException:
        os.close(device)
        raise
    return device


def _mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = (source.encode(), mounts.canonical(target).encode(), fstype.encode())
    if libc.mount(*words, ctypes.c_ulong(flags), data.encode()):
        number = ctypes.get_errno()
        raise MoorageError(f"mount of {source} ({fstype}) at {target} failed: {os.strerror(number)}")
