"""unlink, rmdir. Two calls each: the lookup (rmdir: a fresh one), and the removal."""

import errno

from moorfs.names import sought
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Caller, Changed, FileError, Missing
from moorfs.volume import Volume

TRIES = 4


class Removing:
    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def unlink(self, parent: int, name: bytes, caller: Caller) -> None:
        with self._volume.changing(parent) as folder:
            leaf = self._found(folder, name, caller)
            if leaf is None:
                return
            if not isinstance(leaf, Leaf):
                raise FileError(errno.EISDIR, "unlink(2) of a folder")
            with leaf.lock:
                self._volume.keep(folder, leaf)
                self.take_away(leaf)
            self._volume.changed(folder)

    def take_away(self, leaf: Leaf) -> None:
        """The object goes, and the name with it; who has it open goes on. The leaf's lock is held."""
        leaf.gone = True
        try:
            if leaf.file is not None:
                leaf.file.unlinked()
            if leaf.etag or leaf.file is None:
                self._delete(leaf)
        except BaseException:
            leaf.gone = False
            raise
        self._volume.tree.remove(leaf)

    def _delete(self, leaf: Leaf) -> None:
        """The object that is there now, whoever wrote it."""
        match = leaf.etag or None
        for _ in range(TRIES):
            try:
                return self._volume.store.delete(leaf.key, match)
            except Changed:
                match = self._now(leaf.key)
        return self._volume.store.delete(leaf.key)

    def _now(self, key: str) -> str | None:
        try:
            return self._volume.store.head(key).etag
        except Missing:
            return None

    def rmdir(self, parent: int, name: bytes, caller: Caller) -> None:
        with self._volume.changing(parent) as folder:
            found = self._found(folder, name, caller)
            if found is None:
                return
            if not isinstance(found, Folder):
                raise FileError(errno.ENOTDIR, "rmdir(2) of a file")
            with found.lock:
                self.empty(found)
                self._volume.keep(folder, found)
                if found.marker is not False:
                    self._volume.store.delete(found.key)
                self._volume.tree.remove(found)
            self._volume.changed(folder)

    def empty(self, folder: Folder) -> None:
        """FileError ENOTEMPTY unless nothing is in it, asked of the engine now. Keys without a name here count."""
        names = self._volume.listing.first(folder)
        unsaved = any(isinstance(child, Leaf) and child.busy for child in list(folder.children.values()))
        if names.filled or unsaved:
            raise FileError(errno.ENOTEMPTY, f"{folder.key} is not empty")

    def _found(self, folder: Folder, name: bytes, caller: Caller) -> Node | None:
        """None: a request that comes again, of what is gone."""
        text = sought(name)
        found = self._volume.finding.find(folder, text) if text is not None else None
        if found is None and not caller.resent:
            raise FileError(errno.ENOENT, "no such name")
        return found
