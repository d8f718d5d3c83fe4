"""Who has a file open, and how the kernel reads and writes it: by itself (direct, with one backing id) or by us."""

import os

from moorfs.fetch import Streamed
from moorfs.means import Means, log
from moorfs.partial import Partial
from moorfs.ports import FileNode, Handle, Opened
from moorfs.whole import Whole


def changes(flags: int) -> bool:
    """Whether who opens a file with these flags may leave something to store: also a reader who creates or empties it
    (the kernel hands O_CREAT on only with a create request)."""
    return flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & (os.O_CREAT | os.O_TRUNC))


class Handles:
    """Of one file. Changed with the file's lock only."""

    __slots__ = ("_means", "_node", "_open", "backing", "direct", "writers")

    def __init__(self, means: Means, node: FileNode) -> None:
        self._means = means
        self._node = node
        self._open: dict[int, int] = {}
        self.direct = False
        self.backing = 0
        self.writers = 0

    def __len__(self) -> int:
        return len(self._open)

    def writes(self, handle: int) -> bool:
        return changes(self._open.get(handle, 0))

    def add(self, flags: int, body: Whole | Partial | Streamed, keep: bool) -> Opened:
        """`keep`: what the kernel's page cache holds is good. Raises OSError when the journal cannot be written."""
        if not self._open:
            self.direct = isinstance(body, Whole) and self._may_be_direct(flags) and self._back(body)
        number = next(self._means.numbers)
        handle = Handle(number, self._node.id, flags, self.direct, self.backing)
        try:
            self._means.log.opened(handle)
        except BaseException:
            self._unback()
            raise
        self._count(handle, body)
        writes = self.writes(number)
        return Opened(number, self.backing if self.direct else None, keep and not self.direct, writes)

    def restore(self, handle: Handle, body: Whole | Partial | Streamed) -> None:
        """One that another process made, whose backing id the kernel still has."""
        self.direct, self.backing = handle.direct, handle.backing
        self._count(handle, body)

    def _count(self, handle: Handle, body: Whole | Partial | Streamed) -> None:
        self._open[handle.number] = handle.flags
        self.writers += self.writes(handle.number)
        if self.direct and isinstance(body, Whole) and handle.flags & os.O_ACCMODE == os.O_RDWR:
            body.mapped = True  # a writable shared mapping needs such a descriptor

    def remove(self, handle: int) -> None:
        self.writers -= self.writes(handle)
        self._open.pop(handle, None)
        self._unback()

    def _may_be_direct(self, flags: int) -> bool:
        if self._means.backing is None:
            return False
        return self._means.settings.mmap == "fast" or flags & os.O_ACCMODE != os.O_RDWR

    def _back(self, body: Whole) -> bool:
        if self._means.backing is None:
            return False
        try:
            self.backing = self._means.backing.open(body.fd)
        except OSError as error:  # ELOOP: the cache is on an overlay; EPERM: no CAP_SYS_ADMIN; ENOTTY: an old kernel
            log.warning("no passthrough from now on: %s", error)
            self._means.backing = None
            return False
        return True

    def _unback(self) -> None:
        if self._open or not self.backing:
            return
        number, self.backing, self.direct = self.backing, 0, False
        if self._means.backing is None:
            return
        try:
            self._means.backing.close(number)
        except OSError as error:
            log.warning("backing id %d was not given back: %s", number, error)
