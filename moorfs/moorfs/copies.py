"""Copies of objects within the engine, for renames.

A request of a process that died, or whose answer did not come in time, may be done by the engine much later, when the
target has newer bytes. So each copy says what it may be put onto, as far as engines look at that: at CopyObject Amazon
does, versitygw 1.8 and MinIO do not. A big object takes them seconds or minutes, and they say nothing meanwhile: it is
copied in parts, which are unseen until their completion, and at that all look.
"""

import errno
from collections.abc import Mapping

from moorfs.engine import Undone
from moorfs.means import Means
from moorfs.ports import ALWAYS, Changed, Condition, Head, Missing, ObjectStore, StoreError, Upload

WHOLE = 128 << 20
"""Bytes that are copied in one call, and of a part: at 5 MB/s there is an answer in time (`Settings.call_seconds`)."""
MOST_PARTS = 10_000  # of an upload, S3
PARALLEL = 4
_TELLING = ("mtime", "moorfs-writer")


class Copies:
    def __init__(self, means: Means) -> None:
        self._means = means

    def copy(self, source: str, target: str, size: int, match: str | None, onto: Condition) -> str:
        """The copy's ETag. `size`: as far as it is known. `match`: the source's ETag, else Changed. `onto`: what is
        supposed to be at `target`; who put something else there meanwhile loses it, as at every rename."""
        try:
            return self._copied(source, target, size, match, onto)
        except (Changed, Missing):
            old, new = self._means.store.head(source), _head(self._means.store, target)
            if match is not None and old.etag != match:
                raise _changed(source, old) from None
            if onto == ALWAYS:
                raise
            if new is not None and is_copy(old, new):  # by who died, or by an attempt whose answer was lost
                return new.etag
            return self._copied(source, target, size, match, ALWAYS)

    def _copied(self, source: str, target: str, size: int, match: str | None, onto: Condition) -> str:
        store = self._means.store
        if size > WHOLE and self._means.settings.part_copy:
            head = store.head(source)
            if match is not None and head.etag != match:
                raise _changed(source, head)
            if head.plain and head.size > WHOLE:
                return self._by_parts(source, target, head, onto)
        return store.copy(source, target, None, match, onto)

    def _by_parts(self, source: str, target: str, head: Head, onto: Condition) -> str:
        try:
            return self._parts(source, target, head, onto)
        except Undone:
            return self._parts(source, target, head, onto)

    def _parts(self, source: str, target: str, head: Head, onto: Condition) -> str:
        """Noted on the disk while it lasts: who comes after a crash aborts it."""
        length = max(WHOLE, -(-head.size // MOST_PARTS))
        upload = self._means.noting.begin(target, {**head.metadata, "content-type": head.content_type})

        def part(number: int) -> None:
            start = (number - 1) * length
            upload.copy_part(number, source, start, min(length, head.size - start), head.etag)

        try:
            self._means.up.each(range(1, -(-head.size // length) + 1), part, PARALLEL)
            return upload.complete(onto)
        except BaseException:
            _abort(upload)
            raise


def is_copy(one: Head, other: Head) -> bool:
    """Whether one is a copy of the other for sure.

    A copy of what was uploaded in parts ("...-3") has another ETag. Then a time or a writer in the metadata must tell:
    pieces of a dataset that S3 tools uploaded are often of one size, and have no metadata at all.
    """
    if one.size != other.size or one.metadata != other.metadata:
        return False
    return one.etag == other.etag or ("-" in one.etag + other.etag and _tells(one.metadata))


def _tells(metadata: Mapping[str, str]) -> bool:
    return any(name in metadata for name in _TELLING)


def _changed(key: str, found: Head) -> Changed:
    return Changed(errno.ESTALE, f"{key} is another object now ({found.etag})")


def _head(store: ObjectStore, key: str) -> Head | None:
    try:
        return store.head(key)
    except Missing:
        return None


def _abort(upload: Upload) -> None:
    try:
        upload.abort()
    except StoreError:  # its note tells the next process
        return
