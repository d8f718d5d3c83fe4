"""What the mount knows of one name: a `Folder` or a `Leaf` (file, symbolic link, fifo, socket, device).

Lock order, outermost first: the mover's lock (renames between folders), a folder's lock, its children's locks (several
at once: by id), the tree's own lock. A node's lock is held over S3 calls; the tree's never is.
"""

import stat
import threading
import time
from collections.abc import Callable, Mapping

from moorfs.attributes import Known, stored_mtime
from moorfs.lead import Courteous
from moorfs.ports import File

_making = threading.Lock()


class Node:
    """A name that the kernel may know by number. 100,000 of them have to fit into 90 MiB: slots, no dictionaries."""

    __slots__ = (
        "_lock",
        "accessed",
        "changed",
        "etag",
        "extra",
        "gid",
        "gone",
        "id",
        "learned",
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
        self.changed = 0
        """When mode, owner or times were last set (nanoseconds since 1970): the ctime, if it is later than mtime."""
        self.accessed = 0
        """The atime that somebody set (utimensat(2)); reading changes nothing. 0: the same as mtime."""
        self.etag = ""
        """ETag of the object as this mount last saw or wrote it; empty: never stored."""
        self.modified = 0
        """Last-Modified (nanoseconds) of the object whose metadata is known; of one that we stored, just about."""
        self.learned = 0.0
        """When the object's metadata were last read or written (time.monotonic()); 0: mode and owner are a guess."""
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
        self._lock: Courteous | None = None

    @property
    def lock(self) -> Courteous:
        """Held by whoever makes S3 calls with this node's key, or changes what is stored under it."""
        lock = self._lock
        if lock is None:
            with _making:
                lock = self._lock = self._lock or Courteous(self.wait)
        return lock

    def if_free(self, work: Callable[[], None]) -> None:
        """Do it with the lock, unless somebody else has that; `work` waits for nothing. Most nodes are never locked,
        and get no lock by this."""
        with _making:
            if self._lock is None:
                return work()
        if self._lock.attempt():
            try:
                work()
            finally:
                self._lock.__exit__(None, None, None)
        return None

    @property
    def kind(self) -> int:
        """The type's bits of the mode, such as stat.S_IFREG."""
        return stat.S_IFMT(self.mode)

    @property
    def key(self) -> str:
        """The object's key now; it changes by rename, of the file and of the folders above it."""
        return prefix_of(self.parent) + self.name

    def learn(self, known: Known) -> None:
        """The object's metadata were read."""
        self.mode, self.uid, self.gid = known.mode, known.uid, known.gid
        self.mtime, self.extra = known.mtime, known.extra
        self.changed, self.accessed = known.ctime, known.atime
        self.learned = time.monotonic()

    def metadata(self, mtime: int) -> dict[str, str]:
        """What to store along with the bytes, as s3fs does. mtime: nanoseconds."""
        kept = dict(self.extra or {})
        kept |= {"mode": str(self.mode), "uid": str(self.uid), "gid": str(self.gid), "mtime": stored_mtime(mtime)}
        if self.changed > mtime:
            kept["ctime"] = stored_mtime(self.changed)
        if self.accessed:
            kept["atime"] = stored_mtime(self.accessed)
        return kept


class Folder(Node):
    """`children`: what is known; all there is while `listed` lies ahead (time.monotonic())."""

    __slots__ = ("_listing", "asked", "big", "changes", "children", "eager", "listed", "marker", "moved", "worked")

    def __init__(self, number: int, parent: "Folder | None", name: str, mode: int, wait: Callable[[], None]) -> None:
        super().__init__(number, parent, name, mode, wait)
        self._listing: Courteous | None = None
        self.children: dict[str, Node] = {}
        self.listed = 0.0
        self.asked = 0.0
        """When a name in it was last asked for by itself (time.monotonic())."""
        self.changes = 0
        """Counts names made, removed and moved here: a listing begun before one of these is not the full truth."""
        self.marker: bool | None = None
        """Whether the object `folder/` is there; None: not known."""
        self.eager = 0
        """How likely who looks a file in it up will read it (see glance.py)."""
        self.worked = 0
        """When a name in it was last made, removed or moved here (nanoseconds since 1970); this is not stored."""
        self.moved = 0.0
        """When it was moved (time.monotonic()), for ever while it is: what was asked by its old key tells nothing."""
        self.big = False
        """More names than one page of a listing: names are asked for one by one."""

    @property
    def listing(self) -> Courteous:
        """Held while it is listed, so that who comes meanwhile waits for that answer. No other lock is waited for."""
        lock = self._listing
        if lock is None:
            with _making:
                lock = self._listing = self._listing or Courteous(self.wait)
        return lock

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

    def learn(self, known: Known) -> None:
        if known.mode != self.mode:
            self.target = None
        super().learn(known)
        self.device = known.device

    def metadata(self, mtime: int) -> dict[str, str]:
        kept = super().metadata(mtime)
        if self.device:
            kept["rdev"] = str(self.device)
        return kept

    def stored(self, etag: str, size: int, mtime: int) -> None:
        """The engine has the bytes, and the metadata of just now."""
        self.etag, self.size, self.mtime = etag, size, mtime
        self.modified = time.time_ns()
        self.learned = self.since = time.monotonic()

    def relabelled(self, etag: str, source: str | None) -> None:
        """It is a copy now, by another key or with other metadata, of the object with the ETag `source`. None: of one
        that is not known, so that its size and metadata must be asked for."""
        self.etag = etag
        self.since = time.monotonic()
        if source is None:
            self.since = self.learned = 0.0
        if self.file is not None:
            self.file.relabel(etag, self.mtime, source)

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


def stale(node: Node, began: float) -> bool:
    """Whether an answer to a question sent at `began` may be about a key that the node no longer has."""
    above: Node | None = node
    while above is not None:
        if isinstance(above, Folder) and above.moved >= began:
            return True
        above = above.parent
    return False
