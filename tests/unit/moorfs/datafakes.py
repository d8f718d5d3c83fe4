"""An engine in memory, a node and a journal, for tests of one file's bytes."""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorfs.cache import Cache
from moorfs.lead import Courteous
from moorfs.ports import (
    ALWAYS,
    Backing,
    Changed,
    Condition,
    Handle,
    Head,
    Mark,
    Missing,
    Page,
    Range,
    StoreError,
)
from moorfs.settings import Settings

MIB = 1 << 20


@dataclass
class Object:
    body: bytes
    metadata: Mapping[str, str]
    etag: str


@dataclass
class MemoryStore:
    """One bucket. `calls` counts by kind; `failing`: raised by every put and part until it is None; `before`: called
    with the kind and key before each call; `copies`: whether UploadPartCopy is offered."""

    objects: dict[str, Object] = field(default_factory=dict[str, Object])
    calls: dict[str, int] = field(default_factory=dict[str, int])
    fetched: int = 0
    sent: int = 0
    failing: Callable[[], Exception] | None = None
    before: Callable[[str, str], None] = lambda kind, key: None
    copies: bool = True
    uploads: "dict[str, MemoryUpload]" = field(default_factory=lambda: {})
    _writes: int = 0

    def _begin(self, kind: str, key: str) -> None:
        self.calls[kind] = self.calls.get(kind, 0) + 1
        self.before(kind, key)

    def _at(self, key: str) -> Object:
        if key not in self.objects:
            raise Missing(errno.ENOENT, f"no {key}", 404, "NoSuchKey")
        return self.objects[key]

    def body(self, key: str) -> bytes:
        return self._at(key).body

    def make(self, key: str, body: bytes) -> Object:
        """As if somebody else had written it."""
        self._writes += 1
        made = Object(body, {}, f"e{self._writes}-{hashlib.md5(body, usedforsecurity=False).hexdigest()}")
        self.objects[key] = made
        return made

    def head(self, key: str) -> Head:
        self._begin("head", key)
        found = self._at(key)
        return Head(len(found.body), found.etag, 0, found.metadata)

    def heads(self, keys: Sequence[str]) -> Generator[tuple[float, Head | Missing | None]]:
        for key in keys:
            began = time.monotonic()
            try:
                yield began, self.head(key)
            except Missing as missing:
                yield began, missing
            except StoreError:
                yield began, None

    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        self._begin("read", key)
        found = self._at(key)
        if match is not None and match != found.etag:
            raise Changed(errno.ESTALE, "another object", 412, "PreconditionFailed")
        piece = found.body[start : start + sink.length]
        assert len(piece) == sink.length
        done = 0
        while done < len(piece):
            done += os.pwrite(sink.fd, piece[done:], sink.offset + done)
        self.fetched += len(piece)
        return Head(len(found.body), found.etag, 0, found.metadata)

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]:
        found = self._at(key)
        return self.head(key), found.body

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        self._begin("put", key)
        if self.failing:
            raise self.failing()
        data = body if isinstance(body, bytes) else read_range(body)
        self.sent += len(data)
        return self.store(key, data, metadata, condition)

    def store(self, key: str, data: bytes, metadata: Mapping[str, str], condition: Condition) -> str:
        there = self.objects.get(key)
        met = not there if condition.absent else not condition.match or (there and there.etag == condition.match)
        if not met:
            raise Changed(errno.ESTALE, "condition not met", 412, "PreconditionFailed")
        made = self.make(key, data)
        made.metadata = dict(metadata)
        return made.etag

    def copy(
        self,
        source: str,
        key: str,
        metadata: Mapping[str, str] | None = None,
        match: str | None = None,
        onto: Condition = ALWAYS,
    ) -> str:
        self._begin("copy", key)
        found = self._at(source)
        return self.store(key, found.body, found.metadata if metadata is None else metadata, onto)

    def delete(self, key: str, match: str | None = None) -> None:
        self.objects.pop(key, None)

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.delete(key)

    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page:
        return Page()

    def begin(self, key: str, metadata: Mapping[str, str]) -> "MemoryUpload":
        self._begin("begin", key)
        made = MemoryUpload(self, key, metadata, f"u{self.calls['begin']}")
        self.uploads[made.id] = made
        return made

    def resume(self, key: str, upload: str) -> "MemoryUpload":
        return self.uploads[upload]


@dataclass
class MemoryUpload:
    engine: MemoryStore
    key: str
    metadata: Mapping[str, str]
    id: str
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def part(self, number: int, body: Range) -> None:
        self.engine._begin("part", self.key)  # pyright: ignore[reportPrivateUsage]
        if self.engine.failing:
            raise self.engine.failing()
        data = read_range(body)
        self.engine.sent += len(data)
        self.parts[number] = data

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        self.engine._begin("copy_part", self.key)  # pyright: ignore[reportPrivateUsage]
        if not self.engine.copies:
            raise StoreError(errno.ENOSYS, "no UploadPartCopy", 501)
        found = self.engine.objects.get(source)
        if not found or found.etag != match:
            raise Changed(errno.ESTALE, "another object", 412)
        self.parts[number] = found.body[start : start + length]

    def same(self, number: int, body: Range) -> bool:
        return self.parts.get(number) == read_range(body)

    def complete(self, condition: Condition = ALWAYS) -> str:
        self.engine.uploads.pop(self.id, None)
        data = b"".join(self.parts[number] for number in sorted(self.parts))
        assert all(len(self.parts[number]) >= 5 * MIB for number in sorted(self.parts)[:-1])
        return self.engine.store(self.key, data, self.metadata, condition)

    def abort(self) -> None:
        self.engine.uploads.pop(self.id, None)
        self.parts.clear()


def read_range(body: Range) -> bytes:
    data = os.pread(body.fd, body.length, body.offset)
    if len(data) != body.length:
        raise StoreError(errno.EIO, "the file is shorter now")
    return data


class FakeNode:
    """A file named `key`, as the tree knows it from the engine."""

    def __init__(self, key: str, number: int = 2, store: MemoryStore | None = None) -> None:
        self.id = number
        self.key = key
        self.etag, self.size, self.mtime, self.gone = "", 0, 1_700_000_000_000_000_000, False
        self.mode = "33188"
        self.lock = Courteous(lambda: None)
        if store and key in store.objects:
            self.see(store)

    def see(self, store: MemoryStore) -> None:
        """What a fresh look at the engine tells."""
        found = store.objects[self.key]
        self.etag, self.size = found.etag, len(found.body)

    def metadata(self, mtime: int) -> Mapping[str, str]:
        return {"mode": self.mode, "mtime": str(mtime)}

    def stored(self, etag: str, size: int, mtime: int) -> None:
        self.etag, self.size, self.mtime = etag, size, mtime


class FakeLog:
    def __init__(self) -> None:
        self.handles: dict[int, Handle] = {}
        self.marks: dict[int, Mark] = {}

    def opened(self, handle: Handle) -> None:
        self.handles[handle.number] = handle

    def released(self, handle: int) -> None:
        self.handles.pop(handle, None)

    def clean(self, mark: Mark) -> None:
        self.marks[mark.node] = mark


class FakeKernel:
    """Backing ids. `held`: those given out and not given back; `refusal`: the errno of the next open."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.refusal = 0
        self._next = 1

    def open(self, fd: int) -> int:
        if self.refusal:
            raise OSError(self.refusal, os.strerror(self.refusal))
        os.fstat(fd)
        self.held.add(self._next)
        self._next += 1
        return self._next - 1

    def close(self, number: int) -> None:
        self.held.remove(number)


class Rig:
    """A cache over an engine in memory. `direct`: the kernel offers passthrough."""

    def __init__(self, home: Path, direct: bool = False, **more: Any) -> None:
        self.home = home
        self.store = MemoryStore()
        self.log = FakeLog()
        self.kernel = FakeKernel()
        self.direct = direct
        self.settings = Settings(
            endpoint="http://127.0.0.1:1", bucket="b", key_file="/k", cache=str(home / "cache"), socket="/s", **more
        )
        self.nodes: dict[int, FakeNode] = {}
        self.cache = self._made(False)

    def _made(self, takeover: bool) -> Cache:
        backing = Backing(self.kernel.open, self.kernel.close) if self.direct else None
        return Cache(self.settings, self.store, self.log, lambda: None, backing, takeover)

    def node(self, key: str) -> FakeNode:
        """A node for the object that is there, or for a new name."""
        made = FakeNode(key, len(self.nodes) + 2, self.store)
        self.nodes[made.id] = made
        return made

    def path(self, node: FakeNode) -> str:
        """The cache file, which the kernel writes by itself when it is passed through."""
        return f"{self.settings.cache}/data/{node.id:x}"

    def crash(self) -> None:
        """A new process takes over: what the log and the cache's folder hold is all it knows."""
        self._die()
        self.cache = self._made(True)
        self.cache.restore(self.nodes.get, list(self.log.handles.values()), list(self.log.marks.values()))

    def _die(self) -> None:
        """No thread and no descriptor is left, as after a SIGKILL."""
        self.cache.close()
        for node in self.nodes.values():
            body = self.cache.of(node).body
            if body is not None:
                body.close()

    def remount(self) -> None:
        """A new mount of the same folder: no handles, no nodes."""
        self._die()
        self.log = FakeLog()
        self.nodes = {}
        self.cache = self._made(False)


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns once it is so; fails after so long."""
    import time

    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        threading.Event().wait(0.01)
