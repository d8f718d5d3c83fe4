"""readdir: the names of a folder, one page at a time, from any offset.

An offset is a place in the sequence of the folder's keys; the names "." and ".." have the first two. A handle that is
not known (its process died) reads the folder anew and goes on at the offset.
"""

import stat
import zlib
from collections.abc import Iterator

from moorfs.heads import Heads
from moorfs.knowledge import LINK_MAX, Knowledge
from moorfs.listing import Listing
from moorfs.node import Folder, Node
from moorfs.pages import Line, Stream
from moorfs.ports import Entry, Item
from moorfs.status import attributes
from moorfs.tree import Tree

AHEAD = 256
"""Names whose metadata is read at once."""
AT_ONCE = 32
"""Names that are journalled at once: each write lets another thread go first."""


class Reading:
    """All open folders. Handles are numbers that no other process of this mount gives."""

    def __init__(self, tree: Tree, knowledge: Knowledge, heads: Heads, listing: Listing, first_handle: int) -> None:
        self._tree = tree
        self._knowledge = knowledge
        self._heads = heads
        self._listing = listing
        self._streams: dict[int, Stream] = {}
        self._next = first_handle

    def open(self) -> int:
        self._next += 1
        return self._next

    def close(self, handle: int) -> None:
        if stream := self._streams.pop(handle, None):
            stream.stop()

    def read(self, folder: Folder, handle: int, offset: int, plus: bool) -> Iterator[Item]:
        for index, (name, node) in enumerate(((b".", folder), (b"..", folder.parent or folder))):
            if offset <= index:
                yield Item(name, node.id, node.mode, index + 1)
        place = max(offset - 2, 0)
        stream, goes_on = self._stream(folder, handle, offset == 0, place, plus), place > 0
        while lines := stream.at(place, goes_on)[:AHEAD]:
            if plus:
                stream.learn(place, len(lines), lambda line: self._node(folder, line), goes_on)
            for start in range(0, len(lines), AT_ONCE):
                yield from self._items(folder, lines[start : start + AT_ONCE], place + 2 + start, plus)
            place += len(lines)

    def _stream(self, folder: Folder, handle: int, anew: bool, place: int, plus: bool) -> Stream:
        stream = self._streams.get(handle)
        if stream is None or anew or place < stream.first or stream.key != folder.key:
            self.close(handle)
            fresh = self._knowledge.listed(folder)
            stream = self._streams[handle] = Stream(self._listing, self._heads, folder, fresh, plus)
        return stream

    def _items(self, folder: Folder, lines: list[Line], offset: int, plus: bool) -> Iterator[Item]:
        nodes = [line.node or folder.children.get(line.name) for line in lines]
        there = [node for node in nodes if node is not None and not node.gone] if plus else []
        self._tree.announce(there)
        try:
            for number, (line, node) in enumerate(zip(lines, nodes, strict=True), offset + 1):
                name = line.name.encode()
                if node is None:
                    yield Item(name, _inode(folder, line.name), _kind(line), number)
                elif not node.gone:
                    yield Item(name, node.id, self._mode(node), number, self._entry(node) if plus else None)
        finally:  # the answer may be full before all were told of
            for node in there:
                self._tree.drop(node)

    def _node(self, folder: Folder, line: Line) -> Node:
        if line.node is None:
            if line.listed is None:
                line.node = self._knowledge.saw_folder(folder, line.name, line.began)
            else:
                line.node = self._knowledge.saw_object(folder, line.name, line.listed, line.began)
        return line.node

    def _entry(self, node: Node) -> Entry:
        self._tree.tell(node)
        left = self._knowledge.left(node)
        return Entry(attributes(node), left, left)

    def _mode(self, node: Node) -> int:
        return 0 if self._knowledge.lacks(node) and not isinstance(node, Folder) else node.mode


def _kind(line: Line) -> int:
    """What is known without its metadata: 0 is "unknown" to readdir(3)."""
    if line.listed is None:
        return stat.S_IFDIR
    return stat.S_IFREG if line.listed.size >= LINK_MAX else 0


def _inode(folder: Folder, name: str) -> int:
    """A number for a name that has none yet; programs only compare them."""
    return 1 << 62 | folder.id << 32 | zlib.crc32(name.encode())
