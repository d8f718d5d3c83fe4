"""When the bytes of a file go to the engine, and what happens when they do not."""

import contextlib
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorfs import upload
from moorfs.dirty import Clean, clean_at, stamp_of
from moorfs.engine import Undone
from moorfs.fetch import Streamed, remove
from moorfs.mapping import is_mapped
from moorfs.means import log, refused
from moorfs.partial import Partial
from moorfs.ports import ALWAYS, Changed, Condition, FileError, Mark, Missing, Stamp, StoreError
from moorfs.whole import Whole

if TYPE_CHECKING:
    from moorfs.content import Body, Content

_TRIES = 8
_FREEZE = 3
"""After so many tries that a writer spoiled, a copy is stored."""
NOTHING = Stamp(-1, -1, -1)
"""No cache file has it: the bytes come from the object with the mark's ETag, but are others."""
TAG = "moorfs-writer"
"""Metadata of an object: which mount and node wrote it, and when."""


@dataclass(frozen=True, slots=True)
class Job:
    """One try to store what is there now. `moved`: whether the bytes have changed meanwhile."""

    size: int
    mtime: int
    send: Callable[[upload.Goal], str]
    done: Callable[[str], Clean | None]
    undo: Callable[[], None]
    moved: Callable[[], bool]


class Saving:
    """Of one file. `pins`: uploads under way, which need its descriptors. `metadata`: it is to be stored, though the
    bytes may be clean. `watching`: a mapping may have outlived the last writer's close."""

    __slots__ = ("_file", "_means", "_stored", "metadata", "mtime_set", "pins", "watching")

    def __init__(self, file: "Content") -> None:
        self._file = file
        self._means = file.means
        self.pins = 0
        self.metadata = False
        self.watching = False
        self.mtime_set = False
        """By utimens(2), since the last upload."""
        self._stored = 0
        """When we last stored it, nanoseconds since 1970."""

    def save(self) -> None:
        """The engine has all that was dirty when this returns. Raises FileError, and keeps the bytes then."""
        file = self._file
        with file.node.lock:
            with file.lock:
                body = file.body
                self.pins += 1
            try:
                if body is not None and not isinstance(body, Streamed):
                    self._save(body)
            finally:
                with file.lock:
                    self.pins -= 1
                    file.rest()

    def save_quietly(self) -> bool:
        """For who cannot be told: the error is kept with the bytes. Whether all is stored."""
        try:
            if self._file.is_dirty:
                self.save()
        except FileError as error:
            log.warning("%s: not stored: %s", self._file.node.key, error.strerror)
            return False
        return True

    def postpone(self) -> None:
        """writeback: it is noted, and will be stored."""
        if self._file.is_dirty:
            self._file.pending = True
            self._file.watcher.later(self._file)

    # One upload

    def _save(self, body: Whole | Partial) -> None:
        for attempt in range(_TRIES):
            if self._file.node.gone:
                return
            job = self._whole(body, attempt >= _FREEZE) if isinstance(body, Whole) else self._partial(body)
            if job is None:
                self._all_stored()
                return
            if self._try(job, attempt + 1 == _TRIES):
                return
        raise self._failed(FileError(errno.EIO, "it changes too fast to be stored"))

    def _try(self, job: Job, last: bool) -> bool:
        """False: once more."""
        metadata, self.metadata = self.metadata, False
        try:
            etag = job.send(self.goal(job.mtime))
        except OSError as error:
            job.undo()
            self.metadata |= metadata
            if not last and (isinstance(error, Undone) or self._adopted(error) or job.moved()):
                return False
            raise self._failed(error) from None
        self._done(job, etag)
        return True

    def _whole(self, body: Whole, freeze: bool) -> Job | None:
        stamp = body.snapshot()
        if stamp is None and not self.metadata:
            return None
        stamp = stamp or stamp_of(body.fd)
        return Job(
            stamp.size,
            stamp.mtime,
            send=lambda goal: self._send(goal, body, stamp.size, freeze),
            done=lambda _: body.stored(stamp),
            undo=body.not_stored,
            moved=lambda: stamp_of(body.fd) != stamp,
        )

    def _send(self, goal: upload.Goal, body: Whole, size: int, freeze: bool) -> str:
        early = self._file.growth.taken()
        if early is not None:
            etag = early.finish(goal, size, self._file.handles.direct or body.mapped, self.mtime_set)
            if etag is not None:
                return etag
        put = upload.put_frozen if freeze else upload.put_file
        return put(self._means, goal, body.fd, size)

    def _partial(self, body: Partial) -> Job | None:
        if self.metadata:
            body.blocks.change(dirty=True)
        begun = body.begin_storing()
        if begun is None:
            return None
        changes, size, mtime = begun
        return Job(
            size,
            mtime,
            send=lambda goal: upload.put_partial(self._means, goal, body, size),
            done=lambda etag: body.stored(etag, changes, size),
            undo=body.not_stored,
            moved=lambda: body.changes != changes,
        )

    def goal(self, mtime: int) -> upload.Goal:
        node = self._file.node
        tag = f"{self._file.writer}:{time.time_ns()}"
        return upload.Goal(node.key, {**node.metadata(mtime), TAG: tag}, self._condition())

    def _condition(self) -> Condition:
        if not self._means.settings.conditional:
            return ALWAYS
        return Condition(match=self._file.etag) if self._file.etag else Condition(absent=True)

    def _adopted(self, error: OSError) -> bool:
        """Whether the object that hinders is our own: its upload was done, but the answer was lost (by a crash, or on
        the network). Then it is what we write over."""
        if not _is_conflict(error):
            return False
        try:
            head = self._means.store.head(self._file.node.key)
        except StoreError:
            return False
        writer, _, when = head.metadata.get(TAG, "").rpartition(":")
        if writer != self._file.writer or not when.isdigit() or int(when) < self._stored:
            return False
        self._file.etag = head.etag
        if isinstance(self._file.body, Partial):
            self._file.body.blocks.change(etag=head.etag)
        return True

    def _done(self, job: Job, etag: str) -> None:
        file = self._file
        with file.lock:
            if file.kept == file.etag and not file.handles.direct:
                file.kept = etag
            file.etag = etag
            mark = job.done(etag)
        self._stored = time.time_ns()
        self.mtime_set = False
        file.node.stored(etag, job.size, job.mtime)
        if mark:
            self.log_mark(mark)
        self._means.count("stored", job.size)
        self._all_stored()

    def _all_stored(self) -> None:
        if self._file.pending and not self.watching:
            self._file.pending = False
        self._file.conflict = False
        self._file.watcher.saved(self._file)

    def _failed(self, error: OSError) -> FileError:
        """The error for the caller; the bytes are kept."""
        key = self._file.node.key
        if _is_conflict(error):
            self._file.conflict = True
            error = FileError(errno.ESTALE, f"{key} was written by somebody else meanwhile: {error.strerror}")
        known = error if isinstance(error, FileError) else refused(error, f"storing {key}")
        self._file.pending = True
        self._file.watcher.failed(self._file, known)
        return known

    # The end of writing

    def after_last_writer(self, body: Whole) -> None:
        """With the file's lock, at the release of a handle when no writer is left."""
        if not body.mapped:
            return
        if is_mapped(body.path):
            self.watching = self._file.pending = True
            self._file.watcher.later(self._file)
        elif not self.watching:
            body.mapped = False

    def watch(self, store: bool) -> None:
        """Look after a mapping that outlived its descriptor; with `store` its stores so far go to the engine."""
        file = self._file
        body = file.body
        if not isinstance(body, Whole) or file.handles.writers:
            return  # their own closes store it, and the last one looks again
        try:
            over = not is_mapped(body.path)
        except FileNotFoundError:  # it was unlinked meanwhile
            self.watching = False
            return
        if over:
            self.watching = False
        if (over or store) and self.save_quietly() and over:
            with file.lock:
                body.mapped = False
                file.rest()

    def settled(self, body: Whole | Partial | Streamed) -> "Body | None":
        """What stays of a clean body that nobody has open: complete ones get their mark, others are put by."""
        if isinstance(body, Whole):
            if body.mark and not body.mark.sure and not body.is_changed:
                body.mark = Clean(body.mark.stamp)
                self.log_mark(body.mark)
            return body
        if isinstance(body, Partial) and body.is_full and not body.is_dirty:
            return self._completed(body)
        body.close()
        return None

    def _completed(self, body: Partial) -> Whole:
        body.close()
        whole = Whole(self._means, body.path)
        whole.set_mtime(body.blocks.mtime)
        self.mark(whole)
        remove(body.blocks.path)
        return whole

    def mark(self, body: Whole) -> None:
        """The bytes here are the object's."""
        stamp = stamp_of(body.fd)
        body.mark = Clean(stamp) if not self._file.handles else clean_at(stamp, time.time_ns(), self._means.fine)
        self.log_mark(body.mark)

    def is_fresh_and_empty(self, body: Whole, within: int) -> bool:
        fresh = time.time_ns() - self._stored < within and bool(self._file.etag)
        return fresh and not body.is_changed and stamp_of(body.fd).size == 0

    def log_mark(self, mark: Clean | None) -> None:
        """For who takes over: what is clean, or over which object alone the dirty bytes may be stored."""
        stamp = mark.stamp if mark and mark.sure else NOTHING
        with contextlib.suppress(OSError):  # without it, it would be stored once more after a takeover
            self._means.log.clean(Mark(self._file.node.id, self._file.etag, stamp))


def _is_conflict(error: OSError) -> bool:
    gone = isinstance(error, Missing) and error.s3_code != "NoSuchBucket"
    return isinstance(error, Changed) or gone
