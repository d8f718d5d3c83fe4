"""The map of nodes: by number, as the kernel asks, and by name beneath their folders. No S3 calls are made here.

What the kernel was told is journalled before it is told, so that the next process knows the same numbers.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterable, Sequence, Set

from moorfs.journal import Journal
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import ROOT, FileError
from moorfs.records import Forgotten, Made, Moved, Unlinked

UNKNOWN = 1 << 40
"""Lookups of a node that an earlier process told the kernel of: it did not write down how often."""


class Tree:
    """`forgotten`: called with a leaf that nobody can ask for any more. `wait`: gives up the lead before waiting."""

    def __init__(
        self,
        journal: Journal,
        root: Folder,
        wait: Callable[[], None],
        forgotten: Callable[[Leaf], None] = lambda leaf: None,
    ) -> None:
        self.root = root
        self._journal = journal
        self._wait = wait
        self._forgotten = forgotten
        self._lock = threading.Lock()
        self._nodes: dict[int, Node] = {ROOT: root}
        self._next = ROOT + 1
        root.lookups, root.told = UNKNOWN, True

    # By number

    def node(self, number: int) -> Node:
        """FileError ESTALE for a number that nobody was told."""
        node = self._nodes.get(number)
        if node is None:
            raise FileError(errno.ESTALE, f"node {number} is not known")
        return node

    def known(self, number: int) -> Node | None:
        return self._nodes.get(number)

    def folder(self, number: int) -> Folder:
        node = self.node(number)
        if not isinstance(node, Folder):
            raise FileError(errno.ENOTDIR, "not a folder")
        return node

    def leaf(self, number: int) -> Leaf:
        node = self.node(number)
        if not isinstance(node, Leaf):
            raise FileError(errno.EISDIR, "a folder")
        return node

    def __len__(self) -> int:
        return len(self._nodes)

    def all(self) -> list[Node]:
        """Those that the kernel knows."""
        with self._lock:
            return list(self._nodes.values())

    # Making

    def new_leaf(self, mode: int) -> Leaf:
        """Without a name yet: `place` gives it one."""
        return Leaf(self._number(), None, "", mode, self._wait)

    def new_folder(self, mode: int) -> Folder:
        return Folder(self._number(), None, "", mode, self._wait)

    def obtain_leaf(self, folder: Folder, name: str, mode: int) -> Leaf:
        """The node of an object that the bucket has; made when it is not known as such. `mode`: till more is known."""
        with self._lock:
            before = folder.children.get(name)
            if isinstance(before, Leaf):
                return before
            leaf = Leaf(self._take_number(), folder, name, mode, self._wait)
            folder.children[name] = leaf
        if before is not None:
            self.remove(before, keep=True)
        return leaf

    def obtain_folder(self, folder: Folder, name: str, mode: int) -> Folder:
        """The same of a folder."""
        with self._lock:
            before = folder.children.get(name)
            if isinstance(before, Folder):
                return before
            fresh = Folder(self._take_number(), folder, name, mode, self._wait)
            folder.children[name] = fresh
        if before is not None:
            self.remove(before, keep=True)
        return fresh

    def _number(self) -> int:
        with self._lock:
            return self._take_number()

    def _take_number(self) -> int:
        self._next += 1
        return self._next - 1

    def start_after(self, number: int) -> None:
        """Numbers up to this one belong to nodes of the process before."""
        with self._lock:
            self._next = max(self._next, number + 1)

    def restore(self, nodes: Iterable[Node]) -> None:
        """Nodes with their parents set, which an earlier process told the kernel of."""
        with self._lock:
            for node in nodes:
                node.lookups, node.told = UNKNOWN, True
                self._nodes[node.id] = node
                if node.parent is not None and not node.gone:
                    node.parent.children[node.name] = node

    def place(self, node: Node, folder: Folder, name: str) -> None:
        """The node has that name now; who had it before is gone."""
        with self._lock:
            before = folder.children.get(name)
            node.parent, node.name = folder, name
            folder.children[name] = node
        if before is not None and before is not node:
            self.remove(before, keep=True)

    # Telling the kernel

    def tell(self, node: Node, unique: int = 0) -> None:
        """One lookup more. `unique`: the request that created it."""
        with self._lock:
            if not node.told:
                self._note((node,), unique)
            node.lookups += 1

    def announce(self, nodes: Iterable[Node]) -> None:
        """They are about to be told of: all are journalled by one write. Whoever is not told of must be dropped."""
        with self._lock:
            if fresh := [node for node in nodes if not node.told]:
                self._note(fresh)

    def _note(self, nodes: Sequence[Node], unique: int = 0) -> None:
        self._journal.write_all([made(node, unique) for node in nodes])
        for node in nodes:
            if node.parent is not None and not node.gone:  # the kernel forgot it while it was being looked up
                node.parent.children.setdefault(node.name, node)
            self._nodes[node.id] = node
            node.told = True

    def forget(self, number: int, count: int) -> None:
        """The kernel gives `count` lookups back."""
        node = self._nodes.get(number)
        if node is None or node is self.root:
            return
        with self._lock:
            ours = node.lookups - UNKNOWN
            # The kernel gives back all it has at once when it drops an inode: more than we gave is all there was.
            node.lookups = 0 if ours >= 0 and count > ours else max(node.lookups - count, 0)
        self.drop(node)

    def drop(self, node: Node) -> None:
        """Let go of a node that neither the kernel nor a handle holds."""
        if node.lookups or node is self.root or (isinstance(node, Leaf) and node.busy):
            return
        with self._lock:
            if node.lookups or not node.told:
                return
            node.told = False
            self._nodes.pop(node.id, None)
            if not self._useful(node):
                self._detach(node)
            self._journal.write(Forgotten(node.id))
        if isinstance(node, Leaf) and not node.told:
            self._forgotten(node)

    def listed(self, folder: Folder, names: Set[str], until: float) -> None:
        """All names of the folder are known until then (time.monotonic()), if all still are: the kernel may have
        forgotten one while they were put in."""
        with self._lock:
            if names <= folder.children.keys():
                folder.listed = until

    @staticmethod
    def _useful(node: Node) -> bool:
        """Its folder's listing is still believed, which would be wrong without it; or names in it are known."""
        if isinstance(node, Folder) and any(child.told for child in node.children.values()):
            return True
        return not node.gone and node.parent is not None and node.parent.listed > time.monotonic()

    @staticmethod
    def _detach(node: Node) -> None:
        folder = node.parent
        if folder is not None and folder.children.get(node.name) is node:
            del folder.children[node.name]

    # Changes of names

    def remove(self, node: Node, keep: bool = False) -> None:
        """It has no name any more. `keep`: the name is another node's already."""
        with self._lock:
            if not keep:
                self._detach(node)
            node.gone = True
            if node.told:
                self._journal.write(Unlinked(node.id))
        self.drop(node)

    def move(self, node: Node, folder: Folder, name: str) -> None:
        """Another name, perhaps in another folder; who had it before is gone already."""
        with self._lock:
            self._detach(node)
            node.parent, node.name = folder, name
            folder.children[name] = node
            if node.told:
                self._journal.write(Moved(node.id, folder.id, name))

    def beneath(self, folder: Folder) -> list[Node]:
        """All that is known in the folder and the folders in it, parents first."""
        with self._lock:
            found: list[Node] = list(folder.children.values())
            for node in found:  # it grows as we go
                if isinstance(node, Folder):
                    found += node.children.values()
        return found


def made(node: Node, unique: int) -> Made:
    parent = node.parent.id if node.parent else 0
    device = node.device if isinstance(node, Leaf) else 0
    return Made(node.id, parent, node.name, node.mode, node.uid, node.gid, node.mtime, device, unique)


def within(node: Node | None, folder: Folder) -> bool:
    """Whether the node is the folder or in it."""
    while node is not None:
        if node is folder:
            return True
        node = node.parent
    return False
