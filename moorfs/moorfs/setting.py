"""setattr: mode, owner, times, size. Metadata is replaced by a copy in place, or goes with bytes yet to be stored."""

import errno
import stat
import time

from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Change, Changed, FileError, Missing
from moorfs.records import Changed as ChangedLine
from moorfs.volume import Volume

TRIES = 4


class Setting:
    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def set(self, node: Node, change: Change) -> None:
        """FileErrors: EROFS, ENOENT when it vanished meanwhile, EINVAL for the size of what has none."""
        self._volume.writable()
        self._volume.mover.settled(node)
        with node.lock:
            if isinstance(node, Folder):
                self._folder(node, change)
            elif isinstance(node, Leaf):
                self._leaf(node, change)

    def _folder(self, folder: Folder, change: Change) -> None:
        if change.size is not None:
            raise FileError(errno.EISDIR, "a folder has no size")
        if self._volume.knowledge.lacks(folder):
            self._volume.heads.one(folder)
        before = folder.mode, folder.uid, folder.gid, folder.mtime, folder.changed, folder.accessed
        _put(folder, change)
        if (mtime := _mtime(change)) is not None:
            folder.mtime, folder.worked = mtime, 0
        try:
            if not folder.gone:
                self._volume.mark(folder)
        except BaseException:
            folder.mode, folder.uid, folder.gid, folder.mtime, folder.changed, folder.accessed = before
            raise
        self._note(folder)

    def _leaf(self, leaf: Leaf, change: Change) -> None:
        if change.size is not None and leaf.kind != stat.S_IFREG:
            raise FileError(errno.EINVAL, "only files have a size")
        if not leaf.busy and not leaf.gone:
            self._learn(leaf)
        before = leaf.mode, leaf.uid, leaf.gid, leaf.changed, leaf.accessed
        _put(leaf, change)
        try:
            if change.size is not None:
                self._volume.file(leaf).truncate(change.size)
            self._store(leaf, change)
        except BaseException:
            leaf.mode, leaf.uid, leaf.gid, leaf.changed, leaf.accessed = before
            raise
        self._note(leaf)

    def _learn(self, leaf: Leaf) -> None:
        """What is replaced must be known: the other metadata is kept."""
        if not self._volume.knowledge.fresh(leaf) or not leaf.learned:
            self._volume.heads.one(leaf)
        if leaf.gone:
            raise FileError(errno.ENOENT, "it was removed meanwhile")

    def _store(self, leaf: Leaf, change: Change) -> None:
        mtime = _mtime(change)
        owned = any(each is not None for each in (change.mode, change.uid, change.gid, change.atime or None))
        if not owned and mtime is None:
            return
        if (leaf.kind == stat.S_IFREG and self._along(leaf, change, mtime, owned)) or leaf.gone:
            leaf.mtime = leaf.mtime if mtime is None else mtime
        else:
            self._copy(leaf, change, leaf.mtime if mtime is None else mtime)

    def _along(self, leaf: Leaf, change: Change, mtime: int | None, owned: bool) -> bool:
        """Whether the change is stored with the bytes (or well enough already), so that nothing is to do here."""
        if leaf.file is None:
            return False
        along = leaf.file.touched() if owned else True
        if mtime is not None:
            along = leaf.file.touched(mtime, change.mtime_now) and along
        return along

    def _copy(self, leaf: Leaf, change: Change, mtime: int) -> None:
        """A copy onto itself, of the object that we know: of another one with its own metadata, and again."""
        for left in reversed(range(TRIES)):
            source = leaf.etag
            try:
                etag = self._volume.store.copy(leaf.key, leaf.key, leaf.metadata(mtime), source or None)
                break
            except Changed:
                if not left or leaf.busy:
                    raise
                self._volume.heads.one(leaf)
                _put(leaf, change)
            except Missing:
                raise FileError(errno.ENOENT, f"{leaf.key} was removed meanwhile") from None
        else:
            return
        leaf.mtime, leaf.learned = mtime, time.monotonic()
        leaf.relabelled(etag, source)

    def _note(self, node: Node) -> None:
        if node.told:
            self._volume.journal.write(ChangedLine(node.id, node.mode, node.uid, node.gid, node.mtime))


def _put(node: Node, change: Change) -> None:
    if change.mode is not None:
        node.mode = node.kind | stat.S_IMODE(change.mode)
    node.uid = node.uid if change.uid is None else change.uid
    node.gid = node.gid if change.gid is None else change.gid
    node.accessed = node.accessed if change.atime is None else change.atime
    node.changed = time.time_ns()


def _mtime(change: Change) -> int | None:
    return time.time_ns() if change.mtime_now else change.mtime
