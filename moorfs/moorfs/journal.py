"""The state log: append-only, by plain write(2), so that whatever was written survives a SIGKILL of this process.

What must survive a power loss too is written with `sync=True`. When the log has grown to four times what is live, it
is written anew beside itself and renamed over.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from moorage.errors import InvalidInput
from moorfs.disk import sync_folder
from moorfs.records import VERSION, Record, decode, encode, opened_seal, sealed

LEAST = 1 << 20
"""Bytes below which a log is never written anew."""
GROWTH = 4


class Journal:
    """One per mount. `wait`: called before a disk is waited for."""

    def __init__(self, path: Path, wait: Callable[[], None] = lambda: None, least: int = LEAST) -> None:
        self._path = path
        self._wait = wait
        self._least = least
        self._lock = threading.Lock()
        self._compacting = threading.Lock()
        self._file = _appending(path)
        self._size = os.fstat(self._file).st_size
        self._torn = bool(self._size) and os.pread(self._file, 1, self._size - 1) != b"\n"
        if not self._size:
            self._append(_header())
        self._limit = max(self._least, GROWTH * self._size)

    def write(self, record: Record, sync: bool = False) -> None:
        """In the log when it returns; on the disk too with `sync`. Raises OSError (ENOSPC, EIO)."""
        self.write_all((record,), sync)

    def write_all(self, records: Iterable[Record], sync: bool = False) -> None:
        """All of them in one write(2)."""
        data = b"".join(map(encode, records))
        with self._lock:
            self._append(data)
            file = os.dup(self._file) if sync else -1
        if sync:
            self._flush(file)

    def sync(self) -> None:
        """All that was written so far is on the disk."""
        with self._lock:
            file = os.dup(self._file)
        self._flush(file)

    def _append(self, data: bytes) -> None:
        if self._torn:  # the checksum tells a torn line apart, if it is a line of its own
            data = b"\n" + data
        done = os.write(self._file, data)
        self._size += done
        self._torn = done < len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, "no room for the state log", str(self._path))

    def _flush(self, file: int) -> None:
        try:
            self._wait()
            os.fdatasync(file)
        finally:
            os.close(file)

    @property
    def size(self) -> int:
        return self._size

    @property
    def due(self) -> bool:
        """Whether it is time for `compact`."""
        return self._size >= self._limit

    def compact(self, live: Callable[[Iterable[Record]], Iterable[Record]]) -> None:
        """Keep only what `live` makes of the records so far; what is written meanwhile is kept as it is."""
        with self._compacting:
            until = self._size
            fresh = self._path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            file = _appending(fresh)
            try:
                _write_whole(file, [_header(), *map(encode, live(_records(self._path, until)))])
                self._flush(os.dup(file))
                with self._lock:
                    self._switch(fresh, file, until)
            except BaseException:
                os.close(file)
                fresh.unlink(missing_ok=True)
                raise

    def _switch(self, fresh: Path, file: int, until: int) -> None:
        with self._path.open("rb") as old:
            old.seek(until)
            _write_whole(file, [old.read()])
        os.fdatasync(file)
        fresh.rename(self._path)
        sync_folder(self._path.parent)
        os.close(self._file)
        self._file = file
        self._size = os.fstat(file).st_size
        self._limit = max(self._least, GROWTH * self._size)

    def close(self) -> None:
        with self._lock:
            os.close(self._file)
            self._file = -1


def replay(path: Path) -> tuple[list[Record], int]:
    """All records of a log, and how many lines were damaged (the end of a log that a power loss cut, mostly).

    No log: nothing. Raises InvalidInput for a log of a version that this program does not know: the mount's kernel
    connection cannot be taken over then, and must be aborted and mounted anew.
    """
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        _check_header(file.readline(), path)
        decoded = [decode(line) for line in file]
    records = [r for r in decoded if r is not None]
    return records, len(decoded) - len(records)


def _records(path: Path, until: int) -> Iterator[Record]:
    with path.open("rb") as file:
        left = until - len(file.readline())
        for line in file:
            left -= len(line)
            if left < 0:
                return
            record = decode(line)
            if record is not None:
                yield record


def _header() -> bytes:
    return sealed(["moorfs", VERSION])


def _check_header(line: bytes, path: Path) -> None:
    fields = opened_seal(line)
    if not line or fields == ["moorfs", VERSION]:
        return
    if fields and fields[0] == "moorfs":
        raise InvalidInput(f"{path} is a state log of version {fields[1]}, this moorfs knows {VERSION}: mount anew")
    raise InvalidInput(f"{path} is no state log, or its beginning is damaged: mount anew")


def _appending(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _write_whole(file: int, parts: Iterable[bytes]) -> None:
    data = memoryview(b"".join(parts))
    while data:
        data = data[os.write(file, data) :]
