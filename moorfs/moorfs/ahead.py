"""How far to fetch ahead of a reader. A sequential reader gets a window that doubles with each read; another none."""

from collections import OrderedDict

from moorfs.blocks import count

FIRST, MOST = 4, 32  # blocks: 1 MiB and 8 MiB, one request each
DEPTH = 4  # windows under way
_SLACK = 4 << 20  # bytes: the kernel's own read-ahead sends requests side by side, and they overtake each other
_READERS = 64


class Ahead:
    """The readers of one file."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def plan(self, handle: int, offset: int, end: int) -> tuple[int, int]:
        """A read of offset..end-1: the block up to which to fetch (exclusive), and blocks per request."""
        expected, window = self._readers.pop(handle, (0, FIRST // 2))
        if expected - _SLACK <= offset <= expected + _SLACK:
            window = min(window * 2, MOST)
            expected = max(expected, end)
        else:
            window, expected = 1, end
        self._readers[handle] = (expected, window)
        if len(self._readers) > _READERS:
            self._readers.popitem(last=False)
        if window < FIRST:
            return count(end), MOST
        reach = count(end) + (DEPTH - 1) * window
        return -(-reach // window) * window, window

    def forget(self, handle: int) -> None:
        self._readers.pop(handle, None)
