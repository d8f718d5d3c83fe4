"""Parts of a big new file go to the engine while it is still being written.

Where its writes come to us, we know which parts were written again; where the kernel writes by itself we only see the
file grow, and each part that went out is compared with the file (`Seal.fits`) before it counts. S3 takes an object's
metadata
when an upload begins: such an object has no mtime of its own, and Last-Modified stands for it. One that was set by
utimens(2), and a mode or owner that changed meanwhile, are put right by a copy in place.
"""

import os
from collections.abc import Mapping

from moorfs.means import Means
from moorfs.transfer.growing import MOST_PARTS, Growing
from moorfs.upload import Goal, part_of


class Early:
    """Of one file, from when it is big enough until it is stored or given up."""

    def __init__(self, means: Means, key: str, metadata: Mapping[str, str], path: str) -> None:
        self._means = means
        self.key = key
        self._metadata = metadata
        self._seen = 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._growing = Growing(means.noting, means.up, key, self._fd, metadata, part_of(means))

    def grew(self, size: int) -> None:
        """The file is so long now; what is behind its end is supposed to be written."""
        if size > self._seen:
            self._growing.wrote(self._seen, size - self._seen)
            self._seen = size

    def wrote(self, offset: int, length: int) -> None:
        """These bytes were written."""
        if offset < self._seen:
            self._growing.wrote(offset, min(length, self._seen - offset))
        self.grew(offset + length)

    def finish(self, goal: Goal, size: int, unseen: bool, mtime_set: bool) -> str | None:
        """The ETag; None when it must be uploaded in another way."""
        try:
            if goal.key != self.key or size > MOST_PARTS * part_of(self._means):
                self._growing.abandon()
                return None
            etag = self._growing.finish(size, goal.condition, unseen)
        finally:
            self._end()
        if etag is not None and (mtime_set or _without_time(goal.metadata) != _without_time(self._metadata)):
            etag = self._means.store.copy(goal.key, goal.key, goal.metadata, etag)
        return etag

    def abandon(self) -> None:
        """Nothing of it stays at the engine."""
        self._growing.abandon()
        self._end()

    def _end(self) -> None:
        os.close(self._fd)


def without_mtime(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name != "mtime"}


def _without_time(metadata: Mapping[str, str]) -> dict[str, str]:
    """The writer's tag has a time too."""
    return {name: value for name, value in metadata.items() if name not in ("mtime", "moorfs-writer")}
