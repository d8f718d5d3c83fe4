"""The bytes of a file as the tree sees them, and what they ask of it. Values and protocols, no code."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from moorfs.engine import Condition


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file. `backing`: the kernel's backing id, for passthrough; None when reads and writes come to us.

    `flush`: whether close() must ask us (False for a reader: closing then costs nothing).
    """

    handle: int
    backing: int | None = None
    keep_cache: bool = False
    flush: bool = True


@dataclass(frozen=True, slots=True)
class Backing:
    """The kernel's passthrough: `open(fd)` gives a backing id, `close(id)` gives it back. Both raise OSError."""

    open: Callable[[int], int]
    close: Callable[[int], None]


class FileNode(Protocol):
    """What the bytes know of the name they have: the tree's node. Only read and told under the file's own lock."""

    id: int
    etag: str
    """ETag of the object as this mount last saw or wrote it; empty: never stored."""
    size: int
    mtime: int
    gone: bool
    """Unlinked: nothing is stored any more, open handles go on."""

    @property
    def lock(self) -> AbstractContextManager[None]:
        """Reentrant. Uploads hold it, so that none begins or runs while the tree holds it (rename, unlink, copy)."""
        ...

    @property
    def key(self) -> str:
        """The object's key now; it changes by rename."""
        ...

    def metadata(self, mtime: int) -> Mapping[str, str]:
        """What to store along with the bytes: mode, owner, mtime."""
        ...

    def stored(self, etag: str, size: int, mtime: int) -> None:
        """The engine has the bytes, and the metadata of just now."""
        ...


@dataclass(frozen=True, slots=True)
class Local:
    """Size, mtime (nanoseconds) and blocks (512 bytes) of the cache file, where it is the truth."""

    size: int
    mtime: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """A cache file's size, mtime and ctime (nanoseconds): as long as it is the same, nobody wrote."""

    size: int
    mtime: int
    ctime: int


@dataclass(frozen=True, slots=True)
class Handle:
    """An open handle as the journal keeps it. `flags`: those of open(2). `direct`: the kernel reads and writes the
    cache file itself (passthrough) by the backing id `backing`."""

    number: int
    node: int
    flags: int
    direct: bool
    backing: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Of a node whose cache file is clean: the object's ETag, and the cache file's stamp when it was."""

    node: int
    etag: str
    stamp: Stamp


class FileLog(Protocol):
    """What the bytes tell the journal. Each call returns when the line is written: it survives this process (not power
    loss; what must survive that is kept by `Files` itself, beside the cache files)."""

    def opened(self, handle: Handle) -> None: ...
    def released(self, handle: int) -> None: ...
    def clean(self, mark: Mark) -> None: ...


class File(Protocol):
    """The bytes of one node: cache file, handles, what is dirty. Made by `Files.of(node)`, one for a node."""

    def create(self, flags: int) -> Opened:
        """Open it as a new, empty file."""
        ...

    def open(self, flags: int) -> Opened: ...
    def read(self, handle: int, offset: int, size: int) -> bytes | memoryview: ...
    def write(self, handle: int, offset: int, data: memoryview) -> int: ...
    def flush(self, handle: int) -> None:
        """At each close(2): returns when the engine has the bytes (unless writeback)."""
        ...

    def fsync(self, handle: int) -> None: ...
    def release(self, handle: int) -> None: ...
    def allocate(self, handle: int, mode: int, offset: int, length: int) -> None: ...
    def truncate(self, size: int) -> None:
        """Of an open file: locally, stored at flush. Of a closed one: stored before it returns."""
        ...

    def store(self) -> None:
        """The engine has all that is dirty when this returns (before a rename, say)."""
        ...

    def touched(self, mtime: int | None = None, now: bool = False) -> bool:
        """Metadata were set: owner or mode (`mtime` None: the node has them already), or the mtime (nanoseconds; `now`:
        to the present, as touch(1) does right after the file was stored). True: they go along with the bytes, or are
        stored well enough; False: the tree stores them itself (a copy in place), and then calls `relabel`."""
        ...

    def relabel(self, etag: str, mtime: int, source: str | None) -> None:
        """The tree copied the object with the ETag `source` (in place, or to another key): it has this ETag now. What
        is here of another one, which somebody else has replaced meanwhile, is not its."""
        ...

    def local(self) -> Local | None:
        """Where the cache file is the truth: open with all its bytes, or dirty. None: ask the engine."""
        ...

    def unlinked(self) -> None:
        """Before the object goes, with the node's lock held and `gone` set: open handles get what they need."""
        ...

    @property
    def is_open(self) -> bool: ...
    @property
    def is_dirty(self) -> bool: ...


class Files(Protocol):
    """The cache of a mount."""

    def of(self, node: FileNode) -> File: ...
    def forget(self, node: FileNode) -> None:
        """The kernel and the tree have no use for it any more: its cache file may go when it is clean."""
        ...

    def restore(self, node: Callable[[int], FileNode | None], handles: Iterable[Handle], marks: Iterable[Mark]) -> None:
        """At takeover, after the tree is rebuilt and before requests are served: handles, backing ids, clean marks."""
        ...

    def copy(self, source: str, target: str, size: int, match: str | None, onto: Condition) -> str:
        """Of an object within the engine (see `copies`): the new ETag."""
        ...

    def room(self) -> tuple[int, int]:
        """Bytes: total and free of the cache's disk, as far as it may be used."""
        ...

    def settle(self, seconds: float) -> Sequence[str]:
        """As of FileSystem: keys that are still unsaved after so many seconds."""
        ...

    def figures(self) -> Mapping[str, float]:
        """As of FileSystem, of the bytes."""
        ...
