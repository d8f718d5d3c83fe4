"""Multipart uploads under way, each noted beside the cache files: whoever comes after a crash aborts them.

Otherwise their parts would lie in the bucket, unseen and paid for, until a rule of its life cycle takes them. The bytes
themselves are the cache's matter: what was not stored is stored again, from its beginning.

A note is a symbolic link `uploads/<any name>`, which is there whole or not at all; it points at the engine's name of
the upload, a line feed and the key. It is not synced to the disk: after a power loss the bucket's life cycle has to do.
"""

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from moorfs.onward import Onward
from moorfs.ports import ALWAYS, Condition, ObjectStore, Range
from moorfs.transfer.workers import Workers


@dataclass(frozen=True, slots=True)
class Noting:
    """Of an engine what uploads need of it; those that begin here are noted until they have ended."""

    store: ObjectStore
    folder: Path

    @classmethod
    def of(cls, store: ObjectStore, folder: str) -> ObjectStore:
        return cast("ObjectStore", cls(store, Path(folder)))

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        return self.store.put(key, body, metadata, condition)

    def begin(self, key: str, metadata: Mapping[str, str]) -> "NotedUpload":
        made = self.store.begin(key, metadata)
        note = self.folder / uuid.uuid4().hex
        with suppress(OSError):  # a full disk: the bucket's life cycle takes what nobody remembers
            note.symlink_to(f"{made.id}\n{key}")
        return NotedUpload(made, note)


@dataclass(frozen=True, slots=True)
class NotedUpload(Onward):
    """An upload whose note goes with its end."""

    note: Path

    def complete(self, condition: Condition = ALWAYS) -> str:
        etag = self.upload.complete(condition)
        _drop(self.note)
        return etag

    def abort(self) -> None:
        self.upload.abort()
        _drop(self.note)


def abort_earlier(store: ObjectStore, workers: Workers, folder: str) -> None:
    """Abort what a process before had begun and not ended, in the background. What cannot be aborted now is tried
    again by the next start."""
    Path(folder).mkdir(exist_ok=True)
    for note in list(Path(folder).iterdir()):
        workers.submit(lambda note=note: _abort(store, note))


def _abort(store: ObjectStore, note: Path) -> None:
    with suppress(OSError):
        upload, _, key = os.readlink(note).partition("\n")
        if upload and key:
            store.resume(key, upload).abort()
        _drop(note)


def _drop(note: Path) -> None:
    with suppress(OSError):
        note.unlink()
