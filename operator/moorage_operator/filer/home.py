"""`.moorage` on the export: records, the folders that are being made or removed, and the lock of who works there."""

import fcntl
import logging
import os
import time
from contextlib import suppress

from pydantic import ValidationError

from moorage.errors import MoorageError, NotOffered, Pending
from moorage.folder import HOME, RECORD_VERSION, FolderRecord
from moorage_operator.filer.beneath import opened

log = logging.getLogger(__name__)

STAGED, TRASH = "staged", "trash"
_SUFFIX = ".json"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class Home:
    """Blocking. `records`: by id, as they are on the filer while the lock is held."""

    def __init__(self, root: int) -> None:
        """`root`: a descriptor of the mounted export. Makes what is missing."""
        _make(root, HOME)
        with opened(root, HOME) as found:
            self.folder = os.dup(found)
        for name in (STAGED, TRASH):
            _make(self.folder, name)
        self.records: dict[str, FolderRecord] = {}
        self._lock = -1

    def lock(self, patience: float) -> None:
        """One worker at a time, whatever cluster it is of; raises Pending after `patience` seconds.

        The lock of a worker that died with its node is given up by the filer when the node's lease is over.
        """
        until = time.monotonic() + patience
        self._lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.folder)
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise Pending("another worker holds the lock on the filer's folder .moorage") from error
                time.sleep(0.5)

    def load(self) -> None:
        """Raises NotOffered for a record of a newer release, MoorageError for one that cannot be read."""
        names = [name for name in os.listdir(self.folder) if name.endswith(_SUFFIX) and not name.startswith(".")]
        for name in sorted(names):
            id = name.removesuffix(_SUFFIX)
            self.records[id] = self._read(id, name)

    def write(self, record: FolderRecord) -> None:
        """By rename; on the filer when this returns."""
        name = record.id + _SUFFIX
        descriptor = os.open(f".{name}", _WRITE, 0o600, dir_fd=self.folder)
        with os.fdopen(descriptor, "w") as file:
            file.write(record.model_dump_json(by_alias=True, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(f".{name}", name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        os.fsync(self.folder)
        self.records[record.id] = record

    def adopt(self, record: FolderRecord, source: str) -> None:
        """The record `source` becomes `record`. One rename is the moment of it; the new owner is written after it."""
        if source != record.id:
            os.rename(source + _SUFFIX, record.id + _SUFFIX, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            moved = self.records.pop(source)
            self.records[record.id] = moved.model_copy(update={"id": record.id})
        self.write(record)

    def forget(self, id: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(id + _SUFFIX, dir_fd=self.folder)
        os.fsync(self.folder)
        self.records.pop(id, None)

    def close(self) -> None:
        """The lock goes with its descriptor."""
        for descriptor in (self._lock, self.folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self.folder = -1

    def _read(self, id: str, name: str) -> FolderRecord:
        """The file's name is the id, whatever the file says: an adoption renames it first."""
        with os.fdopen(os.open(name, _READ, dir_fd=self.folder)) as file:
            text = file.read()
        try:
            record = FolderRecord.model_validate_json(text)
        except ValidationError as error:
            raise MoorageError(f"record {HOME}/{name} on the filer cannot be read: repair it, or remove it") from error
        if record.version > RECORD_VERSION:
            raise NotOffered(f"record {HOME}/{name} on the filer is of a newer release: go back to that")
        return record.model_copy(update={"id": id})


def _make(folder: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, mode=0o700, dir_fd=folder)
