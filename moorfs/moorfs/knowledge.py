"""What the engine told of objects, put into the tree: as far as it is newer than what we know ourselves.

A listing tells size, ETag and Last-Modified; mode, owner and type come from the object's metadata (HEAD). They are
believed as long as ETag and Last-Modified stay the same, but for `metadata_ttl` seconds at most: an engine may replace
metadata and change neither (versitygw does).
"""

import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass

from moorfs.attributes import SECOND, Defaults, known
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Head, Listed
from moorfs.tree import Tree

LINK_MAX = 4096  # Linux, PATH_MAX with its NUL: no symbolic link is longer, and fifos and the like are empty
NEAR = 2 * SECOND
PLAIN = ("application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True, slots=True)
class Belief:
    """Seconds that names (`ttl`) and unchanged metadata are believed. `heads`: whether every object's metadata is read;
    else only of those that may be symbolic links or special files, and the others have the default mode and owner."""

    ttl: float = 1.0
    metadata_ttl: float = 60.0
    heads: bool = True


class Knowledge:
    """`began`, everywhere: when the question was sent (time.monotonic())."""

    def __init__(self, tree: Tree, belief: Belief, defaults: Defaults) -> None:
        self.tree = tree
        self.belief = belief
        self.defaults = defaults
        self._born = time.time_ns()

    def fresh(self, node: Node) -> bool:
        """Whether what we know of it need not be asked again."""
        return self.left(node) > 0

    def listed(self, folder: Folder) -> bool:
        """Whether all names of the folder are known."""
        return folder.listed > time.monotonic()

    def left(self, node: Node) -> float:
        """Seconds for which the kernel may believe what we told it of the node."""
        if node.parent is None or (isinstance(node, Leaf) and node.busy):
            return self.belief.ttl
        now = time.monotonic()
        until = max(node.until, node.since + self.belief.ttl if node.since else 0.0)
        return min(max(until - now, 0.0), self.belief.ttl)

    def lacks(self, node: Node) -> bool:
        """Whether the object's metadata must be read before its mode, owner and type are told."""
        if node.learned and time.monotonic() - node.learned < self.belief.metadata_ttl:
            return False
        if isinstance(node, Leaf):
            return not node.busy and (self.belief.heads or node.size < LINK_MAX)
        return bool(node.key)  # the bucket itself has no metadata

    def saw_folder(self, folder: Folder, name: str, began: float) -> Folder:
        """A common prefix of a listing."""
        node = self.tree.obtain_folder(folder, name, stat.S_IFDIR | self.defaults.folder_mode)
        if not node.learned:
            node.uid, node.gid = self.defaults.uid, self.defaults.gid
            node.mtime = node.mtime or self._born
        node.until = max(node.until, began + self.belief.ttl)
        return node

    def saw_object(self, folder: Folder, name: str, listed: Listed, began: float) -> Leaf:
        """An object of a listing."""
        node = self.tree.obtain_leaf(folder, name, stat.S_IFREG | self.defaults.file_mode)
        node.if_free(lambda: self._take(node, listed, began))
        return node

    def _take(self, node: Leaf, listed: Listed, began: float) -> None:
        if _ours(node, began):
            return
        if _of_a_log(node):
            node.learned = 0.0
        elif node.etag != listed.etag or not _same_time(node, listed.mtime):
            node.learned, node.target = 0.0, None
            node.uid, node.gid, node.mtime = self.defaults.uid, self.defaults.gid, listed.mtime
            node.changed = node.accessed = 0
            node.mode = stat.S_IFREG | self.defaults.file_mode
        node.etag, node.size, node.modified = listed.etag, listed.size, listed.mtime
        node.until = began + self.belief.ttl

    def saw_head(self, node: Node, head: Head, began: float) -> None:
        """The object of a node, by its key."""
        if isinstance(node, Folder):
            node.marker = True
            node.learn(known(_metadata(head), head.mtime, True, self.defaults))
            node.until = began + self.belief.ttl
        elif isinstance(node, Leaf):
            node.if_free(lambda: self._learn(node, head, began))

    def _learn(self, node: Leaf, head: Head, began: float) -> None:
        if _ours(node, began):
            return
        if node.etag != head.etag:
            node.target = None
        node.etag, node.size, node.modified = head.etag, head.size, head.mtime
        node.learn(known(_metadata(head), head.mtime, False, self.defaults))
        node.until = began + self.belief.ttl

    def saw_no_marker(self, folder: Folder) -> None:
        """The folder has no object of its own: only what is in it makes it one."""
        folder.marker = False
        folder.learned = time.monotonic()

    def saw_none(self, node: Node, began: float) -> bool:
        """There was no object or folder of this name. Whether it is gone now."""
        if node.since >= began or (isinstance(node, Leaf) and node.busy):
            return False
        self.tree.remove(node)
        return True


def _of_a_log(node: Leaf) -> bool:
    """Whether only the state log of an earlier process told its metadata, which is better than none."""
    return node.told and not node.etag


def _metadata(head: Head) -> Mapping[str, str]:
    """With the content type, as ports.ObjectStore.put takes it, where it tells something."""
    if head.content_type in ("", *PLAIN):
        return head.metadata
    return {**head.metadata, "content-type": head.content_type}


def _ours(node: Leaf, began: float) -> bool:
    """Whether we know better than an answer to a question sent then."""
    return node.busy or node.since >= began


def _same_time(node: Leaf, modified: int) -> bool:
    """Whether the object is still the one whose metadata we know. A copy in place has a new time, or the old one
    (versitygw); ours is of about the moment when we were done."""
    copied = time.time_ns() - int((time.monotonic() - node.since) * SECOND) if node.since else 0
    return abs(node.modified - modified) <= NEAR or abs(copied - modified) <= NEAR
