"""Which blocks of a partly fetched object are in its cache file, kept in a small file beside it.

The map is memory of a file (mmap), so it outlives the process without a system call per change. One byte a block:
absent, here, dirty (written, not stored), storing (an upload of it has begun). `base`: so many bytes of the object are
still under the file; what lies beyond is the cache file's alone, as after truncation and growth.
"""

import mmap
import os
import struct

BLOCK = 256 << 10
ABSENT, HERE, DIRTY, STORING = 0, 1, 2, 3
_HEAD = struct.Struct("<8sIIQQH200s")  # magic, block size, dirty, base, mtime, length of etag, etag
_MAGIC = b"MOORMAP1"
_ROOM = 512
_GROWTH = 4096


class Blocks:
    """The map of one cache file. Not safe for threads: `Partial` has the lock."""

    def __init__(self, path: str, etag: str = "", base: int = 0, mtime: int = 0, create: bool = False) -> None:
        self.path = path
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_TRUNC if create else 0), 0o600)
        try:
            if create:
                os.posix_fallocate(fd, 0, _ROOM + _rounded(count(base)))  # a full disk says so here, not by SIGBUS
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)
        if create:
            self._head = (0, base, mtime, etag)
            self._tell()
        else:
            self._read()

    @property
    def etag(self) -> str:
        return self._head[3]

    @property
    def base(self) -> int:
        return self._head[1]

    @property
    def mtime(self) -> int:
        return self._head[2]

    @property
    def dirty(self) -> bool:
        return bool(self._head[0])

    def change(
        self, dirty: bool | None = None, base: int | None = None, mtime: int | None = None, etag: str | None = None
    ) -> None:
        was = self._head
        self._head = (
            was[0] if dirty is None else int(dirty),
            was[1] if base is None else base,
            was[2] if mtime is None else mtime,
            was[3] if etag is None else etag,
        )
        if self._head != was:
            self._tell()

    def state(self, block: int) -> int:
        return self._map[_ROOM + block] if _ROOM + block < len(self._map) else ABSENT

    def set(self, first: int, end: int, state: int) -> None:
        """Blocks first..end-1."""
        if _ROOM + end > len(self._map):
            self._grow(end)
        self._map[_ROOM + first : _ROOM + end] = bytes([state]) * (end - first)

    def absent(self, first: int, end: int) -> list[int]:
        """The blocks of first..end-1 that must be fetched before they can be read: those with bytes under `base`."""
        end = min(end, count(self.base))
        return self.find(ABSENT, first, end)

    def find(self, state: int, first: int, end: int) -> list[int]:
        found: list[int] = []
        stop = min(_ROOM + end, len(self._map))
        at = self._map.find(bytes([state]), _ROOM + first, stop)
        while at >= 0:
            found.append(at - _ROOM)
            at = self._map.find(bytes([state]), at + 1, stop)
        return found

    def replace(self, old: int, new: int) -> None:
        """All blocks of one state get another."""
        states = self._map[_ROOM:]
        self._map[_ROOM:] = states.replace(bytes([old]), bytes([new]))

    @property
    def is_full(self) -> bool:
        return self._map.find(b"\0", _ROOM, _ROOM + count(self.base)) < 0

    def sync(self) -> None:
        self._map.flush()

    def close(self) -> None:
        self._map.close()

    def _grow(self, blocks: int) -> None:
        room = _ROOM + _rounded(blocks)
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(fd, 0, room)
        finally:
            os.close(fd)
        self._map.resize(room)

    def _tell(self) -> None:
        dirty, base, mtime, etag = self._head
        text = etag.encode()
        packed = _HEAD.pack(_MAGIC, BLOCK, dirty, base, mtime, len(text), text)
        self._map[: len(packed)] = packed

    def _read(self) -> None:
        magic, block, dirty, base, mtime, length, etag = _HEAD.unpack_from(self._map)
        if magic != _MAGIC or block != BLOCK:
            self._map.close()
            raise ValueError(f"{self.path} is no map of ours")
        self._head = (dirty, base, mtime, etag[:length].decode())


def count(size: int) -> int:
    """Blocks of so many bytes."""
    return -(-size // BLOCK)


def runs(blocks: list[int], most: int) -> list[tuple[int, int]]:
    """Neighbours taken together, at most `most` of them: (first, end)."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][1] == block and block - found[-1][0] < most:
            found[-1] = (found[-1][0], block + 1)
        else:
            found.append((block, block + 1))
    return found


def _rounded(blocks: int) -> int:
    return -(-max(blocks, 1) // _GROWTH) * _GROWTH
