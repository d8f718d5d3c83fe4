"""Metadata of many objects at once."""

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from moorfs.glance import Glances
from moorfs.knowledge import Knowledge
from moorfs.node import Folder, Leaf, Node, stale
from moorfs.ports import Head, Missing, ObjectStore

WORKERS = 16
T = TypeVar("T")


class Heads:
    """`wait` gives up the lead before this thread waits for the others."""

    def __init__(self, store: ObjectStore, knowledge: Knowledge, wait: Callable[[], None], glances: Glances) -> None:
        self._store = store
        self._glances = glances
        self._knowledge = knowledge
        self.wait = wait
        self.pool = ThreadPoolExecutor(WORKERS, "head")

    def one(self, node: Node, looked_up: bool = False) -> bool:
        """Read its metadata. Whether it is there; a folder may be without a marker, which says nothing.

        `looked_up`: by its name, so that it may be read next.
        """
        began = time.monotonic()
        glance = looked_up and isinstance(node, Leaf) and self._glances.worthwhile(node)
        try:
            head = self._glances.look(node.key) if glance else self._store.head(node.key)
        except Missing as missing:
            head = missing
        return self._saw(node, head, began)

    def _saw(self, node: Node, head: Head | Missing, began: float) -> bool:
        """Whether it is there."""
        if stale(node, began):
            return True
        if isinstance(head, Head):
            self._knowledge.saw_head(node, head, began)
            return True
        if isinstance(node, Folder):
            self._knowledge.saw_no_marker(node)
            return True
        return not self._knowledge.saw_none(node, began)

    def all(self, nodes: Sequence[Node]) -> None:
        """Those that lack theirs. Raises the StoreError of one that failed."""
        if len(lacking := self.lacking(nodes)) > 1:
            self.wait()
            for _ in self.some(lacking):
                pass
            lacking = self.lacking(lacking)
        if len(lacking) > 1:
            for _ in self.pool.map(self.one, lacking):
                pass
        elif lacking:
            self.one(lacking[0])

    def lacking(self, nodes: Sequence[Node]) -> list[Node]:
        return [node for node in nodes if not node.gone and self._knowledge.lacks(node)]

    def some(self, nodes: Sequence[Node]) -> Generator[None]:
        """Those that are easily had, one after the other: who still lacks his afterwards must be asked for alone."""
        with closing(self._store.heads([node.key for node in nodes])) as heads:
            for node, (began, head) in zip(nodes, heads, strict=True):
                if head is not None:
                    self._saw(node, head, began)
                yield

    def each(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        """Any work on many objects, such as copies. Raises what the first one that failed raised."""
        self.wait()
        for _ in self.pool.map(work, items):
            pass

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
