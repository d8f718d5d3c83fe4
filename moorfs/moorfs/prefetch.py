"""What a reader of a folder will want next: the metadata of the names that follow, and the next page of its listing.

It is got by another thread while the reader goes on. Whatever does not come, or has not begun when it is wanted, the
reader gets by himself: nobody waits for a thread that has no time, and errors are met where somebody can be told.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Generic, TypeVar

from moorfs.heads import Heads
from moorfs.node import Node

T = TypeVar("T")


class Coming(Generic[T]):
    """One answer."""

    def __init__(self, heads: Heads, work: Callable[[], T]) -> None:
        self._heads = heads
        self._work = work
        self._future: Future[T] = heads.pool.submit(work)

    def get(self) -> T:
        """Raises what the work raised."""
        if self._future.cancel():
            return self._work()
        self._heads.wait()
        return self._future.result()


class Following:
    """Metadata of many nodes, in their order."""

    def __init__(self, heads: Heads, nodes: Sequence[Node]) -> None:
        self._heads = heads
        lacking = set(heads.lacking(nodes))
        self._nodes = [(number, node) for number, node in enumerate(nodes, 1) if node in lacking]
        self._all = len(nodes)
        self._changed = threading.Condition()
        self._done = 0
        self._wanted = 0
        self._stopped = False
        self._future = heads.pool.submit(self._run) if lacking else None

    def until(self, count: int) -> None:
        """Returns when the first `count` were asked for, or all, as far as they will be."""
        count = min(count, self._all)
        if self._done >= count or self._future is None or self._future.cancel():
            return
        self._heads.wait()
        with self._changed:
            self._wanted = count
            self._changed.wait_for(lambda: self._done >= count)

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._stopped = True
        if self._future:
            self._future.cancel()

    def _run(self) -> None:
        try:
            with closing(self._heads.some([node for _, node in self._nodes])) as steps:
                for (number, _), _ in zip(self._nodes, steps, strict=True):
                    if self._stopped:
                        break
                    self._reached(number)
        finally:
            self._reached(self._all)

    def _reached(self, number: int) -> None:
        self._done = number
        if number >= self._wanted:
            with self._changed:
                self._changed.notify_all()
