"""The FileSystem of ports.py over a bucket: each request goes to the room that knows it."""

import errno
import stat
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from moorfs.making import Making
from moorfs.names import sought
from moorfs.node import Folder, Leaf, Node
from moorfs.opening import Opening
from moorfs.ports import Attributes, Caller, Change, Entry, File, FileError, Item, Missing, Opened
from moorfs.reading import Reading
from moorfs.removing import Removing
from moorfs.rename import Renaming
from moorfs.setting import Setting
from moorfs.status import attributes
from moorfs.volume import Volume

ROOM = 1 << 50
"""Bytes that df shows, all of them free: a bucket has no bound that we know."""
TARGET_MAX = 4095  # Linux, PATH_MAX without its NUL


class BucketFileSystem:
    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.opening = Opening(volume)
        self._making = Making(volume)
        self._removing = Removing(volume)
        self.renaming = Renaming(volume, self._removing)
        self._setting = Setting(volume)
        self._reading = Reading(volume.tree, volume.knowledge, volume.heads, volume.listing, time.time_ns())

    # Names

    def lookup(self, parent: int, name: bytes, caller: Caller) -> Entry:
        folder = self.volume.tree.folder(parent)
        text = sought(name)
        found = None if text is None or folder.gone else self.volume.finding.find(folder, text)
        if found is None:
            return Entry(None, self._missing(folder))
        return self.volume.entry(found)

    def _missing(self, folder: Folder) -> float:
        """Seconds for which a name is known not to be there."""
        ttl = self.volume.knowledge.belief.ttl
        left = folder.listed - time.monotonic()
        return min(left, ttl) if left > 0 else ttl

    def forget(self, node: int, count: int) -> None:
        self.volume.tree.forget(node, count)

    def mkdir(self, parent: int, name: bytes, mode: int, caller: Caller) -> Entry:
        return self._making.mkdir(parent, name, mode, caller)

    def mknod(self, parent: int, name: bytes, mode: int, device: int, caller: Caller) -> Entry:
        return self._making.mknod(parent, name, mode, device, caller)

    def symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry:
        return self._making.symlink(parent, name, target, caller)

    def unlink(self, parent: int, name: bytes, caller: Caller) -> None:
        self._removing.unlink(parent, name, caller)

    def rmdir(self, parent: int, name: bytes, caller: Caller) -> None:
        self._removing.rmdir(parent, name, caller)

    def rename(self, parent: int, name: bytes, to: int, new: bytes, flags: int, caller: Caller) -> None:
        self.renaming.rename(parent, name, to, new, flags, caller)

    # Attributes

    def getattr(self, node: int, handle: int | None, caller: Caller) -> tuple[Attributes, float]:
        found = self.volume.tree.node(node)
        self._refresh(found)
        return attributes(found), self.volume.knowledge.left(found)

    def glimpse(self, node: int) -> tuple[Attributes, float] | None:
        """Of a folder that is fresh: the kernel asks for that after each name that went."""
        found, knowledge = self.volume.tree.known(node), self.volume.knowledge
        if not isinstance(found, Folder) or found.gone or knowledge.lacks(found) or not knowledge.fresh(found):
            return None
        return attributes(found), knowledge.left(found)

    def _refresh(self, node: Node) -> None:
        """What we know of it is fresh. FileError ENOENT: it is gone."""
        if isinstance(node, Leaf) and node.busy:
            return
        if not node.gone and not self.volume.knowledge.fresh(node):
            self.volume.finding.again(node)
        elif not node.gone and self.volume.knowledge.lacks(node):
            self.volume.heads.one(node)
        if node.gone:
            raise FileError(errno.ENOENT, "it was removed")

    def setattr(self, node: int, change: Change, caller: Caller) -> tuple[Attributes, float]:
        found = self.volume.tree.node(node)
        self._setting.set(found, change)
        return attributes(found), self.volume.knowledge.left(found)

    def readlink(self, node: int) -> bytes:
        leaf = self.volume.tree.leaf(node)
        self._refresh(leaf)
        if leaf.kind != stat.S_IFLNK:
            raise FileError(errno.EINVAL, "no symbolic link")
        if leaf.target is None:
            try:
                leaf.target = self.volume.store.get(leaf.key, TARGET_MAX)[1]
            except Missing:
                raise FileError(errno.ENOENT, "it was removed") from None
        return leaf.target

    # Files

    def create(self, parent: int, name: bytes, flags: int, mode: int, caller: Caller) -> tuple[Entry, Opened]:
        return self.opening.create(parent, name, flags, mode, caller)

    def open(self, node: int, flags: int, caller: Caller) -> Opened:
        return self.opening.open(node, flags, caller)

    def _file(self, node: int) -> File:
        leaf = self.volume.tree.leaf(node)
        return leaf.file if leaf.file is not None else self.volume.file(leaf)

    def read(self, node: int, handle: int, offset: int, size: int) -> bytes | memoryview:
        return self._file(node).read(handle, offset, size)

    def write(self, node: int, handle: int, offset: int, data: memoryview) -> int:
        return self._file(node).write(handle, offset, data)

    def flush(self, node: int, handle: int) -> None:
        self._file(node).flush(handle)

    def fsync(self, node: int, handle: int) -> None:
        self._file(node).fsync(handle)

    def release(self, node: int, handle: int) -> None:
        leaf = self.volume.tree.leaf(node)
        self.volume.file(leaf).release(handle)
        self.volume.tree.drop(leaf)

    def allocate(self, node: int, handle: int, mode: int, offset: int, length: int) -> None:
        self._file(node).allocate(handle, mode, offset, length)

    # Folders

    def opendir(self, node: int) -> int:
        self.volume.tree.folder(node)
        return self._reading.open()

    def readdir(self, node: int, handle: int, offset: int, plus: bool) -> Iterable[Item]:
        folder = self.volume.tree.folder(node)
        self.volume.mover.settled(folder)
        return self._reading.read(folder, handle, offset, plus)

    def releasedir(self, node: int, handle: int) -> None:
        self._reading.close(handle)

    # All

    def statfs(self) -> tuple[int, int]:
        return ROOM, ROOM

    def settle(self, seconds: float) -> Sequence[str]:
        prefix = self.volume.tree.root.key
        return [key.removeprefix(prefix) for key in self.volume.files.settle(seconds)]

    def figures(self) -> Mapping[str, float]:
        skipped: Counter[str] = self.volume.listing.skipped
        mine: dict[str, float] = {
            "nodes": len(self.volume.tree),
            "journal_bytes": self.volume.journal.size,
            "unfinished_renames": len(self.renaming.pending),
        }
        mine |= {f"skipped_keys_{reason}_total": count for reason, count in skipped.items()}
        return mine | dict(self.volume.files.figures())
