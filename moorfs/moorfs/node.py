"""What the mount knows of one name: a `Folder` or a `Leaf` (file, symbolic link, fifo, socket, device).

Lock order, outermost first: the mover's lock (renames between folders), a folder's lock, its children's locks (several
at once: by id), the tree's own lock. A node's lock is held over S3 calls; the tree's never is.
"""

import stat
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from moorfs.attributes import stored_mtime
from moorfs.ports import File

_making = threading.Lock()


class NodeLock:
    """Reentrant. Before it waits it calls the hook, so that another thread can take the lead."""

    __slots__ = ("_lock", "_wait")

    def __init__(self, wait: Callable[[], None]) -> None:
        self._lock = threading.RLock()
        self._wait = wait

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._wait()
            self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class Node:
    """A name that the kernel may know by number. 100,000 of them have to fit into 90 MiB: slots, no dictionaries."""

    __slots__ = (
        "_lock",
        "etag",
        "exact",
        "extra",
        "gid",
        "gone",
        "id",
        "lookups",
        "mode",
        "modified",
        "mtime",
        "name",
        "parent",
        "since",
        "told",
        "uid",
        "until",
        "wait",
    )

    def __init__(self, number: int, parent: "Folder | None", name: str, mode: int, wait: Callable[[], None]) -> None:
        self.id = number
        self.parent = parent
        self.name = name
        self.mode = mode
        """With the bits of the type."""
        self.uid = 0
        self.gid = 0
        self.mtime = 0
        """Nanoseconds since 1970."""
        self.etag = ""
        """ETag of the object as this mount last saw or wrote it; empty: never stored."""
        self.modified = 0
        """Last-Modified (nanoseconds) of the object whose metadata is known; 0: not known."""
        self.exact = False
        """Mode, owner and mtime are what the object's metadata says, not a guess from a listing."""
        self.extra: Mapping[str, str] | None = None
        """Metadata of others, kept when we write the object."""
        self.since = 0.0
        """When this mount last stored or made it (time.monotonic()): what was asked before that tells nothing."""
        self.until = 0.0
        """The knowledge is fresh until then (time.monotonic())."""
        self.gone = False
        """Unlinked, here or by somebody else: nothing is stored any more, open handles go on."""
        self.lookups = 0
        """How often the kernel was told the number and has not yet forgotten it."""
        self.told = False
        """The journal has it."""
        self.wait = wait
        self._lock: NodeLock | None = None

    @property
    def lock(self) -> NodeLock:
        """Held by whoever makes S3 calls with this node's key, or changes what is stored under it."""
        lock = self._lock
        if lock is None:
            with _making:
                lock = self._lock = self._lock or NodeLock(self.wait)
        return lock

    @property
    def kind(self) -> int:
        """The type's bits of the mode, such as stat.S_IFREG."""
        return stat.S_IFMT(self.mode)

    @property
    def key(self) -> str:
        """The object's key now; it changes by rename, of the file and of the folders above it."""
        return prefix_of(self.parent) + self.name

    def metadata(self, mtime: int) -> dict[str, str]:
        """What to store along with the bytes, as s3fs does. mtime: nanoseconds."""
        kept = dict(self.extra or {})
        kept |= {"mode": str(self.mode), "uid": str(self.uid), "gid": str(self.gid), "mtime": stored_mtime(mtime)}
        return kept


class Folder(Node):
    """`children`: what is known; all there is while `listed` lies ahead (time.monotonic())."""

    __slots__ = ("big", "changes", "children", "listed", "marker")

    def __init__(self, number: int, parent: "Folder | None", name: str, mode: int, wait: Callable[[], None]) -> None:
        super().__init__(number, parent, name, mode, wait)
        self.children: dict[str, Node] = {}
        self.listed = 0.0
        self.changes = 0
        """Counts names made, removed and moved here: a listing begun before one of these is not the full truth."""
        self.marker: bool | None = None
        """Whether the object `folder/` is there; None: not known."""
        self.big = False
        """More names than one page of a listing: names are asked for one by one."""

    @property
    def key(self) -> str:
        """The key of its marker, which is the prefix of all that is in it; the root's may be empty."""
        return prefix_of(self)


class Leaf(Node):
    """A file, or what is stored like one. This is the `FileNode` of ports.py."""

    __slots__ = ("device", "file", "size", "target")

    def __init__(self, number: int, parent: "Folder | None", name: str, mode: int, wait: Callable[[], None]) -> None:
        super().__init__(number, parent, name, mode, wait)
        self.size = 0
        self.device = 0
        self.file: File | None = None
        """Where `Files.of` keeps the bytes of this node, if it was ever asked for them."""
        self.target: bytes | None = None
        """Of a symbolic link, once read."""

    def metadata(self, mtime: int) -> dict[str, str]:
        kept = super().metadata(mtime)
        if self.device:
            kept["rdev"] = str(self.device)
        return kept

    def stored(self, etag: str, size: int, mtime: int) -> None:
        """The engine has the bytes, and the metadata of just now."""
        self.etag, self.size, self.mtime = etag, size, mtime
        self.exact = True
        self.modified = 0
        self.since = time.monotonic()

    @property
    def busy(self) -> bool:
        """Its bytes here are the truth: open, or not stored yet. What a listing says of it is old."""
        return self.file is not None and (self.file.is_open or self.file.is_dirty)


def prefix_of(folder: Folder | None) -> str:
    """The prefix of all keys in the folder. The root's name is the prefix of the mount, with its '/'."""
    parts: list[str] = []
    while folder is not None:
        parts.append(folder.name if folder.parent is None else folder.name + "/")
        folder = folder.parent
    return "".join(reversed(parts))
