"""Was a cache file written since it was stored? Its size, mtime and ctime tell, though the kernel writes and not we.

The stamp is taken before the upload: a write during the upload makes another stamp. Since Linux 6.13 a stamp that was
looked at is never used again for a later write (multigrain timestamps). Before, and on file systems without them, two
writes within one tick of the clock share a stamp: then a stamp proves nothing until it is a tick old.
"""

import os
import tempfile
from dataclasses import dataclass

from moorfs.ports import Stamp

TICK = 10_000_000
"""Nanoseconds of the coarsest clock (HZ=100)."""


@dataclass(frozen=True, slots=True)
class Clean:
    """The bytes with this stamp are stored. `sure`: no later write can have the same stamp."""

    stamp: Stamp
    sure: bool = True


def stamp_of(fd: int) -> Stamp:
    found = os.fstat(fd)
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def clean_at(stamp: Stamp, taken: int, fine: bool) -> Clean:
    """The mark of a stamp that was taken at `taken` (time.time_ns()); `fine`: see `is_fine`."""
    return Clean(stamp, fine or taken - stamp.ctime > TICK)


def is_dirty(mark: Clean | None, found: Stamp) -> bool:
    """Whether the bytes must be stored so that a close or fsync of now holds what was written before it."""
    return is_changed(mark, found) or (mark is not None and not mark.sure)


def is_changed(mark: Clean | None, found: Stamp) -> bool:
    """Whether the stamp is another. After the last close that is all there is to ask: each closer's own close has
    stored what it wrote."""
    return mark is None or mark.stamp != found


def is_fine(folder: str, rounds: int = 20) -> bool:
    """Whether two writes with a look between them have two stamps in this folder, always; found by trying."""
    with tempfile.TemporaryFile(dir=folder) as file:
        fd = file.fileno()
        seen = set[Stamp]()
        for _ in range(rounds):
            os.pwrite(fd, b"x", 0)
            seen.add(stamp_of(fd))
        return len(seen) == rounds
