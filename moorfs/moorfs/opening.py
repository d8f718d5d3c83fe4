"""open and create. What an earlier process opened without the kernel hearing of it is claimed by the resent request.

Close-to-open: at open the engine is asked when what we know is older than the time of belief.
"""

import errno
import os
import stat
import time
from dataclasses import replace

from moorfs.glance import read_in
from moorfs.names import given
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Caller, Entry, FileError, Opened
from moorfs.records import Answered
from moorfs.status import attributes
from moorfs.volume import Volume, own


class Claims:
    """Of the process before. `created`: nodes by the request that created them. Handles: `answered` by the request;
    `silent`, by node, those whose request is not in the log, so that the kernel never heard of them."""

    def __init__(self) -> None:
        self.created: dict[int, int] = {}
        self.answered: dict[int, tuple[int, int]] = {}
        self.silent: dict[int, list[int]] = {}

    def of(self, node: int, caller: Caller) -> list[int]:
        """Handles that a request that comes again had got; they are nobody's once it is answered anew."""
        if not caller.resent:
            return []
        found = self.silent.pop(node, [])
        owner, handle = self.answered.pop(caller.unique, (0, 0))
        return [*found, handle] if owner == node else found

    def made(self, node: int, caller: Caller) -> bool:
        """Whether the request that comes again had created it."""
        return caller.resent and self.created.get(caller.unique) == node

    def unclaimed(self) -> list[tuple[int, list[int]]]:
        """Handles by node that nobody will claim any more: all requests that come again have come."""
        self.answered.clear()
        self.created.clear()
        found = list(self.silent.items())
        self.silent.clear()
        return found


class Opening:
    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self.claims = Claims()

    def create(self, parent: int, name: bytes, flags: int, mode: int, caller: Caller) -> tuple[Entry, Opened]:
        """Nothing is stored before the first flush."""
        with self._volume.changing(parent) as folder:
            text = given(name, folder.key)
            found = self._volume.finding.find(folder, text)
            if found is not None:
                return self._existing(found, flags, caller)
            leaf = self._volume.tree.new_leaf(stat.S_IFREG | stat.S_IMODE(mode))
            own(leaf, folder, leaf.mode, caller)
            self._volume.tree.place(leaf, folder, text)
            entry = self._volume.entry(leaf, caller.unique)
            try:
                opened = self._volume.file(leaf).create(flags)
            except BaseException:
                leaf.lookups = 0
                self._volume.tree.remove(leaf)
                raise
            self._volume.changed(folder)
            self._answer(caller, opened)
            return replace(entry, attributes=attributes(leaf)), opened  # the times are those of the cache file now

    def _existing(self, found: Node, flags: int, caller: Caller) -> tuple[Entry, Opened]:
        if isinstance(found, Folder) or not isinstance(found, Leaf):
            raise FileError(errno.EEXIST if flags & os.O_EXCL else errno.EISDIR, "a folder has the name")
        if flags & os.O_EXCL and not self.claims.made(found.id, caller):
            raise FileError(errno.EEXIST, "the name is there")
        opened = self._open(found, flags, caller, self.claims.of(found.id, caller))
        return self._volume.entry(found), opened

    def open(self, node: int, flags: int, caller: Caller) -> Opened:
        leaf = self._volume.tree.leaf(node)
        self._volume.mover.settled(leaf)
        return self._open(leaf, flags, caller, self.claims.of(node, caller))

    def _open(self, leaf: Leaf, flags: int, caller: Caller, stale: list[int]) -> Opened:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            self._volume.writable()
        if leaf.file is not None and leaf.file.is_open:
            opened = leaf.file.open(flags)  # nothing to ask; and an upload, which has the lock, may take long
        else:
            with leaf.lock:
                opened = self._open_closed(leaf, flags)
        for handle in stale:
            self._volume.file(leaf).release(handle)
        self._answer(caller, opened)
        return opened

    def _open_closed(self, leaf: Leaf, flags: int) -> Opened:
        if not leaf.busy:
            self._ask(leaf, flags)
        if leaf.kind != stat.S_IFREG:
            raise FileError(errno.ESTALE, "it is no file any more")
        opened = self._volume.file(leaf).open(flags)
        if not flags & (os.O_WRONLY | os.O_RDWR):
            read_in(leaf.parent)
        return opened

    def _ask(self, leaf: Leaf, flags: int) -> None:
        """ESTALE makes the kernel look the name up again, and fail with ENOENT if it is really gone."""
        fresh = leaf.until > time.monotonic() or self._volume.knowledge.fresh(leaf)
        needed = flags & (os.O_WRONLY | os.O_RDWR) or self._volume.knowledge.belief.heads
        if not leaf.gone and (not fresh or (needed and not leaf.learned)):  # while it is open nothing is learned
            self._volume.heads.one(leaf)
        if leaf.gone:
            raise FileError(errno.ESTALE, "it was removed meanwhile")

    def _answer(self, caller: Caller, opened: Opened) -> None:
        self._volume.journal.write(Answered(caller.unique, opened.handle))
