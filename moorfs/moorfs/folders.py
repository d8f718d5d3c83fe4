"""rename of a folder: all its keys are copied, then the old ones deleted. Bounded, and one move by the state log.

The line `Moved`, on the disk, is the point of no return: before it a crash or an error leaves the folder where it was
(what was copied is removed again), after it the rest of the old keys is removed, by this process or a later one.
"""

import errno
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from moorfs.names import KEY_MAX
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Changed, Condition, FileError, Listed, StoreError
from moorfs.records import Intent, Settled
from moorfs.tree import within
from moorfs.volume import Volume

log = logging.getLogger(__name__)
Etags = tuple[str, str | None]
"""Of a copy, and of the object that was copied, if it is known."""
BATCH = 1000  # S3: most keys of one DeleteObjects


class FolderMoves:
    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def move(self, folder: Folder, target: Folder, name: str, intent: Intent, replaced: Node | None) -> bool:
        """The folder becomes `target`/`name`; `replaced`, who had that name, is empty.

        The mover's lock and those of both parents are held. Whether nothing is left of the old keys. FileErrors:
        EINVAL (into itself), EXDEV (too many objects), ENAMETOOLONG.
        """
        if within(target, folder):
            raise FileError(errno.EINVAL, "a folder cannot be moved into itself")
        with self._volume.mover.moving(folder), ExitStack() as stack:
            leaves = self._still(folder, stack)
            found = self._all(intent.source)
            self._bounded(found, intent)
            self._volume.journal.write(intent, sync=True)
            held = {leaf.key: leaf.etag for leaf in leaves if leaf.busy}
            etags = self._copied(folder, found, intent, held)
            if replaced is not None:
                self._volume.tree.remove(replaced)
            self._volume.tree.move(folder, target, name)
            self._volume.journal.sync()
            for leaf in leaves:
                old = intent.source + leaf.key[len(intent.target) :]
                leaf.relabelled(*etags.get(old, (leaf.etag, leaf.etag)))
            return self._swept(found, intent)

    def _still(self, folder: Folder, stack: ExitStack) -> list[Leaf]:
        """Everything known in it is locked, parents first, and stored."""
        stack.enter_context(folder.lock)
        nodes = self._volume.tree.beneath(folder)
        for node in nodes:
            stack.enter_context(node.lock)
        leaves = [node for node in nodes if isinstance(node, Leaf) and not node.gone]
        for leaf in leaves:
            if leaf.file is not None and leaf.busy:
                leaf.file.store()
        return leaves

    def _all(self, prefix: str) -> list[Listed]:
        """At most one more than may be moved."""
        most = self._volume.limits.rename_objects
        page = self._volume.store.list(prefix, "", None)
        found = list(page.objects)
        while page.token is not None and len(found) <= most:
            page = self._volume.store.list(prefix, "", page.token)
            found += page.objects
        return found

    def _bounded(self, found: Sequence[Listed], intent: Intent) -> None:
        most = self._volume.limits.rename_objects
        if len(found) > most:
            log.warning("rename of %s refused: it has more than %d objects", intent.source, most)
            raise FileError(errno.EXDEV, f"a folder of more than {most} objects is not renamed; mv(1) copies it")
        longer = len(intent.target.encode()) - len(intent.source.encode())
        if any(len(each.key.encode()) + longer > KEY_MAX for each in found):
            raise FileError(errno.ENAMETOOLONG, f"keys in the folder would be longer than {KEY_MAX} bytes")

    def _copied(
        self, folder: Folder, found: Sequence[Listed], intent: Intent, held: Mapping[str, str]
    ) -> dict[str, Etags]:
        """By old keys. After an error nothing is left of the copies. `held`: ETags of what is open here."""
        etags: dict[str, Etags] = {}

        def copy(each: Listed) -> None:
            target = intent.target + each.key[len(intent.source) :]
            etags[each.key] = self._copy(each, target, held.get(each.key) or each.etag)

        try:
            self._volume.heads.each(copy, found)
            if not found:  # known by what was made in it only just now; keep it a folder
                self._volume.store.put(intent.target, b"", folder.metadata(folder.mtime))
        except BaseException:
            self._take_back(etags, intent)
            raise
        return etags

    def _copy(self, found: Listed, target: str, match: str) -> Etags:
        """Markers are put anew: versitygw copies none that has something in it."""
        if found.key.endswith("/"):
            return self._volume.store.put(target, b"", self._volume.store.head(found.key).metadata), None
        copy, onto = self._volume.files.copy, Condition(absent=True)
        try:
            return copy(found.key, target, found.size, match or None, onto), match or None
        except Changed:  # by somebody else: that is what is moved
            return copy(found.key, target, found.size, None, onto), None

    def _take_back(self, etags: Mapping[str, Etags], intent: Intent) -> None:
        copies = [intent.target + key[len(intent.source) :] for key in etags]
        try:
            self._delete(copies)
            self._volume.journal.write(Settled(intent.serial))
        except StoreError as error:
            log.warning("copies beneath %s stay till the next mount: %s", intent.target, error)

    def _swept(self, found: Sequence[Listed], intent: Intent) -> bool:
        """Copying may have taken long: what others wrote meanwhile stays at its old key, for nobody has copied it."""
        try:
            self._delete(_unchanged(found, self._all(intent.source)))
        except StoreError as error:
            log.warning("old keys beneath %s stay for now: %s", intent.source, error)
            return False
        self._volume.journal.write(Settled(intent.serial))
        return True

    def _delete(self, keys: Sequence[str]) -> None:
        """Folders after what is in them."""
        ordered = sorted(keys, key=lambda key: (key.endswith("/"), -key.count("/")))
        for start in range(0, len(ordered), BATCH):
            self._volume.store.delete_many(ordered[start : start + BATCH])

    def finish(self, intent: Intent, moved: bool) -> None:
        """After a crash, or deletions that failed: of each key that is on both sides and the same, one is deleted:
        the old one when the folder was moved, else the copy. What differs was changed since, and stays."""
        old = {each.key[len(intent.source) :]: each for each in self._all(intent.source)}
        new = {each.key[len(intent.target) :]: each for each in self._all(intent.target)}
        alike = {rest for rest in old.keys() & new.keys() if _same(old[rest], new[rest])}
        here = old if moved else new
        needed = {folder for rest in here.keys() - alike for folder in _above(here[rest].key)}
        self._delete([here[rest].key for rest in alike if here[rest].key not in needed])
        self._volume.journal.write(Settled(intent.serial))


def _same(one: Listed, other: Listed) -> bool:
    """Copies of objects that were uploaded in parts ("...-3") have another ETag."""
    return one.size == other.size and (one.etag == other.etag or "-" in one.etag)


def _unchanged(found: Sequence[Listed], now: Sequence[Listed]) -> list[str]:
    """Keys of what is still as it was found; a folder's marker stays with what is new in it."""
    before = {each.key: (each.size, each.etag) for each in found}
    new = [each.key for each in now if not each.key.endswith("/") and before.get(each.key) != (each.size, each.etag)]
    needed = {folder for key in new for folder in _above(key)} | set(new)
    return [each.key for each in now if each.key in before and each.key not in needed]


def _above(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:count]) + "/" for count in range(1, len(parts))]
