"""Bytes that the engine does not have though their writer has closed them: kept, listed, tried again, found again.

Each is a record beside its cache file. After a failed upload the file and the record are synced to disk, so they
survive a power loss; those of `writeback` and of mappings are not, and are believed only in the boot that made them.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from moorage.unsaved import Unsaved, parsed
from moorfs.disk import sync_folder

__all__ = ["Ledger", "Unsaved"]

_BOOT = "/proc/sys/kernel/random/boot_id"


class Ledger:
    """The records of a mount, in a folder of its cache."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self._boot = Path(_BOOT).read_text(encoding="ascii").strip()
        self._records = {record.name: record for record in self._read()}

    def all(self) -> list[Unsaved]:
        """Oldest first."""
        return sorted(self._records.values(), key=lambda record: record.since)

    def get(self, name: str) -> Unsaved | None:
        return self._records.get(name)

    def keep(self, record: Unsaved, sync: Callable[[], None] | None = None) -> Unsaved:
        """Note it; with `sync`, of the bytes, both are on the disk when this returns. Raises OSError."""
        known = self._records.get(record.name)
        record = replace(record, since=known.since if known else record.since, boot=self._boot)
        if sync:
            sync()
            record = replace(record, boot="")
        self._write(record, sync is not None)
        self._records[record.name] = record
        return record

    def drop(self, name: str) -> None:
        if self._records.pop(name, None):
            Path(self._path(name)).unlink(missing_ok=True)

    def add(self, record: Unsaved) -> None:
        """A record as it is, on the disk when this returns."""
        self._write(record, True)
        self._records[record.name] = record

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}.json"

    def _write(self, record: Unsaved, sync: bool) -> None:
        path = self._path(record.name)
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(asdict(record)).encode())
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(path + ".new", path)
        if sync:
            sync_folder(self.folder)

    def _read(self) -> list[Unsaved]:
        found: list[Unsaved] = []
        for path in Path(self.folder).glob("*.json"):
            record = parsed(path.read_bytes(), self._boot)
            if record:
                found.append(record)
            else:
                path.unlink()
        return found
