"""How bytes get into the engine: one PUT, or parts side by side. What is clean is copied there, not sent again."""

import contextlib
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from moorfs.blocks import BLOCK, count
from moorfs.means import Means
from moorfs.partial import Partial
from moorfs.ports import Condition, Range, StoreError, Upload

MIB = 1 << 20
LEAST_PART = 8 * MIB  # S3: 5 MiB; a whole number of our blocks
MOST_PARTS = 9_000  # S3: 10,000


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Goal:
    """What the object shall be: its key, metadata, and over which object it may be written."""

    key: str
    metadata: Mapping[str, str]
    condition: Condition


def parts_of(size: int, part: int) -> list[Part]:
    """Equal parts (some engines ask that), the last is what is left; grown so that they are not too many."""
    least = -(-size // MOST_PARTS)
    part = max(part, -(-least // MIB) * MIB)
    return [Part(n + 1, at, min(part, size - at)) for n, at in enumerate(range(0, size, part))]


def put_file(means: Means, goal: Goal, fd: int, size: int) -> str:
    """The first `size` bytes of the file. Returns the object's ETag; the engine has checked the bytes."""
    if size < means.settings.multipart_from:
        return means.store.put(goal.key, Range(fd, 0, size) if size else b"", goal.metadata, goal.condition)
    return in_parts(means, goal, parts_of(size, means.settings.part_size), lambda up, part: send(up, part, fd))


def put_frozen(means: Means, goal: Goal, fd: int, size: int) -> str:
    """As `put_file`, of a copy: for a file that is written without pause, so that its checksum never holds."""
    copy = os.open(means.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        done = 0
        while done < size:
            moved = os.copy_file_range(fd, copy, min(size - done, 64 * MIB), done, done)
            if not moved:
                break
            done += moved
        os.ftruncate(copy, size)
        return put_file(means, goal, copy, size)
    finally:
        os.close(copy)


def put_partial(means: Means, goal: Goal, body: Partial, size: int) -> str:
    """Dirty parts are sent, clean ones copied from the object that is there."""
    part = max(LEAST_PART, means.settings.part_size // 4)
    parts = parts_of(size, part)
    if len(parts) < 2 or not any(body.is_clean(each.start, each.end) for each in parts):
        body.load_all()
        return put_file(means, goal, body.fd, size)
    etag = body.blocks.etag
    try:
        return in_parts(means, goal, parts, lambda up, each: _copy_or_send(up, each, body, goal.key, etag))
    except StoreError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    body.load_all()
    return put_file(means, goal, body.fd, size)


def _copy_or_send(upload: Upload, part: Part, body: Partial, key: str, etag: str) -> None:
    if body.is_clean(part.start, part.end):
        upload.copy_part(part.number, key, part.start, part.length, etag)
        return
    body.load(part.start // BLOCK, count(part.end))  # in threads of their own: no waiting within one pool
    send(upload, part, body.fd)


def send(upload: Upload, part: Part, fd: int) -> None:
    upload.part(part.number, Range(fd, part.start, part.length))


def in_parts(means: Means, goal: Goal, parts: Sequence[Part], put: Callable[[Upload, Part], None]) -> str:
    upload = means.store.begin(goal.key, goal.metadata)
    try:
        means.results([means.up.submit(put, upload, part) for part in parts])
        return complete(means, goal, upload, parts[-1].end)
    except BaseException:
        drop(upload)
        raise


def complete(means: Means, goal: Goal, upload: Upload, size: int) -> str:
    """The object's ETag. Its size is asked for: an engine that lost a part must not be believed."""
    etag = upload.complete(goal.condition)
    head = means.store.head(goal.key)
    if head.etag == etag and head.size != size:
        raise StoreError(errno.EIO, f"{goal.key} has {head.size} bytes in the engine, {size} were sent")
    return etag


def drop(upload: Upload) -> None:
    with contextlib.suppress(StoreError):  # the bucket's life cycle takes what is left
        upload.abort()
