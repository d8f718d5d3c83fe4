"""The gate of renames: one that concerns two folders or moves one runs alone, and nobody looks into a moving folder."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from moorfs.lead import Courteous
from moorfs.node import Folder, Node
from moorfs.tree import within

FOREVER = float("inf")


class Mover:
    """`lock` is the outermost of all locks (see node.py)."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.lock = Courteous(wait)
        self._wait = wait
        self._still = threading.Condition()
        self._moving: Folder | None = None

    def settled(self, node: Node) -> None:
        """Returns when no folder above it is being moved."""
        if self._moving is None or not within(node, self._moving):
            return
        self._wait()
        with self._still:
            self._still.wait_for(lambda: self._moving is None or not within(node, self._moving))

    @contextmanager
    def moving(self, folder: Folder) -> Generator[None, None, None]:
        """Names in the folder are not looked for meanwhile, and answers to earlier questions count for nothing."""
        folder.moved, self._moving = FOREVER, folder
        try:
            yield
        finally:
            folder.moved = time.monotonic()
            with self._still:
                self._moving = None
                self._still.notify_all()


@contextmanager
def both(one: Folder, other: Folder) -> Generator[None, None, None]:
    """The locks of two folders: the upper one first, else by number. Two different ones: only with the mover's lock."""
    if one is other:
        folders = [one]
    elif within(one, other) or (other.id < one.id and not within(other, one)):
        folders = [other, one]
    else:
        folders = [one, other]
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(folder.lock)
        yield
