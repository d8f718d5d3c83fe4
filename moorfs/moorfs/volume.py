"""What the rooms of the file system share: the tree, the engine, the files, the journal."""

import errno
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from moorfs.finding import Finding
from moorfs.heads import Heads
from moorfs.journal import Journal
from moorfs.knowledge import Knowledge
from moorfs.listing import Listing
from moorfs.moving import Mover
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Caller, Entry, File, FileError, Files, ObjectStore
from moorfs.status import attributes
from moorfs.tree import Tree

_COARSE = 5  # CLOCK_REALTIME_COARSE of linux/time.h: the kernel stamps files by it, the cache's too


@dataclass(frozen=True, slots=True)
class Limits:
    """`rename_objects`: how many a rename of a folder may move. `read_only`: nothing is changed."""

    rename_objects: int = 10_000
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    tree: Tree
    store: ObjectStore
    files: Files
    journal: Journal
    knowledge: Knowledge
    heads: Heads
    listing: Listing
    finding: Finding
    mover: Mover
    limits: Limits
    wait: Callable[[], None]

    def writable(self) -> None:
        """FileError EROFS when nothing may be changed."""
        if self.limits.read_only:
            raise FileError(errno.EROFS, "mounted read-only")

    @contextmanager
    def changing(self, number: int) -> Generator[Folder, None, None]:
        """The folder with that number, locked, for a change of its names."""
        self.writable()
        folder = self.tree.folder(number)
        self.mover.settled(folder)
        with folder.lock:
            if folder.gone:
                raise FileError(errno.ENOENT, "the folder was removed")
            yield folder

    def changed(self, folder: Folder) -> None:
        """A name in it was made, removed or moved."""
        folder.changes += 1
        folder.worked = time.time_ns()

    def entry(self, node: Node, unique: int = 0) -> Entry:
        """The answer that tells the kernel of a node: one lookup more. `unique`: the request that created it."""
        self.tree.tell(node, unique)
        left = self.knowledge.left(node)
        return Entry(attributes(node), left, left)

    def file(self, leaf: Leaf) -> File:
        """The bytes of a node."""
        if leaf.file is None:
            leaf.file = self.files.of(leaf)
        return leaf.file

    def keep(self, folder: Folder, leaving: Node) -> None:
        """A folder without a marker goes with the last object in it: before that happens it gets one."""
        if folder.parent is None or folder.marker:
            return
        if self.knowledge.listed(folder) and any(child is not leaving for child in list(folder.children.values())):
            return
        if folder.marker is None:
            self.heads.one(folder)
        if not folder.marker:
            self.mark(folder)

    def mark(self, folder: Folder) -> None:
        """Store the folder's marker, with its attributes."""
        if not folder.key:
            return  # the bucket itself: its mode and owner live as long as this mount
        folder.etag = self.store.put(folder.key, b"", folder.metadata(max(folder.mtime, folder.worked)))
        folder.marker = True
        folder.learned = folder.since = time.monotonic()


def own(node: Node, folder: Folder, mode: int, caller: Caller) -> None:
    """Attributes of what is made in that folder: a set-group-id folder hands on its group (mkdir(2), open(2))."""
    node.mode, node.uid, node.gid = mode, caller.uid, caller.gid
    if folder.mode & 0o2000:
        node.gid = folder.gid
        if isinstance(node, Folder):
            node.mode |= 0o2000
    node.mtime = time.clock_gettime_ns(_COARSE)
    node.learned = node.since = time.monotonic()
