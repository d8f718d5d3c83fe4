"""Which cache files go when there are too many: the least recently used of those that are clean and not open."""

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moorfs.content import Content

_SHARE = 8
"""When the disk is full, an eighth of the clean bytes goes at once."""


MOST_FILES = 20_000
"""Each takes memory too, 2 KiB or so."""


class Shelf:
    """The closed, clean files that have bytes here; used last comes last. Takes no file's lock but by attempt, since
    it is called by those who hold one."""

    def __init__(self, most: int, most_files: int = MOST_FILES) -> None:
        self.most = most
        """Bytes kept."""
        self.most_files = most_files
        self.bytes = 0
        self._lock = threading.Lock()
        self._files: OrderedDict[Content, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._files)

    def put(self, file: "Content", size: int) -> None:
        with self._lock:
            self.bytes += size - self._files.pop(file, 0)
            self._files[file] = size

    def take(self, file: "Content") -> None:
        """It is in use, or has no bytes here any more."""
        with self._lock:
            self.bytes -= self._files.pop(file, 0)

    def trim(self) -> int:
        """Bytes that went so that not more than `most` are left, nor more files than `most_files`."""
        freed = self.free(self.bytes - self.most)
        if len(self._files) > self.most_files:
            for file, length in self._oldest()[: self.most_files // _SHARE]:
                freed += length if self._evicted(file) else 0
        return freed

    @property
    def is_over(self) -> bool:
        return self.bytes > self.most or len(self._files) > self.most_files

    def make_room(self) -> bool:
        """For a disk that is full; False when nothing could go."""
        return self.free(max(1, self.bytes // _SHARE)) > 0

    def free(self, size: int) -> int:
        """At least so many bytes go, if there are."""
        freed = 0
        if size <= 0:
            return freed
        for file, length in self._oldest():
            if freed >= size:
                break
            if self._evicted(file):
                freed += length
        return freed

    def _oldest(self) -> list[tuple["Content", int]]:
        with self._lock:
            return list(self._files.items())

    def _evicted(self, file: "Content") -> bool:
        if not file.lock.attempt():
            return False
        try:
            with self._lock:
                if file not in self._files:
                    return False
                self.bytes -= self._files.pop(file)
            file.drop()
            return True
        finally:
            file.lock.__exit__()


def used(*paths: str) -> int:
    """Bytes that the files take of the disk."""
    total = 0
    for path in paths:
        try:
            total += os.stat(path).st_blocks * 512
        except FileNotFoundError:
            continue
    return total
