"""How full a file system is, and when that is worth a write to the API."""

from dataclasses import dataclass

from moorage.model import Usage

AT_MOST_EVERY = 60.0  # seconds between two writes for one volume
SMALL_EVERY = 600.0  # seconds until a change that is not worth a write by itself is told all the same
_PART = 100  # one part in so many is worth telling


@dataclass(frozen=True, slots=True)
class Figures:
    """statfs(2), with blocks as bytes. `available` is `free` without what only root may use."""

    total: int
    free: int
    available: int
    inodes: int
    inodes_free: int

    @property
    def usage(self) -> Usage:
        return Usage(
            used_bytes=max(0, self.total - self.free),
            free_bytes=self.available,
            inodes=self.inodes,
            inodes_used=max(0, self.inodes - self.inodes_free),
        )


def is_worth_telling(told: Usage | None, now: Usage, age: float) -> bool:
    """Whether what was told `age` seconds ago is to be told anew.

    At once when bytes, or files and folders, have changed by one per cent of what there is, or what there is itself;
    any smaller change after `SMALL_EVERY` seconds.
    XFS gives room to inodes as they are needed, so that `inodes` moves with the free space: that alone tells nothing.
    """
    if told is None:
        return True
    if age >= SMALL_EVERY and told.model_copy(update={"inodes": now.inodes}) != now:
        return True
    size, inodes = now.used_bytes + now.free_bytes, now.inodes
    return (
        _changed(told.used_bytes, now.used_bytes, size)
        or _changed(told.free_bytes, now.free_bytes, size)
        or _changed(told.inodes_used, now.inodes_used, inodes)
    )


def _changed(before: int, after: int, whole: int) -> bool:
    return abs(after - before) * _PART >= max(whole, 1)
