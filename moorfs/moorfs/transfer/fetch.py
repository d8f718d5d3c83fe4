"""One object into one cache file, as far as it is asked, and some of it ahead."""

import errno
import threading
from collections.abc import Callable

from moorfs.ports import Changed, Missing, ObjectStore, Range, StoreError
from moorfs.transfer.ahead import Ahead
from moorfs.transfer.blocks import HERE, MISSING, QUEUED, RUNNING, Blocks
from moorfs.transfer.workers import Workers

SPAN = 8 << 20  # of one request, when all is wanted
FREE = bytes([MISSING, QUEUED])


class Fetch:
    """Bytes of the object `etag` go to the same offsets of `fd`. Any thread may ask; who asks works along.

    Every method that waits raises StoreError; Changed (or Missing) once the object is another one (or gone): then this
    Fetch is of no use any more, but what was here before stays.
    """

    def __init__(
        self, store: ObjectStore, workers: Workers, key: str, etag: str, fd: int, size: int, have: bytes = b""
    ) -> None:
        """`have`: what `have()` gave in an earlier process, for the same object and cache file."""
        self._store = store
        self._workers = workers
        self._name = (key, etag)
        self._fd = fd
        self._limit = size
        self._blocks = Blocks(size, have)
        self._ahead = Ahead()
        self._lock = threading.Condition()
        self._failed: StoreError | None = None
        self.hits = 0
        """Reads that found all their bytes here."""
        self.misses = 0

    @property
    def complete(self) -> bool:
        with self._lock:
            return self._blocks.complete

    def have(self) -> bytes:
        """Which blocks are here, as the constructor takes it."""
        with self._lock:
            return self._blocks.packed()

    def need(self, offset: int, length: int) -> None:
        """These bytes are in the cache file when it returns (as far as the object has them)."""
        with self._lock:
            wanted = self._blocks.numbers(offset, length)
            here = all(self._blocks.states[number] == HERE for number in wanted)
            self.hits += here
            self.misses += not here
            ahead = self._look_ahead(wanted, offset, length)
        for numbers in ahead:
            self._workers.submit(self._job(numbers))
        while not here:
            numbers = self._claim(wanted)
            if not numbers:
                return
            self._fetch(numbers)

    def whole(self, parallel: int = 8) -> None:
        """All that is not here yet, by many requests at once."""
        most = max(1, SPAN // self._blocks.block)
        self._workers.each(self._blocks.missing(most), self._fetch_free, parallel)
        self.need(0, self._blocks.size)  # what others had begun

    def overwrite(self, offset: int, length: int) -> None:
        """Before the caller writes these bytes to the cache file: nothing fetched will fall on them afterwards.

        Blocks that are written as a whole are not fetched; those at the edges are.
        """
        whole = self._blocks.inside(offset, length)
        for number in self._blocks.numbers(offset, length):
            if number not in whole:
                self.need(number * self._blocks.block, 1)
        self._settle(whole)

    def cut(self, size: int) -> None:
        """Before the caller truncates the cache file: what lies beyond `size` is never fetched again."""
        edge = self._blocks.numbers(size, 1) if size % self._blocks.block else range(0)
        with self._lock:
            self._limit = min(self._limit, size)
        self._wait_for(edge)
        self._settle(range(-(-size // self._blocks.block), len(self._blocks.states)))

    def moved(self, key: str, etag: str) -> None:
        """The object has another name, or was copied in place: the same bytes."""
        with self._lock:
            self._name = (key, etag)

    def cancel(self, error: StoreError) -> None:
        """Who waits gets `error`, and so does everybody who asks later. Requests under way end by themselves."""
        with self._lock:
            self._failed = error
            self._lock.notify_all()

    def idle(self) -> bool:
        """Nobody writes to the cache file: its descriptor may be closed (after `cancel`)."""
        with self._lock:
            return RUNNING not in self._blocks.states

    def wait_idle(self, seconds: float) -> bool:
        """Wait until it is idle; False when it is not after so long."""
        self._workers.on_wait()
        with self._lock:
            return self._lock.wait_for(lambda: RUNNING not in self._blocks.states, seconds)

    # How it is done.

    def _look_ahead(self, wanted: range, offset: int, length: int) -> list[range]:
        blocks = self._blocks
        window, span = self._ahead.window(offset, length)
        stop = min(wanted.stop + window // blocks.block, len(blocks.states))
        found: list[range] = []
        number = wanted.stop
        most = max(1, span // blocks.block)
        while number < stop and self._failed is None:
            numbers = blocks.run(number, stop, most, bytes([MISSING]))
            if len(numbers) < most and numbers.stop == stop < len(blocks.states):
                break  # soon there is enough for a whole request
            if numbers:
                blocks.mark(numbers, QUEUED)
                found.append(numbers)
            number = max(numbers.stop, number + 1)
        return found

    def _job(self, numbers: range) -> Callable[[], None]:
        def job() -> None:
            try:
                while left := self._claim_queued(numbers):
                    self._fetch(left)
            except OSError:
                return  # who really needs these bytes asks again, and gets the error

        return job

    def _claim_queued(self, numbers: range) -> range:
        """What of a job nobody has taken from it meanwhile."""
        with self._lock:
            if self._failed is not None:
                return range(0)
            states = self._blocks.states
            first = next((number for number in numbers if states[number] == QUEUED), numbers.stop)
            left = self._blocks.run(first, numbers.stop, len(numbers), bytes([QUEUED]))
            self._blocks.mark(left, RUNNING)
            return left

    def _claim(self, wanted: range) -> range:
        """Blocks among these that the caller is to fetch now; empty when all are here. Waits for those of others."""
        self._workers.on_wait()
        with self._lock:
            while True:
                self._check()
                states = self._blocks.states
                left = next((number for number in wanted if states[number] in FREE), None)
                if left is not None:
                    numbers = self._blocks.run(left, wanted.stop, len(wanted), FREE)
                    self._blocks.mark(numbers, RUNNING)
                    return numbers
                if all(states[number] == HERE for number in wanted):
                    return range(0)
                self._lock.wait(60)

    def _fetch_free(self, numbers: range) -> None:
        with self._lock:
            self._check()
            free = self._blocks.run(numbers.start, numbers.stop, len(numbers), FREE)
            self._blocks.mark(free, RUNNING)
        if free:
            self._fetch(free)

    def _fetch(self, numbers: range) -> None:
        """Of blocks that the caller marked as running."""
        state = MISSING
        try:
            self._read(numbers)
            state = HERE
        finally:
            with self._lock:
                self._blocks.mark(numbers, state)
                self._lock.notify_all()

    def _read(self, numbers: range) -> None:
        block = self._blocks.block
        while True:
            with self._lock:
                key, etag = name = self._name
                start, end = numbers.start * block, min(numbers.stop * block, self._limit)
            if start >= end:
                return
            try:
                self._store.read(key, Range(self._fd, start, end - start), start, etag)
                return
            except (Changed, Missing) as error:
                with self._lock:
                    if name == self._name:
                        self._failed = self._failed or error
                        raise

    def _settle(self, numbers: range) -> None:
        """These are not fetched any more, once those that run have ended."""
        while True:
            self._wait_for(numbers)
            with self._lock:
                if all(self._blocks.states[number] != RUNNING for number in numbers):
                    self._blocks.mark(numbers, HERE)
                    return

    def _wait_for(self, numbers: range) -> None:
        self._workers.on_wait()
        with self._lock:
            self._lock.wait_for(lambda: all(self._blocks.states[number] != RUNNING for number in numbers))

    def _check(self) -> None:
        if failed := self._failed:
            text = failed.strerror or str(failed)
            raise type(failed)(failed.errno or errno.EIO, text, failed.status, failed.s3_code) from failed
