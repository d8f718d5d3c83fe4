"""Loop devices by ioctl.

A container has its own /dev, filled when it started: `losetup` finds no node for a device that the kernel made
afterwards. So the nodes are made here when they are missing.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from moorage.errors import Retry

# <linux/loop.h>
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4  # the device goes with its last user, so a killed agent leaves none behind
_CONTROL = Path("/dev/loop-control")
_CONTROL_NUMBER = (10, 237)
_ATTEMPTS = 20


@contextmanager
def attached(image: Path) -> Generator[Path]:
    """A loop device over `image`, for as long as the context or a mount holds it."""
    with _opened(image, os.O_RDWR) as backing:
        for _ in range(_ATTEMPTS):
            device = _free_device()
            with _opened(device, os.O_RDWR) as loop:
                if _configure(loop, backing):
                    yield device
                    return
    raise Retry(f"no free loop device for {image}: others on this node take them faster")


def bound(image: Path) -> Path | None:
    """The loop device that has `image` for reading and writing, if there is one: asked of each by LOOP_GET_STATUS64."""
    seen = image.stat()
    for folder in Path("/sys/block").glob("loop*/loop"):
        device = _node(folder.parent.name)
        with suppress(OSError), _opened(device, os.O_RDONLY) as loop:  # it may be let go of right now
            info = bytearray(232)
            fcntl.ioctl(loop, _LOOP_GET_STATUS64, info)
            # struct loop_info64: the backing file's device in the kernel's own form, its inode, flags at byte 52.
            number, inode, flags = *struct.unpack_from("=QQ", info), *struct.unpack_from("=I", info, 52)
            same = (_major(number), _minor(number), inode) == (
                os.major(seen.st_dev),
                os.minor(seen.st_dev),
                seen.st_ino,
            )
            if same and not flags & _LO_FLAGS_READ_ONLY:
                return device
    return None


def _major(number: int) -> int:
    """huge_encode_dev of <linux/kdev_t.h>."""
    return (number & 0xFFF00) >> 8


def _minor(number: int) -> int:
    return (number & 0xFF) | ((number >> 12) & 0xFFF00)


def refresh_size(device_number: int) -> None:
    """Let the mounted loop device see that its image has grown."""
    name = _name_of(device_number)
    with _opened(_node(name), os.O_RDWR) as loop:
        fcntl.ioctl(loop, _LOOP_SET_CAPACITY, 0)


def _configure(loop: int, backing: int) -> bool:
    """struct loop_config: fd, block size, struct loop_info64 (flags at byte 52), eight reserved words."""
    info = bytearray(232)
    struct.pack_into("=I", info, 52, _LO_FLAGS_AUTOCLEAR)
    try:
        fcntl.ioctl(loop, _LOOP_CONFIGURE, struct.pack("=II", backing, 0) + bytes(info) + bytes(64))
    except OSError as error:
        if error.errno == errno.EBUSY:  # somebody else took it since GET_FREE
            return False
        raise
    return True


def _free_device() -> Path:
    if not _CONTROL.exists():
        _make_node(_CONTROL, stat.S_IFCHR, os.makedev(*_CONTROL_NUMBER))
    with _opened(_CONTROL, os.O_RDWR) as control:
        return _node(f"loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")


def _name_of(device_number: int) -> str:
    link = Path(f"/sys/dev/block/{os.major(device_number)}:{os.minor(device_number)}")
    return link.resolve().name


def _node(name: str) -> Path:
    node = Path("/dev") / name
    if not node.exists():
        major, minor = Path(f"/sys/block/{name}/dev").read_text().split(":")
        _make_node(node, stat.S_IFBLK, os.makedev(int(major), int(minor)))
    return node


def _make_node(path: Path, kind: int, number: int) -> None:
    with suppress(FileExistsError):
        os.mknod(path, kind | 0o600, number)


@contextmanager
def _opened(path: Path, flags: int) -> Generator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
