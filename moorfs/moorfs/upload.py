"""How the bytes of a file get into the engine. What is clean of a partly fetched one is copied there, not sent."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from moorfs.blocks import BLOCK, count
from moorfs.means import Means
from moorfs.onward import Onward
from moorfs.partial import Partial
from moorfs.ports import Condition, ObjectStore, Range, StoreError
from moorfs.transfer.upload import SMALLEST_PART, Kept, part_size, upload

_PIECE = 64 << 20


@dataclass(frozen=True, slots=True)
class Goal:
    """What the object shall be: its key, metadata, and over which object it may be written."""

    key: str
    metadata: Mapping[str, str]
    condition: Condition


def put_file(means: Means, goal: Goal, fd: int, size: int) -> str:
    """The first `size` bytes of the file. Returns the object's ETag; the engine has checked the bytes."""
    if not size:
        return means.store.put(goal.key, b"", goal.metadata, goal.condition)
    return _upload(means, means.noting, goal, Range(fd, 0, size), None)


def _upload(means: Means, store: ObjectStore, goal: Goal, body: Range, kept: Kept | None) -> str:
    single, part = means.settings.multipart_from - 1, part_of(means)
    return upload(store, means.up, goal.key, body, goal.metadata, goal.condition, kept, single=single, part=part)


def part_of(means: Means) -> int:
    """Bytes of a part: whole blocks."""
    return -(-max(means.settings.part_size, SMALLEST_PART) // BLOCK) * BLOCK


def put_frozen(means: Means, goal: Goal, fd: int, size: int) -> str:
    """As `put_file`, of a copy: for a file that is written without pause, so that its checksum never holds."""
    copy = os.open(means.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        done = 0
        while done < size:
            moved = os.copy_file_range(fd, copy, min(size - done, _PIECE), done, done)
            if not moved:
                break
            done += moved
        os.ftruncate(copy, size)
        return put_file(means, goal, copy, size)
    finally:
        os.close(copy)


def put_partial(means: Means, goal: Goal, body: Partial, size: int) -> str:
    """Parts of which all is clean are copied from the object that is there; of the others what is absent is fetched."""
    part = part_size(size, part_of(means))
    if not size:
        return put_file(means, goal, body.fd, 0)
    kept: list[tuple[int, int]] = []
    for start in range(0, size, part):
        end = min(start + part, size)
        if size > SMALLEST_PART and body.is_clean(start, end):
            kept.append((start, end))
        else:
            body.load(start // BLOCK, count(end))
    source = Kept(goal.key, body.blocks.etag, tuple(kept))
    engine = cast("ObjectStore", _Copying(means.noting, body))
    return _upload(means, engine, goal, Range(body.fd, 0, size), source)


@dataclass(frozen=True, slots=True)
class _Copying:
    """An engine whose uploads copy parts. Where it cannot, what was to be copied is fetched, for then it is sent."""

    store: ObjectStore
    body: Partial

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition) -> str:
        self.body.load_all()
        return self.store.put(key, body, metadata, condition)

    def begin(self, key: str, metadata: Mapping[str, str]) -> "_CopyingUpload":
        return _CopyingUpload(self.store.begin(key, metadata), self.body)


@dataclass(frozen=True, slots=True)
class _CopyingUpload(Onward):
    body: Partial

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        try:
            self.upload.copy_part(number, source, start, length, match)
        except StoreError as error:
            if error.errno == errno.ENOSYS:
                self.body.load(start // BLOCK, count(start + length))
            raise
