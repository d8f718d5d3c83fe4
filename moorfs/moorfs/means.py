"""What the bytes of a file need from the mount: the engine, the kernel's passthrough, the journal, threads."""

import errno
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from moorfs.ports import Backing, FileError, FileLog, ObjectStore
from moorfs.settings import Settings
from moorfs.transfer.workers import Workers
from moorfs.unfinished import Noting

log = logging.getLogger("moorfs.data")
T = TypeVar("T")


@dataclass(slots=True)
class Means:
    """One for a mount. `wait` is called before anything that may take long, so that another thread takes the lead."""

    store: ObjectStore
    log: FileLog
    settings: Settings
    wait: Callable[[], None]
    backing: Backing | None = None
    """None: no passthrough; also from the first refusal on."""
    fine: bool = True
    """See `dirty.is_fine`."""
    mapped_seen: bool = True
    """See `mapping.is_seen`."""
    writer: str = ""
    """Names this mount in what it stores, so that it knows its own objects again."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    """Of handles."""
    make_room: Callable[[], bool] = field(default=lambda: False)
    """Clean cache files go; True when some went."""
    down: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16, "moorfs-down"))
    up: Workers = field(default_factory=Workers)

    counts: Counter[str] = field(default_factory=Counter[str])

    def count(self, name: str, size: int = 0) -> None:
        """For metrics: once more, and so many bytes."""
        self.counts[f"{name}_total"] += 1
        if size:
            self.counts[f"{name}_bytes_total"] += size

    @property
    def folder(self) -> str:
        return self.settings.cache

    @property
    def uploads(self) -> str:
        """Where multipart uploads under way are noted."""
        return f"{self.settings.cache}/uploads"

    @property
    def noting(self) -> ObjectStore:
        """The engine for uploads: those in parts are noted while they last."""
        return Noting.of(self.store, self.uploads)

    def path_of(self, number: int) -> str:
        """The cache file of a node."""
        return f"{self.settings.cache}/data/{number:x}"

    def results(self, futures: Iterable[Future[Any]]) -> None:
        """Waits for all; raises the first error, after all have ended."""
        self.wait()
        error: BaseException | None = None
        for future in futures:
            try:
                error = error or future.exception()
            except CancelledError:
                error = FileError(errno.ESHUTDOWN, "this process ends")
        if error is not None:
            raise error

    def with_room(self, action: Callable[[], T]) -> T:
        """The action's result; when the cache's disk is full, once more after clean files went."""
        try:
            return action()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, FileError) or not self.make_room():
                raise
        return action()

    def close(self) -> None:
        self.down.shutdown(wait=False, cancel_futures=True)
        self.up.close()


def refused(error: OSError, doing: str) -> FileError:
    """The error of a local file as the caller gets it."""
    return FileError(error.errno or errno.EIO, f"{doing}: {os.strerror(error.errno or errno.EIO)}")
