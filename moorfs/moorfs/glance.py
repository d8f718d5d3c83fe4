"""Small files whose bytes come along with their metadata: who looks a file up in a folder where files are being read
will read this one too, and one call does for both.

The engine as the files see it: a read of what was just got this way is answered from memory.
"""

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence

from moorfs.node import Folder, Leaf
from moorfs.ports import ALWAYS, Condition, Head, Missing, ObjectStore, Page, Range, StoreError, Upload

SMALL = 64 << 10
"""Bytes: about where a GET costs more than a HEAD and half a round trip."""
ROOM = 8 << 20
EAGER = 8


class Glances:
    """An ObjectStore. `seconds`: how long bytes are kept, which is how long names are believed."""

    def __init__(self, store: ObjectStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, Head, bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def worthwhile(self, leaf: Leaf) -> bool:
        """Whether it will likely be read at once. Each look without a read makes it less so."""
        folder = leaf.parent
        if folder is None or leaf.file is not None or not 0 < leaf.size <= SMALL or not folder.eager:
            return False
        folder.eager -= 1
        return True

    def look(self, key: str) -> Head:
        """What HEAD tells; the bytes are kept for whom opens it soon."""
        try:
            head, data = self._store.get(key)
        except StoreError as error:
            if error.errno != errno.EFBIG:
                raise
            return self._store.head(key)  # it has grown
        with self._lock:
            self._drop(key)
            self._kept[key] = (time.monotonic(), head, data)
            self._bytes += len(data)
            while self._bytes > ROOM:
                self._drop(next(iter(self._kept)))
        return head

    def _drop(self, key: str) -> tuple[float, Head, bytes] | None:
        found = self._kept.pop(key, None)
        if found:
            self._bytes -= len(found[2])
        return found

    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        with self._lock:
            found = self._drop(key) if self._kept else None
        if found is None or start or found[1].etag != match or len(found[2]) != sink.length or self._old(found[0]):
            return self._store.read(key, sink, start, match)
        if os.pwrite(sink.fd, found[2], sink.offset) < sink.length:  # the disk is full
            return self._store.read(key, sink, start, match)
        return found[1]

    def _old(self, when: float) -> bool:
        return time.monotonic() - when >= self._seconds

    # As they are

    def head(self, key: str) -> Head:
        return self._store.head(key)

    def heads(self, keys: Sequence[str]) -> Generator[tuple[float, Head | Missing | None]]:
        return self._store.heads(keys)

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]:
        return self._store.get(key, most)

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        return self._store.put(key, body, metadata, condition)

    def copy(
        self,
        source: str,
        key: str,
        metadata: Mapping[str, str] | None = None,
        match: str | None = None,
        onto: Condition = ALWAYS,
    ) -> str:
        return self._store.copy(source, key, metadata, match, onto)

    def delete(self, key: str, match: str | None = None) -> None:
        self._store.delete(key, match)

    def delete_many(self, keys: Sequence[str]) -> None:
        self._store.delete_many(keys)

    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page:
        return self._store.list(prefix, delimiter, token, most, after)

    def begin(self, key: str, metadata: Mapping[str, str]) -> Upload:
        return self._store.begin(key, metadata)

    def resume(self, key: str, upload: str) -> Upload:
        return self._store.resume(key, upload)


def read_in(folder: Folder | None) -> None:
    """A file in it is read: the next ones likely too."""
    if folder is not None:
        folder.eager = min(EAGER, folder.eager + 2)
