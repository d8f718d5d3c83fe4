"""Reading an object without a cache file, for when the cache's disk is full."""

import os
from collections import OrderedDict
from collections.abc import Callable

from moorfs.means import Means
from moorfs.ports import Range

WINDOW = 4 << 20
_WINDOWS = 4


class Stream:
    """Windows of an object in memory: at most 16 MiB a file."""

    __slots__ = ("_means", "_source", "_windows")

    def __init__(self, means: Means, source: Callable[[], tuple[str, str, int]]) -> None:
        self._means = means
        self._source = source
        """Key, ETag and size of the object now."""
        self._windows: OrderedDict[int, bytes] = OrderedDict()

    def read(self, handle: int, offset: int, size: int) -> bytes:
        _, _, length = self._source()
        end = min(offset + size, length)
        pieces: list[bytes] = []
        while offset < end:
            window = self._window(offset // WINDOW)
            start = offset % WINDOW
            piece = window[start : start + end - offset]
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._windows.clear()

    def _window(self, number: int) -> bytes:
        found = self._windows.get(number)
        if found is None:
            found = self._fetch(number * WINDOW)
            self._windows[number] = found
            while len(self._windows) > _WINDOWS:
                self._windows.popitem(last=False)
        return found

    def _fetch(self, start: int) -> bytes:
        key, etag, size = self._source()
        length = min(WINDOW, size - start)
        fd = os.memfd_create("moorfs", os.MFD_CLOEXEC)
        try:
            self._means.store.read(key, Range(fd, 0, length), start, etag)
            return os.pread(fd, length, 0)
        finally:
            os.close(fd)
