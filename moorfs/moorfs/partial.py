"""A big file of which only the blocks that were asked for, or written, are in the cache file.

All reads and writes come to us (no passthrough). A block is fetched when it is read, or when a write covers only some
of its bytes; what is neither read nor written stays in the engine, and is copied there (UploadPartCopy) at flush.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from moorfs.ahead import Ahead
from moorfs.allocation import KEEP_SIZE, PUNCH_HOLE, allocate, must_be_zeroing
from moorfs.blocks import ABSENT, BLOCK, DIRTY, HERE, STORING, Blocks, count, runs
from moorfs.means import Means, refused
from moorfs.ports import Changed, FileError, FileNode, Local, Missing, Range
from moorfs.stream import Stream

_PER_REQUEST = 32  # blocks: 8 MiB


class Partial:
    """`blocks.etag`: the object under the file."""

    def __init__(self, means: Means, node: FileNode, path: str, blocks: Blocks) -> None:
        self._means = means
        self._node = node
        self.path = path
        self.blocks = blocks
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._flight: dict[int, Future[None]] = {}
        self._ahead = Ahead()
        self._stream = Stream(means, lambda: (node.key, blocks.etag, blocks.base))
        self.changes = 0
        self._cut = False
        self._storing = bool(blocks.find(STORING, 0, self._count))

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    @property
    def _count(self) -> int:
        return count(max(self.size, self.blocks.base))

    # Reading

    def read(self, handle: int, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        reach, window = self._ahead.plan(handle, offset, end)
        try:
            self.load(offset // BLOCK, count(end), reach, window)
        except OSError as error:
            if error.errno != errno.ENOSPC or self.is_dirty:
                raise
            return self._stream.read(handle, offset, end - offset)
        return os.pread(self.fd, end - offset, offset)

    def load(self, first: int, end: int, reach: int = 0, window: int = _PER_REQUEST) -> None:
        """Returns when blocks first..end-1 are here; fetches what is absent up to `reach` too."""
        while True:
            with self._lock:
                waiting = self._begin(first, end, max(reach, end), window)
            if not waiting:
                return
            self._means.results(waiting)
            reach = 0

    def probe(self) -> None:
        """The first block; raises Changed or Missing when the object is not the one we know of."""
        length = min(BLOCK, self.blocks.base)
        self._means.store.read(self._node.key, Range(self.fd, 0, length), 0, self.blocks.etag)
        self.blocks.set(0, 1, HERE)

    def load_all(self) -> None:
        self.load(0, self._count)

    def _begin(self, first: int, end: int, reach: int, window: int) -> list[Future[None]]:
        """What must be waited for before first..end-1 are here; begun if it was not. With the lock."""
        absent = self.blocks.absent(first, reach)
        for start, stop in runs([block for block in absent if block not in self._flight], window):
            future = self._means.down.submit(self._fetch, start, stop)
            for block in range(start, stop):
                self._flight[block] = future
        needed = (self._flight.get(block) for block in absent if block < end)
        return list({id(future): future for future in needed if future}.values())

    def _fetch(self, first: int, end: int) -> None:
        with self._lock:
            pass  # `_begin` has put us into the table before we can leave it
        arrived = False
        try:
            start = first * BLOCK
            self._get(Range(self.fd, start, min(end * BLOCK, self.blocks.base) - start))
            arrived = True
        finally:
            with self._lock:
                for block in range(first, end):
                    del self._flight[block]
                    if arrived and self.blocks.state(block) == ABSENT:
                        self.blocks.set(block, block + 1, HERE)

    def _get(self, sink: Range) -> None:
        """A rename or an upload of ours may give the bytes another key or ETag meanwhile: then once more."""
        while True:
            key, etag = self._node.key, self.blocks.etag
            try:
                self._means.with_room(lambda key=key, etag=etag: self._means.store.read(key, sink, sink.offset, etag))
                return
            except (Changed, Missing):
                if (key, etag) == (self._node.key, self.blocks.etag):
                    raise FileError(errno.ESTALE, f"{key} was changed by somebody else while it was read") from None

    # Writing

    def write(self, offset: int, data: memoryview) -> int:
        end = offset + len(data)
        if not data:
            return 0
        self._alone(offset, end, lambda: self._put(offset, data))
        return len(data)

    def _put(self, offset: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self.fd, data[done:], offset + done)

    def _alone(self, offset: int, end: int, action: Callable[[], None]) -> None:
        """The action on bytes offset..end-1, once what it leaves of their blocks is here; no fetch meanwhile."""
        first, stop = offset // BLOCK, count(end)
        while True:
            with self._lock:
                waiting = self._hindrances(offset, end)
                if not waiting:
                    self._act(first, stop, action)
                    return
            self._means.results(waiting)

    def _act(self, first: int, stop: int, action: Callable[[], None]) -> None:
        self.changes += 1
        self.blocks.change(dirty=True, mtime=time.time_ns())
        try:
            self._means.with_room(action)
        except FileError:
            raise
        except OSError as error:
            raise refused(error, "write to the cache") from None
        self.blocks.set(first, stop, DIRTY)

    def _hindrances(self, offset: int, end: int) -> list[Future[None]]:
        first, last = offset // BLOCK, (end - 1) // BLOCK
        waiting = [self._flight[block] for block in self._flight.keys() & set(range(first, last + 1))]
        for block in {first, last}:
            under = min((block + 1) * BLOCK, self.blocks.base)
            if offset > block * BLOCK or end < under:
                waiting += self._begin(block, block + 1, block + 1, 1)
        return waiting

    def truncate(self, size: int) -> None:
        while True:
            with self._lock:
                waiting = list(set(self._flight.values()))
                if not waiting:
                    self._cut_to(size)
                    return
            with contextlib.suppress(OSError):  # a fetch ahead that failed is no hindrance
                self._means.results(waiting)

    def _cut_to(self, size: int) -> None:
        was = self._count
        self.changes += 1
        self._cut = self._cut or size < self.size
        self.blocks.change(dirty=True, mtime=time.time_ns(), base=min(self.blocks.base, size))
        os.ftruncate(self.fd, size)
        if count(size) < was:
            self.blocks.set(count(size), was, ABSENT)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        must_be_zeroing(mode)
        end = offset + length
        if mode & ~KEEP_SIZE:
            stop = min(end, self.size) if mode & KEEP_SIZE else end
            if stop > offset:
                self._zero(offset, stop)
        elif end > self.size and not mode & KEEP_SIZE:
            self.truncate(end)

    def _zero(self, offset: int, end: int) -> None:
        """A hole, and growth where it reaches beyond the end."""
        if end > self.size:
            self.truncate(end)
        self._alone(offset, end, lambda: allocate(self.fd, PUNCH_HOLE | KEEP_SIZE, offset, end - offset))

    def set_mtime(self, mtime: int) -> None:
        self.blocks.change(mtime=mtime)

    # Storing

    @property
    def is_dirty(self) -> bool:
        return self.blocks.dirty or self._storing

    is_changed = is_dirty

    def local(self) -> Local | None:
        if not self.is_dirty:
            return None
        return Local(self.size, self.blocks.mtime, os.fstat(self.fd).st_blocks)

    def begin_storing(self) -> tuple[int, int, int] | None:
        """Changes so far, size and mtime: what `stored` wants to know; None: nothing to store."""
        with self._lock:
            if not self.is_dirty:
                return None
            self._storing = True
            self._cut = False
            self.blocks.replace(DIRTY, STORING)
            return self.changes, self.size, self.blocks.mtime

    def is_clean(self, start: int, end: int) -> bool:
        """Whether bytes start..end-1 are the object's, as they are."""
        if end > self.blocks.base:
            return False
        first, stop = start // BLOCK, count(end)
        with self._lock:
            return not self.blocks.find(DIRTY, first, stop) and not self.blocks.find(STORING, first, stop)

    def stored(self, etag: str, changes: int, size: int) -> None:
        with self._lock:
            self.blocks.replace(STORING, HERE)
            base = self.blocks.base if self._cut else size
            self.blocks.change(etag=etag, base=base, dirty=self.changes != changes)
            self._storing = False

    def not_stored(self) -> None:
        with self._lock:
            self.blocks.replace(STORING, DIRTY)
            self.blocks.change(dirty=True)
            self._storing = False

    @property
    def is_full(self) -> bool:
        return self.blocks.is_full

    def forget_reader(self, handle: int) -> None:
        self._ahead.forget(handle)

    def sync(self) -> None:
        """To the disk: the bytes, then what tells which they are."""
        os.fsync(self.fd)
        self.blocks.sync()

    def quiet(self) -> None:
        """Wait until no fetch writes to the cache file any more."""
        with contextlib.suppress(OSError):
            self._means.results(list(set(self._flight.values())))

    def close(self) -> None:
        self.quiet()
        self.blocks.close()
        os.close(self.fd)

    def remove(self) -> None:
        self.close()
        for path in (self.path, self.blocks.path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
