"""The bytes of one file: the `File` of ports.py. Who has it open, how, and when its bytes go to the engine.

The first open decides for all until the last release: direct (the kernel reads and writes the cache file by itself) or
by us; the kernel refuses a mix with EIO. Locks: the node's, held over uploads, before our own short one.
"""

import errno
import os

from moorfs.fetch import Streamed, body_of, empty_whole, remove
from moorfs.growth import Growth
from moorfs.handles import Handles, changes
from moorfs.lead import Courteous
from moorfs.means import Means, refused
from moorfs.partial import Partial
from moorfs.ports import FileError, FileNode, Local, Opened, StoreError
from moorfs.saving import Saving
from moorfs.watcher import Watcher
from moorfs.whole import Whole

Body = Whole | Partial | Streamed
FRESH = 1_000_000_000  # nanoseconds: touch(1) closes the file it made, then sets its time


class Content:
    """`etag`: of the object that the body came from, and over which alone it may be written; empty: there was none."""

    __slots__ = (
        "_name", "_writer", "body", "conflict", "etag", "growth", "handles", "kept", "lock", "means", "node", "pending",
        "saving", "watcher",
    )  # fmt: skip

    def __init__(
        self, means: Means, node: FileNode, watcher: Watcher, name: str | None = None, writer: str | None = None
    ) -> None:
        self.means = means
        self.node = node
        self.watcher = watcher
        self.lock = Courteous(means.wait)
        self._name = name
        self._writer = writer
        self.handles = Handles(means, node)
        self.body: Body | None = None
        self.etag = ""
        self.pending = False
        """Nobody may have it open, and yet it is, or may be, dirty."""
        self.conflict = False
        """Somebody else wrote the object: what is here can only be kept aside."""
        self.kept = ""
        """The ETag of what the kernel's page cache may hold of it."""
        self.saving = Saving(self)
        self.growth = Growth(self)

    @property
    def name(self) -> str:
        """Of its record, when it is unsaved."""
        return self._name or f"{self.node.id:x}"

    @property
    def writer(self) -> str:
        """See `saving.TAG`."""
        return self._writer or f"{self.means.writer}:{self.node.id}"

    # Opening and closing

    def create(self, flags: int) -> Opened:
        with self.lock:
            if self.body is not None:
                self.drop()
            self.etag = ""
            self.body = empty_whole(self.means, self.node)
            return self._hold(flags)

    def open(self, flags: int) -> Opened:
        writes = changes(flags)
        with self.lock:
            self._freshen()
            if writes and flags & os.O_TRUNC:
                self._empty()
            elif self.body is None:
                self.means.count("cache_misses", self.node.size)
                self._fetch(writes)
            else:
                self.means.count("cache_hits")
            if writes and isinstance(self.body, Streamed):
                raise FileError(errno.ENOSPC, f"{self.node.key}: no room in the cache to write it")
            return self._hold(flags)

    def _freshen(self) -> None:
        """What is here of an object that somebody else has replaced is of no use to a new reader."""
        stale = self.etag != self.node.etag or isinstance(self.body, Streamed)
        if self.body is not None and stale and not self.handles and not self.is_dirty:
            self.drop()

    def _empty(self) -> None:
        self.growth.give_up()
        if self.body is not None and (self.handles or self.pending):
            self.body.truncate(0)
            return
        if not isinstance(self.body, Whole):
            self.drop()
            self.body = empty_whole(self.means, self.node)
        else:
            self.body.truncate(0)
            self.body.mark = None
        self.etag = self.node.etag
        self.saving.log_mark(None)

    def _fetch(self, writes: bool) -> None:
        self.body, self.etag = body_of(self.means, self.node, writes)
        if isinstance(self.body, Whole):
            self.saving.mark(self.body)
        elif isinstance(self.body, Streamed):  # who takes over must know which object it was
            self.saving.log_mark(None)

    def _hold(self, flags: int) -> Opened:
        opened = self.handles.add(flags, self._open_body(), self._kernel_may_keep())
        self.watcher.opened(self)
        if opened.backing is None:
            self.kept = self.etag
        elif opened.flush:
            self.kept = ""
        return opened

    def _kernel_may_keep(self) -> bool:
        return bool(self.etag) and self.kept == self.etag and not self.pending

    def release(self, handle: int) -> None:
        if self.handles.writes(handle):
            self.saving.save_quietly()
        with self.lock:
            self.handles.remove(handle)
            if isinstance(self.body, Partial):
                self.body.forget_reader(handle)
            if not self.handles.writers and isinstance(self.body, Whole):
                self.body.quiet()
                self.saving.after_last_writer(self.body)
            if not self.handles:
                self._rest()
        self.means.log.released(handle)

    def _rest(self) -> None:
        """Nobody has it open any more. With the lock."""
        if self.saving.pins:
            return  # the one who stores it calls again
        if self.node.gone:
            self.drop()
            self.watcher.saved(self)
        elif isinstance(self.body, Streamed):
            self.drop()
        elif self.conflict and self.body is not None:
            self._set_aside(self.body)
        elif self.body is not None and not self.pending:
            self.body = self.saving.settled(self.body)
        if isinstance(self.body, Whole):
            self.body.close()
        self.watcher.closed(self)

    def _set_aside(self, body: Body) -> None:
        """Who opens it next gets what the engine has."""
        body.close()
        self.watcher.aside(self)
        self.body = None
        self.drop()

    def rest(self) -> None:
        """After something that was done without a handle."""
        with self.lock:
            if not self.handles:
                self._rest()

    def drop(self) -> None:
        """Forget the bytes that are here."""
        self.growth.give_up()
        if self.body is not None:
            self.body.remove()
        else:
            remove(self.means.path_of(self.node.id), self.means.path_of(self.node.id) + ".map")
        self.body, self.etag, self.kept = None, "", ""
        self.pending = self.conflict = self.saving.watching = False

    # Reading and writing, when they come to us

    def read(self, handle: int, offset: int, size: int) -> bytes:
        return self._open_body().read(handle, offset, size)

    def write(self, handle: int, offset: int, data: memoryview) -> int:
        self.growth.writes(offset, len(data))
        written = self._open_body().write(offset, data)
        self.growth.wrote(offset, written)
        return written

    def allocate(self, handle: int, mode: int, offset: int, length: int) -> None:
        body = self._open_body()
        try:
            body.allocate(mode, offset, length)
        except FileError:
            raise
        except OSError as error:
            raise refused(error, "fallocate") from None
        self.growth.give_up()

    def _open_body(self) -> Body:
        if self.body is None:
            raise FileError(errno.EBADF, f"{self.node.key} is not open")
        return self.body

    # Storing

    def flush(self, handle: int) -> None:
        if not self.handles.writes(handle):
            return
        if self.means.settings.writeback:
            self.saving.postpone()
        else:
            self.store()

    def fsync(self, handle: int) -> None:
        if self.means.settings.writeback:
            self.saving.postpone()
        else:
            self.store()

    def store(self) -> None:
        self.saving.save()

    def truncate(self, size: int) -> None:
        with self.node.lock:
            with self.lock:
                self._cut(size)
            if not self.handles.writers:
                try:
                    self.store()
                finally:
                    self.rest()

    def _cut(self, size: int) -> None:
        self.growth.give_up()
        self._freshen()
        if size == 0:
            self._empty()
        else:
            if self.body is None:
                self._fetch(True)
            try:
                self._open_body().truncate(size)
            except OSError as error:
                raise refused(error, "truncate") from None

    # What the tree asks and tells

    def touched(self, mtime: int | None = None, now: bool = False) -> bool:
        with self.lock:
            if self.is_dirty or self.node.gone:
                if mtime is None or self.body is None:
                    self.saving.metadata = True
                else:
                    self.body.set_mtime(mtime)
                    self.saving.mtime_set = True
                return True
            if mtime is None or not isinstance(self.body, Whole):
                return False
            if now and self.saving.is_fresh_and_empty(self.body, FRESH):
                return self._touch(self.body, mtime)
            if self._kernel_writes:  # a mark made now might cover a write of this very moment: so it is dirty
                self.body.set_mtime(mtime)
                self.saving.mtime_set = True
                return True
            return False

    @property
    def _kernel_writes(self) -> bool:
        """It may be written without our knowledge at any time."""
        return self.handles.direct and self.handles.writers > 0

    def _touch(self, body: Whole, mtime: int) -> bool:
        """An empty file: a write in between shows by its size."""
        body.set_mtime(mtime)
        mark = body.remark()
        if mark.stamp.size:
            body.mark = None
        self.saving.log_mark(body.mark)
        return True

    def relabel(self, etag: str, mtime: int, source: str | None) -> None:
        with self.lock:
            if self.etag != source:
                if self.body is not None and not self.handles and not self.is_dirty:
                    self.drop()
                return
            self.etag = etag
            if isinstance(self.body, Partial):
                self.body.blocks.change(etag=etag, mtime=mtime)
            elif isinstance(self.body, Whole) and not self._kernel_writes and not self.body.is_changed:
                self.body.set_mtime(mtime)
                self.saving.mark(self.body)
                if not self.handles:
                    self.body.close()
            elif isinstance(self.body, Whole):
                self.saving.log_mark(self.body.mark)

    def local(self) -> Local | None:
        with self.lock:
            if self.body is None or not (self.handles or self.pending):
                return None
            return self.body.local()

    def unlinked(self) -> None:
        with self.lock:
            if not self.handles and not self.saving.pins:
                return  # the bytes go when the kernel forgets it, or with the next try: the removal may fail still
            body = self.body
        self.growth.give_up()
        if isinstance(body, Partial):
            try:
                body.load_all()
            except StoreError:
                raise
            except OSError as error:
                raise FileError(
                    errno.EBUSY, f"{self.node.key} is open, and does not fit into the cache: {error}"
                ) from None

    @property
    def is_open(self) -> bool:
        return bool(self.handles)

    @property
    def is_dirty(self) -> bool:
        """Asked by anybody, with no lock: another thread may store the file and close it meanwhile."""
        if self.pending or self.saving.metadata:
            return True
        body = self.body
        if body is None or isinstance(body, Streamed):
            return False
        if isinstance(body, Whole) and not self.handles.writers:
            return False
        try:
            return body.is_changed
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return self.pending or self.saving.metadata  # closed since: what rests is stored
