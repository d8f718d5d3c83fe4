"""One thread at a time reads and handles requests; who must wait hands the lead to another first.

With plain threads eight readers fight for Python's lock and answer a quarter of the requests that one thread answers
(ADR 20). So the leader reads a request and handles it itself; nobody else runs meanwhile. Only before it waits, for the
engine or for another thread, it gives the lead up, and a follower goes on with the next request.
"""

import threading
from collections.abc import Callable
from types import TracebackType


class Lead:
    """The right to read requests. `short_of_followers` is called when the lead is given up and nobody waits for it."""

    def __init__(self, short_of_followers: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._count = threading.Lock()
        self._followers = 0
        self.short_of_followers = short_of_followers

    @property
    def followers(self) -> int:
        """Threads that wait for the lead now."""
        return self._followers

    @property
    def taken(self) -> bool:
        """Whether some thread has the lead."""
        return self._lock.locked()

    @property
    def held(self) -> bool:
        """Whether this thread has the lead."""
        return getattr(self._mine, "held", False)

    def take(self) -> None:
        """Returns when this thread has the lead; at once when it has it still."""
        if self.held:
            return
        if not self._lock.acquire(blocking=False):
            with self._count:
                self._followers += 1
            self._lock.acquire()
            with self._count:
                self._followers -= 1
        self._mine.held = True

    def give_up(self) -> None:
        """To be called before anything that may wait; nothing happens where this thread has no lead."""
        if not self.held:
            return
        self._mine.held = False
        alone = self._followers == 0
        self._lock.release()
        if alone and self.short_of_followers:
            self.short_of_followers()


class Courteous:
    """A reentrant lock for `with`, which gives the lead up (`hook`) only when it has to wait."""

    __slots__ = ("_hook", "_lock")

    def __init__(self, hook: Callable[[], None]) -> None:
        self._hook = hook
        self._lock = threading.RLock()

    def attempt(self) -> bool:
        """Take it if that needs no waiting; `__exit__` gives it back."""
        return self._lock.acquire(blocking=False)

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._hook()
            self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._lock.release()
