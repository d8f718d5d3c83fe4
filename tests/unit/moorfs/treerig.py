"""The tree over an engine in memory: the file system of a bucket without a kernel, with requests made by name."""

import errno
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datafakes import MemoryStore, Object

from moorfs.cache import Cache
from moorfs.filelog import JournalFileLog
from moorfs.filesystem import BucketFileSystem
from moorfs.glance import Glances
from moorfs.journal import Journal
from moorfs.mounting import Look, bucket_file_system, recover, state_log
from moorfs.node import Folder, Node
from moorfs.ports import (
    ALWAYS,
    ROOT,
    Attributes,
    Caller,
    Change,
    Changed,
    Condition,
    Head,
    Item,
    Listed,
    Opened,
    Page,
    StoreError,
)
from moorfs.settings import Settings

SECOND = 1_000_000_000


@dataclass
class TreeStore(MemoryStore):
    """`log`: kind and key of each call, in order. `refuse`: kinds (or "kind key") that fail with EIO. `page`: keys of
    one answer at most. An object's Last-Modified is when it was made, in whole seconds."""

    log: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    refuse: set[str] = field(default_factory=set[str])
    page: int = 1000
    modified: dict[str, int] = field(default_factory=dict[str, int])

    def _begin(self, kind: str, key: str) -> None:
        super()._begin(kind, key)
        self.log.append((kind, key))
        if self.refuse & {kind, f"{kind} {key}"}:
            raise StoreError(errno.EIO, f"{kind} {key} was refused", 500, "InternalError")

    def make(self, key: str, body: bytes, metadata: Mapping[str, str] | None = None, modified: int = 0) -> Object:
        made = super().make(key, body)
        made.metadata = metadata or {}
        self.modified[key] = modified or time.time_ns() // SECOND * SECOND
        return made

    def head(self, key: str) -> Head:
        return replace(super().head(key), mtime=self.modified.get(key, 0))

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]:
        self._begin("get", key)
        found = self._at(key)
        return Head(len(found.body), found.etag, self.modified[key], found.metadata), found.body

    def copy(
        self,
        source: str,
        key: str,
        metadata: Mapping[str, str] | None = None,
        match: str | None = None,
        onto: Condition = ALWAYS,
    ) -> str:
        self._begin("copy", source)
        found = self._at(source)
        if match is not None and match != found.etag:
            raise Changed(errno.ESTALE, "another object", 412, "PreconditionFailed")
        return self.store(key, found.body, found.metadata if metadata is None else metadata, onto)

    def delete(self, key: str, match: str | None = None) -> None:
        self._begin("delete", key)
        if match is not None and key in self.objects and self.objects[key].etag != match:
            raise Changed(errno.ESTALE, "another object", 412, "PreconditionFailed")
        self.objects.pop(key, None)

    def delete_many(self, keys: Sequence[str]) -> None:
        self._begin("delete_many", keys[0] if keys else "")
        for key in keys:
            self.objects.pop(key, None)

    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page:
        self._begin("list", prefix)
        objects: list[Listed] = []
        prefixes: list[str] = []
        most, last = min(most, self.page), token or after
        for key in sorted(each for each in self.objects if each.startswith(prefix)):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if end < 0 else key[: end + 1]
            if (last and name <= last) or (prefixes and prefixes[-1] == name):
                continue
            if len(objects) + len(prefixes) == most:
                return Page(tuple(objects), tuple(prefixes), max([o.key for o in objects[-1:]] + prefixes[-1:]))
            if end < 0:
                found = self.objects[key]
                objects.append(Listed(key, len(found.body), found.etag, self.modified.get(key, 0)))
            else:
                prefixes.append(name)
        return Page(tuple(objects), tuple(prefixes), None)

    def since(self, start: int) -> dict[str, int]:
        """How many calls of each kind."""
        return dict(Counter(kind for kind, _ in self.log[start:]))


@dataclass
class Rig:
    """One mount. `again` is the process after a kill -9, or with `takeover=False` the mount after a reboot."""

    home: Path
    store: TreeStore = field(default_factory=TreeStore)
    look: Look = field(default_factory=Look)
    caller: Caller = field(default_factory=Caller)
    takeover: bool = False
    requests: int = 0
    system: BucketFileSystem = field(init=False)
    files: Cache = field(init=False)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        settings = Settings("http://localhost", "b", "key", str(self.home), "socket")
        self.journal, state = state_log(self.home / "journal", self.takeover, lambda: None)
        store = Glances(self.store, self.look.belief.ttl)
        self.files = Cache(settings, store, JournalFileLog(self.journal), lambda: None, None, self.takeover)
        self.system = bucket_file_system(store, self.files, self.journal, lambda: None, self.look)
        recover(self.system, state, self.takeover)

    def again(self, takeover: bool = True) -> "Rig":
        self.files.keeper.stop()
        return Rig(self.home, self.store, self.look, Caller(resent=takeover), takeover)

    # Requests, by path

    def look_up(self, path: str) -> Attributes | None:
        """What a lookup of each part in turn gives; None: no such name."""
        node, found = ROOT, None
        for part in filter(None, path.split("/")):
            found = self.system.lookup(node, part.encode(), self.caller).attributes
            if found is None:
                return None
            node = found.node
        return found or self.system.getattr(ROOT, None, self.caller)[0]

    def number(self, path: str) -> int:
        found = self.look_up(path)
        if found is None:
            raise FileNotFoundError(path)
        return found.node

    def parent(self, path: str) -> tuple[int, bytes]:
        above, _, name = path.rpartition("/")
        return self.number(above), name.encode()

    def asks(self) -> Caller:
        """A request of its own number."""
        self.requests += 1
        return replace(self.caller, unique=self.requests * 2)

    def open(self, path: str, flags: int = os.O_RDONLY) -> Opened:
        return self.system.open(self.number(path), flags, self.asks())

    def write(self, path: str, data: bytes, mode: int = 0o644) -> int:
        """open(2) with O_CREAT, write, close; the node."""
        above, name = self.parent(path)
        found = self.system.lookup(above, name, self.caller).attributes
        if found is None:
            entry, opened = self.system.create(above, name, os.O_WRONLY | os.O_CREAT, mode, self.asks())
            assert entry.attributes
            node = entry.attributes.node
        else:
            node = found.node
            opened = self.system.open(node, os.O_WRONLY | os.O_TRUNC, self.asks())
        if data:
            self.system.write(node, opened.handle, 0, memoryview(data))
        self.close(node, opened.handle)
        return node

    def close(self, node: int, handle: int) -> None:
        try:
            self.system.flush(node, handle)
        finally:
            self.system.release(node, handle)

    def read(self, path: str) -> bytes:
        node = self.number(path)
        opened = self.system.open(node, os.O_RDONLY, self.asks())
        data = bytes(self.system.read(node, opened.handle, 0, 1 << 20))
        self.system.release(node, opened.handle)
        return data

    def names(self, path: str = "", plus: bool = False) -> list[str]:
        return [item.name.decode() for item in self.items(path, plus)][2:]

    def items(self, path: str = "", plus: bool = False, offset: int = 0) -> list[Item]:
        node = self.number(path)
        handle = self.system.opendir(node)
        found = list(self.system.readdir(node, handle, offset, plus))
        self.system.releasedir(node, handle)
        return found

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self.system.mkdir(*self.parent(path), mode, self.caller)

    def unlink(self, path: str) -> None:
        self.system.unlink(*self.parent(path), self.caller)

    def rmdir(self, path: str) -> None:
        self.system.rmdir(*self.parent(path), self.caller)

    def rename(self, path: str, new: str, flags: int = 0) -> None:
        self.system.rename(*self.parent(path), *self.parent(new), flags, self.caller)

    def set(self, path: str, **change: int | bool) -> Attributes:
        return self.system.setattr(self.number(path), Change(**change), self.caller)[0]  # pyright: ignore[reportArgumentType]

    # What is behind

    def node(self, path: str) -> Node:
        return self.system.volume.tree.node(self.number(path))

    def expire(self) -> None:
        """All that is known is old now."""
        tree = self.system.volume.tree
        for node in [tree.root, *tree.beneath(tree.root)]:
            node.until, node.since = 0.0, min(node.since, 1e-9)
            node.learned = 0.0
            if isinstance(node, Folder):
                node.listed = node.asked = 0.0

    def calls(self) -> int:
        """A place in the engine's log, for `TreeStore.since`."""
        return len(self.store.log)
