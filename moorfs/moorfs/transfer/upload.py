"""A file to the engine: in one request, or in parts by many requests at once."""

import errno
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moorfs.ports import ALWAYS, Condition, ObjectStore, Range, StoreError, Upload
from moorfs.transfer.workers import Workers

SINGLE = 32 << 20  # up to here in one request
PART = 16 << 20
SMALLEST_PART = 5 << 20
MOST_PARTS = 10_000
LARGEST_COPY = 5 << 30


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes of the object `etag` under `key` that the new one has at the same offsets: copied there, not sent again."""

    key: str
    etag: str
    ranges: tuple[tuple[int, int], ...]
    """(start, end), in order."""

    def covers(self, start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in self.ranges)


def upload(
    store: ObjectStore,
    workers: Workers,
    key: str,
    body: Range,
    metadata: Mapping[str, str],
    condition: Condition = ALWAYS,
    kept: Kept | None = None,
    parallel: int = 8,
    single: int = SINGLE,
    part: int = PART,
) -> str:
    """The object's ETag once it is stored. StoreError otherwise; then nothing of it stays at the engine."""
    if body.length <= single and not (kept and kept.ranges and body.length > SMALLEST_PART):
        return store.put(key, body, metadata, condition)
    parts = Parts(store.begin(key, metadata), body.fd, body.offset, part_size(body.length, part))
    try:
        return parts.finish(workers, body.length, condition, kept, parallel)
    except BaseException:
        parts.abandon()
        raise


def part_size(length: int, smallest: int = PART) -> int:
    """So that S3's 10,000 parts suffice."""
    return max(smallest, -(-length // MOST_PARTS))


class Parts:
    """Parts of a multipart upload and which of them are stored."""

    def __init__(self, made: Upload, fd: int, offset: int, size: int) -> None:
        self.upload = made
        self.size = size
        self._fd = fd
        self._offset = offset
        self._stored: dict[int, int] = {}
        """Number: length."""
        self._lock = threading.Lock()

    def send(self, number: int, length: int, kept: Kept | None = None) -> None:
        """Part `number` (from 1) of so many bytes; by a copy at the engine where `kept` allows."""
        start = (number - 1) * self.size
        if not (kept and self._copy(number, start, length, kept)):
            self.upload.part(number, Range(self._fd, self._offset + start, length))
        with self._lock:
            self._stored[number] = length

    def written(self, offset: int, length: int) -> None:
        """These bytes changed: parts with them are to be sent (again)."""
        with self._lock:
            for number in range(offset // self.size + 1, (offset + length - 1) // self.size + 2):
                self._stored.pop(number, None)

    def recheck(self, number: int) -> None:
        """A part that was written since it was sent, unseen by us, is sent again: where the engine is not known to
        have the bytes that the file has now."""
        with self._lock:
            length = self._stored.get(number)
        start = (number - 1) * self.size
        if length and not self.upload.same(number, Range(self._fd, self._offset + start, length)):
            self.written(start, 1)
            self.send(number, length)

    def unsent(self, total: int) -> Iterable[tuple[int, int]]:
        """(number, length) of the parts of a file of `total` bytes that are not stored as they are to be."""
        with self._lock:
            stored = dict(self._stored)
        for number, start in enumerate(range(0, total, self.size), 1):
            length = min(self.size, total - start)
            if stored.get(number) != length:
                yield number, length

    def finish(
        self, workers: Workers, total: int, condition: Condition, kept: Kept | None = None, parallel: int = 8
    ) -> str:
        """The object's ETag. EINVAL when parts beyond `total` were sent: the upload cannot take them back."""
        with self._lock:
            if any((number - 1) * self.size >= total for number in self._stored):
                raise StoreError(errno.EINVAL, "the file is shorter now than what was uploaded of it")
        workers.each(self.unsent(total), lambda part: self.send(*part, kept), parallel)
        return self.upload.complete(condition)

    def abandon(self) -> None:
        """Nothing stays at the engine, if it answers."""
        try:
            self.upload.abort()
        except StoreError:
            return  # the engine's own rule for unfinished uploads, or the next start, takes it away

    def _copy(self, number: int, start: int, length: int, kept: Kept) -> bool:
        """False where that cannot be."""
        if not kept.covers(start, start + length) or length > LARGEST_COPY:
            return False
        try:
            self.upload.copy_part(number, kept.key, start, length, kept.etag)
        except StoreError as error:
            if error.errno == errno.ENOSYS:
                return False
            raise
        return True
