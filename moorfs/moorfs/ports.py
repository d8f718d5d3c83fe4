"""What the parts of moorfs know of each other: values and protocols, no code.

kernel -> FileSystem -> Files -> ObjectStore. The kernel side decodes requests and calls a `FileSystem`; that keeps the
tree of names and asks `Files` (filing.py) for the bytes of one file and the `ObjectStore` (engine.py) for objects.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from moorfs.engine import (
    ALWAYS,
    Changed,
    Condition,
    FileError,
    Head,
    Listed,
    Missing,
    ObjectStore,
    Page,
    Range,
    StoreError,
    Upload,
)
from moorfs.filing import Backing, File, FileLog, FileNode, Files, Handle, Local, Mark, Opened, Stamp

__all__ = [
    "ALWAYS",
    "ROOT",
    "Attributes",
    "Backing",
    "Caller",
    "Change",
    "Changed",
    "Condition",
    "Entry",
    "File",
    "FileError",
    "FileLog",
    "FileNode",
    "FileSystem",
    "Files",
    "Handle",
    "Head",
    "Item",
    "Listed",
    "Local",
    "Mark",
    "Missing",
    "ObjectStore",
    "Opened",
    "Page",
    "Range",
    "Stamp",
    "StoreError",
    "Upload",
]

ROOT = 1  # FUSE_ROOT_ID

# Values that are made for each name or request are not frozen, which takes four times as long; nobody changes one.


@dataclass(slots=True)
class Caller:
    """Who asks. `resent`: the kernel sent the request again after a takeover, so it may have been done already.

    `unique`: the kernel's number of the request, without the bit that says resent: the same for both.
    """

    uid: int = 0
    gid: int = 0
    pid: int = 0
    resent: bool = False
    unique: int = 0


@dataclass(slots=True)
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


@dataclass(slots=True)
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


@dataclass(slots=True)
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
    def glimpse(self, node: int) -> tuple[Attributes, float] | None:
        """What `getattr` would say, where that needs no waiting and no lock; None: ask `getattr`."""
        ...

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
