"""Threads that all files of a mount share.

The rule that keeps them from a deadlock: a job on these threads never waits for a job that has not begun. Who waits is
the caller, and it works along (`Workers.each`): so it comes to an end even when every thread is busy with other files.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)
IDLE_SECONDS = 20.0


class Workers:
    """At most `most` threads, begun when there is work and ended after a while without. `on_wait`: called by who waits
    for a result here, before it waits."""

    def __init__(self, most: int = 16, on_wait: Callable[[], None] = lambda: None) -> None:
        self.most = most
        self.on_wait = on_wait
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Some time, on some thread. `job` handles its own errors. Nothing happens once it is closed."""
        with self._lock:
            if self._closed:
                return
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._lock.notify()
                return
            if self._threads >= self.most:
                return
            self._threads += 1
        threading.Thread(target=self._run, name="transfer", daemon=True).start()

    def each(self, items: Iterable[T], do: Callable[[T], None], parallel: int) -> None:
        """`do` of every item, in their order, at most `parallel` at once; the caller takes part.

        After the first error no further item is begun, and that error is raised once all that run have ended.
        """
        crew = Crew(iter(items), do)
        for _ in range(parallel - 1):
            self.submit(crew.work)
        self.on_wait()
        crew.work()
        crew.wait()

    def close(self) -> None:
        """Jobs that wait are dropped; those that run are not waited for."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
            self._lock.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # a thread that died would be missing for ever
                log.exception("a transfer failed in a way that nobody foresaw")

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
            try:
                if not self._lock.wait_for(lambda: self._jobs or self._closed, IDLE_SECONDS) or self._closed:
                    self._threads -= 1
                    return None
                return self._jobs.popleft()
            finally:
                self._idle -= 1


class Crew(Generic[T]):
    """Several threads that take items from one hand. A helper that comes late finds nothing and goes."""

    def __init__(self, items: Iterator[T], do: Callable[[T], None]) -> None:
        self._items = items
        self._do = do
        self._lock = threading.Condition()
        self._running = 0
        self._error: BaseException | None = None

    def work(self) -> None:
        while True:
            with self._lock:
                if self._error is not None:
                    return
                try:
                    item = next(self._items)
                except StopIteration:
                    return
                except BaseException as error:
                    self._error = error
                    return
                self._running += 1
            failed: BaseException | None = None
            try:
                self._do(item)
            except BaseException as error:
                failed = error
            with self._lock:
                self._running -= 1
                self._error = self._error or failed
                self._lock.notify_all()

    def wait(self) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not self._running)
            if self._error is not None:
                raise self._error
