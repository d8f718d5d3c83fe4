"""A file whose bytes are all in its cache file. The kernel may write there by itself, so its stamp tells what is dirty.

Our own descriptor is read-only: while somebody has a file open for writing, `mapping.is_mapped` cannot tell anything.
"""

import contextlib
import os
import time

from moorfs.allocation import allocate
from moorfs.dirty import Clean, clean_at, is_changed, is_dirty, stamp_of
from moorfs.mapping import write_back
from moorfs.means import Means, refused
from moorfs.ports import Local, Stamp


class Whole:
    """`mark`: what is stored; None: nothing, or not this."""

    __slots__ = ("_fd", "_means", "_out", "mapped", "mark", "path", "written")

    def __init__(self, means: Means, path: str, mark: Clean | None = None) -> None:
        self._means = means
        self.path = path
        self.mark = mark
        self.mapped = False
        """Somebody may have a writable shared mapping that passes us by."""
        self.written = False
        """We wrote since the mark, though the stamp may not tell."""
        self._fd = -1
        self._out = -1

    @property
    def fd(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd

    @property
    def out(self) -> int:
        """For writing; closed by `quiet`."""
        if self._out < 0:
            self._out = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return self._out

    def read(self, handle: int, offset: int, size: int) -> bytes:
        return os.pread(self.fd, size, offset)

    def write(self, offset: int, data: memoryview) -> int:
        self.written = True
        done = 0
        while done < len(data):
            rest, at = data[done:], offset + done
            try:
                done += self._means.with_room(lambda rest=rest, at=at: os.pwrite(self.out, rest, at))
            except OSError as error:
                if done:
                    return done
                raise refused(error, "write to the cache") from None
        return done

    def truncate(self, size: int) -> None:
        self.written = True
        os.truncate(self.path, size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        self.written = True
        self._means.with_room(lambda: allocate(self.out, mode, offset, length))

    def set_mtime(self, mtime: int) -> None:
        os.utime(self.fd, ns=(mtime, mtime))

    def local(self) -> Local:
        found = os.fstat(self.fd)
        return Local(found.st_size, found.st_mtime_ns, found.st_blocks)

    @property
    def is_dirty(self) -> bool:
        """For a close or fsync."""
        return self.written or self._may_be_mapped or is_dirty(self.mark, stamp_of(self.fd))

    @property
    def is_changed(self) -> bool:
        """For a look: after the last close, or by the tree."""
        return self.written or is_changed(self.mark, stamp_of(self.fd))

    def snapshot(self) -> Stamp | None:
        """What there is to store now; None: nothing."""
        if self.mapped and self._means.mapped_seen:
            self._means.wait()
            with contextlib.suppress(OSError):  # then the stamp may be old, and the next close stores again
                write_back(self.fd)
        if not self.is_dirty:
            return None
        self.written = False
        return stamp_of(self.fd)

    def not_stored(self) -> None:
        """What `snapshot` told is still to be stored."""
        self.written = True

    def stored(self, stamp: Stamp) -> Clean:
        """The bytes with this stamp are in the engine."""
        self.mark = clean_at(stamp, time.time_ns(), self._means.fine)
        return self.mark

    def remark(self) -> Clean:
        """The bytes are still those that are stored, though the stamp is another (their mtime was set)."""
        return self.stored(stamp_of(self.fd))

    def sync(self) -> None:
        """To the disk."""
        os.fsync(self.fd)

    def quiet(self) -> None:
        """Nobody writes any more."""
        if self._out >= 0:
            os.close(self._out)
            self._out = -1

    def close(self) -> None:
        self.quiet()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    @property
    def _may_be_mapped(self) -> bool:
        return self.mapped and not self._means.mapped_seen
