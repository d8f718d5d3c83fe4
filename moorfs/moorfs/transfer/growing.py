"""A multipart upload that begins while the file is still being written."""

import threading
from collections.abc import Callable, Mapping
from functools import partial

from moorfs.ports import Condition, ObjectStore
from moorfs.transfer.upload import PART, Parts
from moorfs.transfer.workers import Workers

MOST_PARTS = 9_000
MOST_UNDER_WAY = 4
PARALLEL = 8


class Growing:
    """Parts go out in the background once the writer is past them. The upload is begun with the first of them.

    A part that was written again after it went out goes out again at the end. `metadata` is that of the object: S3
    takes it at the beginning of an upload and never later, so its mtime is that of the beginning.
    """

    def __init__(
        self, store: ObjectStore, workers: Workers, key: str, fd: int, metadata: Mapping[str, str], part: int = PART
    ) -> None:
        self.key = key
        self.metadata = metadata
        self._store = store
        self._workers = workers
        self._fd = fd
        self._part = part
        self._parts: Parts | None = None
        self._next = 1
        self._running: set[int] = set()
        self._again: set[int] = set()
        self._closed = False
        self._beginning = threading.Lock()
        self._lock = threading.Condition()

    @property
    def begun(self) -> bool:
        return self._parts is not None

    def wrote(self, offset: int, length: int) -> None:
        """These bytes of the file were written. Never waits."""
        first, last = offset // self._part + 1, (offset + length - 1) // self._part + 1
        jobs: list[Callable[[], None]] = []
        with self._lock:
            if self._closed:
                return
            touched = range(first, last + 1)
            self._again.update(number for number in touched if number in self._running)
            if self._parts:
                self._parts.written(offset, length)
            while self._next < last and self._next <= MOST_PARTS and len(self._running) < MOST_UNDER_WAY:
                self._running.add(self._next)
                jobs.append(self._job(self._next))
                self._next += 1
        for job in jobs:
            self._workers.submit(job)

    def finish(self, size: int, condition: Condition, unseen: bool = False) -> str | None:
        """The ETag, once all `size` bytes are stored; None when nothing was begun, or it failed, or the file became
        shorter: then upload it in another way (and nothing of this stays).

        `unseen`: others may have written the file without `wrote`: what was sent is compared with the file first."""
        self._workers.on_wait()
        with self._lock:
            self._closed = True
            running = set(self._running)
        parts = self._begun() if running else self._parts
        if parts is None or (self._next - 2) * self._part >= size:
            self.abandon()
            return None
        try:
            self._send_rest(parts, size, running, unseen)
            return parts.finish(self._workers, size, condition)
        except BaseException:
            self.abandon()
            raise

    def _send_rest(self, parts: Parts, size: int, running: set[int], unseen: bool) -> None:
        """All that nobody sends yet, beside what still runs; and what went out before is looked at again."""
        jobs = [partial(parts.send, *part) for part in parts.unsent(size) if part[0] not in running]
        if unseen:
            jobs += [partial(parts.recheck, number) for number in range(1, self._next) if number not in running]
        self._workers.each(jobs, lambda job: job(), PARALLEL)
        self._quiet()
        if unseen:
            self._workers.each(running, parts.recheck, PARALLEL)

    def abandon(self) -> None:
        """Nothing stays at the engine."""
        self._workers.on_wait()
        self._quiet()
        if self._parts:
            self._parts.abandon()

    def _quiet(self) -> None:
        """No job runs any more."""
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._running)

    def _begun(self) -> Parts | None:
        """None when the engine does not begin it."""
        try:
            return self._begin()
        except OSError:
            return None

    def _job(self, number: int) -> Callable[[], None]:
        def job() -> None:
            try:
                self._begin().send(number, self._part)
            except OSError:
                return  # it is sent again at the end, where somebody waits for the error
            finally:
                self._ended(number)

        return job

    def _begin(self) -> Parts:
        with self._beginning:  # not under the lock that `wrote` takes: it must not wait for the engine
            if self._parts is None:
                made = self._store.begin(self.key, self.metadata)
                self._parts = Parts(made, self._fd, 0, self._part)
            return self._parts

    def _ended(self, number: int) -> None:
        with self._lock:
            self._running.discard(number)
            if number in self._again and self._parts:
                self._again.discard(number)
                self._parts.written((number - 1) * self._part, 1)
            self._lock.notify_all()
