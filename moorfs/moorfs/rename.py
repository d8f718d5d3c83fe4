"""rename: of a file by a copy and a deletion, three calls with the lookup; of a folder see folders.py.

The intent in the state log, on the disk before the first call, makes them one move: a crash in the middle is rolled
forward by the resent request, or undone or finished when nobody resends it.
"""

import errno
import logging
import time
from contextlib import ExitStack
from itertools import count

from moorfs.copies import is_copy
from moorfs.folders import FolderMoves
from moorfs.moving import both
from moorfs.names import given, sought
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import ALWAYS, Caller, Changed, Condition, FileError, Missing, StoreError
from moorfs.records import Intent, Settled
from moorfs.removing import Removing
from moorfs.volume import Volume

log = logging.getLogger(__name__)
NOREPLACE = 1  # renameat2(2)


class Renaming:
    """`pending`: intents of an earlier process, or whose end failed, and whether `Moved` was written after them."""

    def __init__(self, volume: Volume, removing: Removing) -> None:
        self._volume = volume
        self._removing = removing
        self._folders = FolderMoves(volume)
        self._serial = count(time.time_ns())
        self.pending: list[tuple[Intent, bool]] = []

    def rename(self, parent: int, name: bytes, to: int, new: bytes, flags: int, caller: Caller) -> None:
        self._volume.writable()
        if flags & ~NOREPLACE:
            raise FileError(errno.EINVAL, "a bucket cannot exchange two names")
        source, target = self._volume.tree.folder(parent), self._volume.tree.folder(to)
        moves_folder = self._is_folder(source, name)
        with ExitStack() as stack:
            if moves_folder or source is not target:
                stack.enter_context(self._volume.mover.lock)
            self._volume.mover.settled(source)
            self._volume.mover.settled(target)
            stack.enter_context(both(source, target))
            if source.gone or target.gone:
                raise FileError(errno.ENOENT, "the folder was removed")
            self._move(source, name, target, new, flags, caller, moves_folder)

    def _is_folder(self, folder: Folder, name: bytes) -> bool:
        """Asked before the locks are taken, which depend on it; the kernel has looked it up, so this is known."""
        text = sought(name)
        if text is None:
            return False
        return isinstance(folder.children.get(text) or self._volume.finding.find(folder, text), Folder)

    def _move(
        self, source: Folder, name: bytes, target: Folder, new: bytes, flags: int, caller: Caller, moves_folder: bool
    ) -> None:
        text = given(new, target.key)
        old = sought(name)
        claimed = self._claim(source.key + (old or ""), target.key + text, caller)
        if claimed and claimed[1]:  # it was moved: only old keys may be left
            return self._finish_folder(claimed[0], source, old or "") if claimed[0].folder else self._told(claimed[0])
        node = self._begun(claimed[0]) if claimed else None
        if node is not None:  # a look into the bucket would tell that its object is gone
            there = target.children.get(text)
        else:
            node = self._volume.finding.find(source, old) if old is not None else None
            there = self._volume.finding.find(target, text)
        if node is None:
            if claimed and not claimed[0].folder:
                self._volume.journal.write(Settled(claimed[0].serial))
            if caller.resent and there is not None:
                return None
            raise FileError(errno.ENOENT, "no such name")
        if isinstance(node, Folder) and not moves_folder:
            raise FileError(errno.ESTALE, "it is a folder now")  # the kernel looks it up and asks again
        if node is there:
            return None
        if there is not None and not claimed:
            _replaceable(node, there, flags)
        if isinstance(node, Folder):
            self._folder(node, there, target, text, claimed[0] if claimed else None)
        elif isinstance(node, Leaf):
            self._file(node, there, target, text, claimed[0] if claimed else None)
        self._volume.changed(source)
        self._volume.changed(target)
        return None

    def _claim(self, source: str, target: str, caller: Caller) -> tuple[Intent, bool] | None:
        """What an earlier process began of this very request."""
        for each in self.pending if caller.resent else []:
            if each[0].source.rstrip("/") == source and each[0].target.rstrip("/") == target:
                self.pending.remove(each)
                return each
        return None

    def _begun(self, intent: Intent) -> Leaf | None:
        """The file that was to be moved. It is not sought by its old name: the object there may be gone already, and
        the kernel gives the new name to this node."""
        leaf = self._volume.tree.known(intent.node)
        return leaf if isinstance(leaf, Leaf) and not leaf.gone and leaf.key == intent.source else None

    def _told(self, intent: Intent) -> None:
        """A file that was moved, and whose move is in the log: but for the new object's ETag."""
        leaf = self._volume.tree.known(intent.node)
        if isinstance(leaf, Leaf) and not leaf.gone and leaf.key == intent.target:
            with leaf.lock:
                leaf.relabelled(self._volume.store.head(intent.target).etag, leaf.etag if leaf.busy else None)
        self._volume.journal.write(Settled(intent.serial))

    def _finish_folder(self, intent: Intent, source: Folder, old: str) -> None:
        self._folders.finish(intent, True)
        there = source.children.get(old)
        if there is not None:  # found by the keys that were left
            self._volume.tree.remove(there)
        self._volume.changed(source)

    def _intent(self, node: Node, there: Node | None, target: Folder, name: str) -> Intent:
        end = "/" if isinstance(node, Folder) else ""
        replaced = there.id if there is not None else 0
        key = target.key + name + end
        return Intent(next(self._serial), node.id, node.key, key, bool(end), replaced, target.id, name)

    def _folder(self, node: Folder, there: Node | None, target: Folder, name: str, begun: Intent | None) -> None:
        intent = begun or self._intent(node, there, target, name)  # one of a move, however often it is begun
        with ExitStack() as stack:
            if isinstance(there, Folder):
                stack.enter_context(there.lock)
                if not begun:
                    self._removing.empty(there)
            if node.parent is not None:
                self._volume.keep(node.parent, node)
            if not self._folders.move(node, target, name, intent, there):
                self.pending.append((intent, True))

    def _file(self, leaf: Leaf, there: Node | None, target: Folder, name: str, begun: Intent | None) -> None:
        with ExitStack() as stack:
            for node in sorted([n for n in (leaf, there) if n is not None], key=lambda n: n.id):
                stack.enter_context(node.lock)
            if leaf.busy and leaf.file is not None:
                leaf.file.store()
            if leaf.parent is not None:
                self._volume.keep(leaf.parent, leaf)
            intent = begun or self._intent(leaf, there, target, name)
            if not begun:
                self._volume.journal.write(intent, sync=True)
            try:
                replaced = there if isinstance(there, Leaf) else None
                etag, source = self._carried(leaf, replaced, intent, begun is not None)
                if there is not None:
                    self._volume.tree.remove(there)
                self._volume.tree.move(leaf, target, name)
                leaf.relabelled(etag, source if leaf.busy or not begun else None)
            finally:
                self._volume.journal.write(Settled(intent.serial))

    def _carried(self, leaf: Leaf, replaced: Leaf | None, intent: Intent, claimed: bool) -> tuple[str, str | None]:
        """As `_copied`; the old object is gone. After an error it is at its old key."""
        if replaced is not None:
            replaced.gone = True
        try:
            if replaced is not None and replaced.file is not None:
                replaced.file.unlinked()
            etag, source = self._copied(leaf, replaced, intent, claimed)
        except BaseException:
            if replaced is not None:
                replaced.gone = False
            raise
        try:
            self._volume.store.delete(intent.source, source)
        except StoreError:
            self._take_back(replaced, intent)
            raise
        return etag, source

    def _copied(self, leaf: Leaf, replaced: Leaf | None, intent: Intent, claimed: bool) -> tuple[str, str | None]:
        """ETags: of the copy, and of the source if it is known."""
        match = leaf.etag or None
        try:
            return self._volume.files.copy(intent.source, intent.target, leaf.size, match, _supposed(replaced)), match
        except Changed:  # by somebody else: that is what is moved, unless it is open here
            if leaf.busy:
                raise
            return self._volume.files.copy(intent.source, intent.target, leaf.size, None, ALWAYS), None
        except Missing:
            if claimed:  # all was done but told
                return self._volume.store.head(intent.target).etag, match
            raise

    def _take_back(self, replaced: Leaf | None, intent: Intent) -> None:
        """The old object could not be removed. The copy goes, unless it lies over another file, which is gone."""
        if replaced is not None:
            self._volume.tree.remove(replaced)
            return
        try:
            self._volume.store.delete(intent.target)
        except StoreError as error:
            log.warning("%s stays, a copy of %s: %s", intent.target, intent.source, error)

    def settle(self) -> None:
        """Bring to an end what was begun and is not resent. Raises StoreError; call it again then."""
        while self.pending:
            intent, moved = self.pending[0]
            with self._volume.mover.lock:
                if intent.folder:
                    self._folders.finish(intent, moved)
                else:
                    self._finish(intent)
            self.pending.remove((intent, moved))

    def _finish(self, intent: Intent) -> None:
        """Where the copy is whole, the old object goes: it was only this that was missing. Else all is as before."""
        try:
            old, new = self._volume.store.head(intent.source), self._volume.store.head(intent.target)
        except Missing:
            old = new = None
        if old and new and is_copy(old, new):
            self._volume.store.delete(intent.source)
        self._volume.journal.write(Settled(intent.serial))


def _supposed(replaced: Leaf | None) -> Condition:
    """What the copy may be put onto."""
    if replaced is None:
        return Condition(absent=True)
    return Condition(match=replaced.etag) if replaced.etag else ALWAYS


def _replaceable(node: Node, there: Node, flags: int) -> None:
    if flags & NOREPLACE:
        raise FileError(errno.EEXIST, "the name is there")
    if isinstance(there, Folder) and not isinstance(node, Folder):
        raise FileError(errno.EISDIR, "a folder has the name")
    if isinstance(node, Folder) and not isinstance(there, Folder):
        raise FileError(errno.ENOTDIR, "a file has the name")
