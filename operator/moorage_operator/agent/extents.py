"""Which blocks of a file are its own and which it shares: FS_IOC_FIEMAP of ioctl_fiemap(2), page by page."""

import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

# <linux/fs.h>, <linux/fiemap.h>
_FS_IOC_FIEMAP = 0xC020660B
_FLAG_SYNC = 0x1
_LAST, _UNWRITTEN, _SHARED = 0x1, 0x800, 0x2000
_HEAD = struct.Struct("=QQIIII")  # start, length, flags, mapped extents, extent count, reserved
_EXTENT = struct.Struct("=QQQ2QI3I")  # logical, physical, length, reserved, flags, reserved
_PAGE = 1024  # extents in one call
_END = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Extents:
    """Bytes of a file that hold data: in blocks of its own, and in blocks that another file has too.

    Reserved blocks that nothing was written to are in neither; nobody shares those.
    """

    own: int
    shared: int

    @property
    def written(self) -> int:
        return self.own + self.shared


def look(path: Path, deadline: float, sync: bool = False) -> Extents:
    """Walk the file's extents for at most `deadline` seconds; what was not reached counts as shared, the dearer guess.

    `sync` writes dirty pages first: until then a write to a reserved block does not show.
    """
    ends = time.monotonic() + deadline
    own = shared = start = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while time.monotonic() < ends:
            page = _page(descriptor, start, _FLAG_SYNC if sync and not start else 0)
            for logical, length, flags in page:
                start = logical + length
                if flags & _SHARED:
                    shared += length
                elif not flags & _UNWRITTEN:
                    own += length
            if not page or page[-1][2] & _LAST:
                return Extents(own, shared)
        return Extents(own, max(shared, os.fstat(descriptor).st_blocks * 512 - own))
    finally:
        os.close(descriptor)


def _page(descriptor: int, start: int, flags: int) -> list[tuple[int, int, int]]:
    """Logical offset, length and flags of the next extents from `start` on."""
    buffer = bytearray(_HEAD.size + _PAGE * _EXTENT.size)
    _HEAD.pack_into(buffer, 0, start, _END - start, flags, 0, _PAGE, 0)
    fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, buffer)
    count = _HEAD.unpack_from(buffer)[3]
    found: list[tuple[int, int, int]] = []
    for number in range(count):
        fields = _EXTENT.unpack_from(buffer, _HEAD.size + number * _EXTENT.size)
        found.append((fields[0], fields[2], fields[5]))
    return found
