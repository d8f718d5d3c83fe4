"""How far to read ahead of a reader: not at all for one that jumps, further and further for one that goes on."""

SMALLEST = 1 << 20
LARGEST = 64 << 20
LARGEST_SPAN = 8 << 20
NEAR = 4 << 20  # the kernel's own read-ahead asks out of order


class Ahead:
    """One reader's, or several that read the same file; no lock of its own."""

    def __init__(self) -> None:
        self._next = 0
        self._window = 0

    def window(self, offset: int, length: int) -> tuple[int, int]:
        """Bytes to have beyond this read, and bytes of one request for them."""
        end = offset + length
        near = abs(offset - self._next) <= NEAR if self._window else 0 <= offset - self._next <= SMALLEST
        if near:
            if end > self._next:
                self._next = end
                self._window = min(max(self._window * 2, SMALLEST), LARGEST)
        else:
            self._next, self._window = end, 0
        return self._window, min(max(self._window // 8, SMALLEST), LARGEST_SPAN)
