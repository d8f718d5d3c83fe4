"""moorfs with a file system of a dictionary, for tests of the kernel's side alone.

Its state is pickled at every change, so that a process can take it over. Names do things: looking up `broken` is a
mistake in the program, `odd` an error number that no kernel takes, `slow` waits until a file `go` is in the cache
directory, as if the engine were down. Reads and writes of `direct*` go by passthrough, if there is one.
"""

import errno
import os
import pickle
import stat
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from moorfs.__main__ import main
from moorfs.ports import ROOT, Attributes, Caller, Change, Entry, FileError, Item, Opened
from moorfs.process import Around, Built


@dataclass
class Node:
    attributes: Attributes
    names: dict[bytes, int] = field(default_factory=dict[bytes, int])
    data: bytes = b""
    backing: str = ""


class Dictionary:
    """A FileSystem."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._cache = Path(around.settings.cache)
        self._kept = self._cache / "pickle"
        self._nodes = {ROOT: Node(Attributes(ROOT, stat.S_IFDIR | 0o755, links=2))}
        self._handles: dict[int, int] = {}
        self._next = 10
        if around.takeover and self._kept.exists():
            self._nodes, self._handles, self._next = pickle.loads(self._kept.read_bytes())  # noqa: S301 - our own

    def _keep(self) -> None:
        fresh = self._kept.with_suffix(".new")
        fresh.write_bytes(pickle.dumps((self._nodes, self._handles, self._next)))
        fresh.rename(self._kept)

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _found(self, node: int) -> Node:
        if node not in self._nodes:
            raise FileError(errno.ESTALE, f"no node {node}")
        return self._nodes[node]

    def _entry(self, node: int) -> Entry:
        return Entry(self._nodes[node].attributes, 1, 1)

    def lookup(self, parent: int, name: bytes, caller: Caller) -> Entry:
        if name == b"broken":
            raise ZeroDivisionError("a mistake")
        if name == b"odd":
            raise FileError(70000, "an error that is none")
        while name == b"slow" and not (self._cache / "go").exists():
            self._around.waits()
            time.sleep(0.01)
        node = self._found(parent).names.get(name)
        return self._entry(node) if node else Entry(None, 0)

    def forget(self, node: int, count: int) -> None:
        with (self._cache / "forgotten").open("a") as out:
            out.write(f"{node} {count}\n")

    def glimpse(self, node: int) -> tuple[Attributes, float] | None:
        return None

    def getattr(self, node: int, handle: int | None, caller: Caller) -> tuple[Attributes, float]:
        return self._found(node).attributes, 1

    def setattr(self, node: int, change: Change, caller: Caller) -> tuple[Attributes, float]:
        found = self._found(node)
        now = found.attributes
        if change.size is not None:
            found.data = found.data[: change.size].ljust(change.size, b"\0")
        found.attributes = replace(
            now,
            mode=now.mode if change.mode is None else stat.S_IFMT(now.mode) | change.mode,
            uid=now.uid if change.uid is None else change.uid,
            gid=now.gid if change.gid is None else change.gid,
            size=len(found.data),
            mtime=time.time_ns() if change.mtime_now else now.mtime if change.mtime is None else change.mtime,
        )
        self._keep()
        return found.attributes, 1

    def readlink(self, node: int) -> bytes:
        return self._found(node).data

    def _add(self, parent: int, name: bytes, mode: int, caller: Caller, data: bytes = b"", device: int = 0) -> int:
        names = self._found(parent).names
        if name in names and not caller.resent:
            raise FileError(errno.EEXIST, "it is there")
        if name not in names:
            number = names[name] = self._number()
            now = time.time_ns()
            made = Attributes(number, mode, len(data), 0, 1, caller.uid, caller.gid, device, now, now)
            self._nodes[number] = Node(made, data=data)
        self._keep()
        return names[name]

    def mkdir(self, parent: int, name: bytes, mode: int, caller: Caller) -> Entry:
        return self._entry(self._add(parent, name, stat.S_IFDIR | mode, caller))

    def mknod(self, parent: int, name: bytes, mode: int, device: int, caller: Caller) -> Entry:
        return self._entry(self._add(parent, name, mode, caller, device=device))

    def symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry:
        return self._entry(self._add(parent, name, stat.S_IFLNK | 0o777, caller, target))

    def unlink(self, parent: int, name: bytes, caller: Caller) -> None:
        if self._found(parent).names.pop(name, None) is None and not caller.resent:
            raise FileError(errno.ENOENT, "it is not there")
        self._keep()

    def rmdir(self, parent: int, name: bytes, caller: Caller) -> None:
        found = self._found(parent).names.get(name)
        if found and self._nodes[found].names:
            raise FileError(errno.ENOTEMPTY, "it is not empty")
        self.unlink(parent, name, caller)

    def rename(self, parent: int, name: bytes, to: int, new: bytes, flags: int, caller: Caller) -> None:
        if flags & ~1:
            raise FileError(errno.EINVAL, "no exchange")
        if flags and new in self._found(to).names:
            raise FileError(errno.EEXIST, "it is there")
        if name in self._found(parent).names:
            self._found(to).names[new] = self._found(parent).names.pop(name)
        elif not caller.resent:
            raise FileError(errno.ENOENT, "it is not there")
        self._keep()

    def create(self, parent: int, name: bytes, flags: int, mode: int, caller: Caller) -> tuple[Entry, Opened]:
        node = self._add(parent, name, stat.S_IFREG | (mode & 0o7777), caller)
        if name.startswith(b"direct") and self._around.backing:
            self._nodes[node].backing = str(self._cache / f"{node}.data")
        return self._entry(node), self.open(node, flags, caller)

    def open(self, node: int, flags: int, caller: Caller) -> Opened:
        handle, found = self._number(), self._found(node)
        self._handles[handle] = node
        self._keep()
        if not found.backing:
            return Opened(handle)
        assert self._around.backing
        file = os.open(found.backing, os.O_RDWR | os.O_CREAT)
        try:
            return Opened(handle, self._around.backing.open(file))
        finally:
            os.close(file)

    def read(self, node: int, handle: int, offset: int, size: int) -> bytes:
        return self._nodes[self._handles[handle]].data[offset : offset + size]

    def write(self, node: int, handle: int, offset: int, data: memoryview) -> int:
        found = self._nodes[self._handles[handle]]
        found.data = found.data[:offset].ljust(offset, b"\0") + bytes(data) + found.data[offset + len(data) :]
        found.attributes = replace(found.attributes, size=len(found.data))
        self._keep()
        return len(data)

    def flush(self, node: int, handle: int) -> None:
        self._nodes[self._handles[handle]]

    def fsync(self, node: int, handle: int) -> None:
        self._nodes[self._handles[handle]]

    def release(self, node: int, handle: int) -> None:
        self._handles.pop(handle)
        self._keep()

    def allocate(self, node: int, handle: int, mode: int, offset: int, length: int) -> None:
        raise FileError(errno.EOPNOTSUPP, "no")

    def opendir(self, node: int) -> int:
        return 5

    def readdir(self, node: int, handle: int, offset: int, plus: bool) -> Iterable[Item]:
        names = [(b".", node), (b"..", ROOT), *self._found(node).names.items()]
        for place, (name, number) in enumerate(names[offset:], offset + 1):
            mode = self._nodes[number].attributes.mode
            yield Item(name, number, mode, place, self._entry(number) if place > 2 and plus else None)

    def releasedir(self, node: int, handle: int) -> None:
        return

    def statfs(self) -> tuple[int, int]:
        return 1 << 30, 1 << 29

    def settle(self, seconds: float) -> Sequence[str]:
        return []

    def figures(self) -> Mapping[str, float]:
        return {"nodes": len(self._nodes)}


if __name__ == "__main__":
    os._exit(main(build=lambda around: Built(Dictionary(around), lambda: True)) if sys.argv else 1)
