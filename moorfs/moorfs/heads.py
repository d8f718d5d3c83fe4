"""Metadata of many objects at once."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from moorfs.glance import Glances
from moorfs.knowledge import Knowledge
from moorfs.node import Folder, Leaf, Node, stale
from moorfs.ports import Missing, ObjectStore

WORKERS = 16


class Heads:
    """`wait` gives up the lead before this thread waits for the others."""

    def __init__(self, store: ObjectStore, knowledge: Knowledge, wait: Callable[[], None], glances: Glances) -> None:
        self._store = store
        self._glances = glances
        self._knowledge = knowledge
        self._wait = wait
        self._pool = ThreadPoolExecutor(WORKERS, "head")

    def one(self, node: Node, looked_up: bool = False) -> bool:
        """Read its metadata. Whether it is there; a folder may be without a marker, which says nothing.

        `looked_up`: by its name, so that it may be read next.
        """
        began = time.monotonic()
        glance = looked_up and isinstance(node, Leaf) and self._glances.worthwhile(node)
        try:
            head = self._glances.look(node.key) if glance else self._store.head(node.key)
        except Missing:
            if stale(node, began):
                return True
            if isinstance(node, Folder):
                self._knowledge.saw_no_marker(node)
                return True
            return not self._knowledge.saw_none(node, began)
        if not stale(node, began):
            self._knowledge.saw_head(node, head, began)
        return True

    def all(self, nodes: Sequence[Node]) -> None:
        """Those that lack theirs. Raises the StoreError of one that failed."""
        lacking = [node for node in nodes if not node.gone and self._knowledge.lacks(node)]
        if len(lacking) < 2:
            for node in lacking:
                self.one(node)
            return
        self._wait()
        for _ in self._pool.map(self.one, lacking):
            pass

    def each(self, work: Callable[[str], object], keys: Sequence[str]) -> None:
        """Any work on many keys, such as copies. Raises what the first one that failed raised."""
        self._wait()
        for _ in self._pool.map(work, keys):
            pass

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
