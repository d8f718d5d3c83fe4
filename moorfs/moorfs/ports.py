"""What the parts of moorfs know of each other: values and protocols, no code.

kernel -> FileSystem -> Files -> ObjectStore. The kernel side decodes requests and calls a `FileSystem`; that keeps the
tree of names and asks `Files` for the bytes of one file and the `ObjectStore` for objects.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

ROOT = 1  # FUSE_ROOT_ID


class FileError(OSError):
    """What a caller gets: `FileError(errno.ENOENT, "why, for the log")`. Every refusal is one of these."""


class StoreError(FileError):
    """The engine said no, or did not answer; `errno` is what the caller gets, `s3_code` the engine's error code."""

    def __init__(self, errno: int, message: str, status: int = 0, s3_code: str = "") -> None:
        super().__init__(errno, message)
        self.status = status
        self.s3_code = s3_code


class Missing(StoreError):
    """No such object (ENOENT)."""


class Changed(StoreError):
    """A condition (If-Match, If-None-Match) was not met: somebody else wrote the object (ESTALE)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `resent`: the kernel sent the request again after a takeover, so it may have been done already.

    `unique`: the kernel's number of the request, without the bit that says resent: the same for both.
    """

    uid: int = 0
    gid: int = 0
    pid: int = 0
    resent: bool = False
    unique: int = 0


@dataclass(frozen=True, slots=True)
class Attributes:
    """What stat(2) tells. `mode` holds the file's type too; times are nanoseconds since 1970; blocks of 512 bytes."""

    node: int
    mode: int
    size: int = 0
    blocks: int = 0
    links: int = 1
    uid: int = 0
    gid: int = 0
    device: int = 0
    mtime: int = 0
    ctime: int = 0
    atime: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to a lookup: `attributes` None tells the kernel that there is no such name. Seconds of validity."""

    attributes: Attributes | None
    name_valid: float = 0.0
    attributes_valid: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """What setattr(2) calls ask; None leaves a field alone. `mtime_now`: mtime is the present, as touch(1) asks.
    `atime`: also when the present was asked for, unless mtime is the same."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    mtime: int | None = None
    mtime_now: bool = False
    atime: int | None = None
    handle: int | None = None


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
class Item:
    """One name of a folder. `next`: where the listing goes on after it."""

    name: bytes
    node: int
    mode: int
    next: int
    entry: Entry | None = None


class FileSystem(Protocol):
    """The requests, decoded. Names are bytes without '/'. Every method raises FileError and nothing else."""

    def lookup(self, parent: int, name: bytes, caller: Caller) -> Entry: ...
    def forget(self, node: int, count: int) -> None: ...
    def getattr(self, node: int, handle: int | None, caller: Caller) -> tuple[Attributes, float]: ...
    def setattr(self, node: int, change: Change, caller: Caller) -> tuple[Attributes, float]: ...
    def readlink(self, node: int) -> bytes: ...
    def mkdir(self, parent: int, name: bytes, mode: int, caller: Caller) -> Entry: ...
    def mknod(self, parent: int, name: bytes, mode: int, device: int, caller: Caller) -> Entry: ...
    def symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry: ...
    def unlink(self, parent: int, name: bytes, caller: Caller) -> None: ...
    def rmdir(self, parent: int, name: bytes, caller: Caller) -> None: ...
    def rename(self, parent: int, name: bytes, to: int, new: bytes, flags: int, caller: Caller) -> None: ...
    def create(self, parent: int, name: bytes, flags: int, mode: int, caller: Caller) -> tuple[Entry, Opened]: ...
    def open(self, node: int, flags: int, caller: Caller) -> Opened: ...
    def read(self, node: int, handle: int, offset: int, size: int) -> bytes | memoryview: ...
    def write(self, node: int, handle: int, offset: int, data: memoryview) -> int: ...
    def flush(self, node: int, handle: int) -> None: ...
    def fsync(self, node: int, handle: int) -> None: ...
    def release(self, node: int, handle: int) -> None: ...
    def allocate(self, node: int, handle: int, mode: int, offset: int, length: int) -> None: ...
    def opendir(self, node: int) -> int: ...
    def readdir(self, node: int, handle: int, offset: int, plus: bool) -> Iterable[Item]:
        """From `offset` (0, or some Item's `next`); lazily: only as much is taken as the caller has room for.

        The names "." and ".." come first, without an entry. With `plus`, an Item that has an entry counts as a lookup
        once it is yielded; one that finds no room any more is taken back by `forget`.
        """
        ...

    def releasedir(self, node: int, handle: int) -> None: ...
    def statfs(self) -> tuple[int, int]:
        """Bytes: total and free, as df shall show them."""
        ...

    def settle(self, seconds: float) -> Sequence[str]:
        """The engine has all that is dirty when this returns; what it has not after so many seconds is named."""
        ...

    def figures(self) -> Mapping[str, float]:
        """For stats and metrics: nodes, open handles, dirty files and bytes, cache bytes, hits and misses, ..., with
        names like `cache_hits_total` (counters) and `dirty_files` (gauges)."""
        ...


@dataclass(frozen=True, slots=True)
class Backing:
    """The kernel's passthrough: `open(fd)` gives a backing id, `close(id)` gives it back. Both raise OSError."""

    open: Callable[[int], int]
    close: Callable[[int], None]


# The engine.


@dataclass(frozen=True, slots=True)
class Head:
    """An object without its bytes. `metadata`: the x-amz-meta-* headers by their lowercase ends; mtime: Last-Modified
    in nanoseconds."""

    size: int
    etag: str
    mtime: int
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing; `mtime` in nanoseconds."""

    key: str
    size: int
    etag: str
    mtime: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: objects, common prefixes (ending in '/'), and the token of the next page."""

    objects: tuple[Listed, ...] = ()
    prefixes: tuple[str, ...] = ()
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """`length` bytes of an open file, from `offset`."""

    fd: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Condition:
    """`match`: only over the object with this ETag; `absent`: only where there is none. Neither: always."""

    match: str | None = None
    absent: bool = False


ALWAYS = Condition()


class ObjectStore(Protocol):
    """One bucket. Keys are whole. Every call retries what may be repeated, within its deadline, and raises StoreError.

    Before it waits for the network it calls the hook it was made with, so that another thread can take the lead.
    """

    def head(self, key: str) -> Head: ...
    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        """`sink.length` bytes of the object from `start` into the sink; Changed when `match` is another ETag."""
        ...

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]: ...
    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        """The new ETag; the engine has stored exactly these bytes (a checksum went along, the answer was checked)."""
        ...

    def copy(self, source: str, key: str, metadata: Mapping[str, str] | None = None, match: str | None = None) -> str:
        """Server-side. `metadata` replaces the object's; None keeps it. `match`: the source's ETag. The new ETag."""
        ...

    def delete(self, key: str) -> None: ...
    def delete_many(self, keys: Sequence[str]) -> None: ...
    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page: ...
    def begin(self, key: str, metadata: Mapping[str, str]) -> "Upload": ...
    def resume(self, key: str, upload: str) -> "Upload":
        """An upload that another process began, to abort it."""
        ...


class Upload(Protocol):
    """A multipart upload. Parts may be put by several threads, in any order, and again (the last one counts)."""

    @property
    def id(self) -> str:
        """What the engine calls it."""
        ...

    def part(self, number: int, body: Range) -> None:
        """`number` from 1; all but the last are at least 5 MiB."""
        ...

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        """A part out of an object that is there (UploadPartCopy); StoreError ENOSYS where the engine cannot."""
        ...

    def md5(self, number: int) -> str:
        """Of the part as the engine has it, in hex; empty where that is not known."""
        ...

    def complete(self, condition: Condition = ALWAYS) -> str:
        """The object's ETag."""
        ...

    def abort(self) -> None: ...


# The bytes of one file.


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

    def relabel(self, etag: str, mtime: int) -> None:
        """The tree stored the same bytes anew (copy in place, or to another key): the object has this ETag now."""
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

    def room(self) -> tuple[int, int]:
        """Bytes: total and free of the cache's disk, as far as it may be used."""
        ...

    def settle(self, seconds: float) -> Sequence[str]:
        """As of FileSystem: keys that are still unsaved after so many seconds."""
        ...

    def figures(self) -> Mapping[str, float]:
        """As of FileSystem, of the bytes."""
        ...
