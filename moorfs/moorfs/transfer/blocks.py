"""Which blocks of a file are in its cache file."""

from collections.abc import Iterator

SMALLEST = 1 << 18
MOST_BLOCKS = 1 << 18

MISSING, QUEUED, RUNNING, HERE = range(4)
HERE_BYTE = bytes([HERE])


class Blocks:
    """One state for each block of `block` bytes. No lock of its own."""

    def __init__(self, size: int, have: bytes = b"") -> None:
        """`have`: what `packed` gave for a file of this size."""
        self.size = size
        self.block = block_size(size)
        count = -(-size // self.block)
        self.states = bytearray(count)
        for number in range(min(count, len(have) * 8)):
            if have[number >> 3] & 1 << (number & 7):
                self.states[number] = HERE

    def packed(self) -> bytes:
        """One bit for each block, set where it is here; the lowest bit of a byte is its first block."""
        bits = bytearray(-(-len(self.states) // 8))
        for number, state in enumerate(self.states):
            if state == HERE:
                bits[number >> 3] |= 1 << (number & 7)
        return bytes(bits)

    @property
    def complete(self) -> bool:
        return self.states.count(HERE) == len(self.states)

    def numbers(self, offset: int, length: int) -> range:
        """Blocks that hold any of these bytes."""
        end = min(offset + length, self.size)
        return range(offset // self.block, -(-end // self.block)) if offset < end else range(0)

    def inside(self, offset: int, length: int) -> range:
        """Blocks that lie in these bytes as a whole; the file's last one ends with the file."""
        end = offset + length
        last = len(self.states) if end >= self.size else end // self.block
        first = -(-offset // self.block)
        return range(first, max(first, last))

    def run(self, first: int, stop: int, most: int, states: bytes) -> range:
        """The blocks from `first` on that have one of these states, at most `most` of them."""
        last = first
        while last < stop and last - first < most and self.states[last] in states:
            last += 1
        return range(first, last)

    def mark(self, numbers: range, state: int) -> None:
        self.states[numbers.start : numbers.stop] = bytes([state]) * len(numbers)

    def missing(self, most: int) -> Iterator[range]:
        """Runs of at most `most` blocks that nobody fetches. The states may change between two of them."""
        number = 0
        while number < len(self.states):
            found = self.run(number, len(self.states), most, bytes([MISSING, QUEUED]))
            if found:
                yield found
            number = max(found.stop, number + 1)


def block_size(size: int) -> int:
    """256 KiB, or as much more as keeps the table at 256 KiB too."""
    block = SMALLEST
    while size > block * MOST_BLOCKS:
        block *= 2
    return block
