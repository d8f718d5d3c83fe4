"""Random work on one file beside a plain array of bytes: what is read, what is stored, what a crash leaves."""

import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from datafakes import MIB, Rig

from moorfs.content import Content

STEPS = int(os.environ.get("MOORFS_STEPS", "250"))


class Comparer:
    """`data` is what the file must hold. Handles are opened and closed at random; crashes come in between."""

    def __init__(self, rig: Rig, chance: random.Random, size: int) -> None:
        self.rig = rig
        self.chance = chance
        self.data = bytearray(chance.randbytes(size))
        self.most = max(2 * size, 64 << 10)
        rig.store.make("a", bytes(self.data))
        self.node = rig.node("a")
        self.handles: dict[int, bool] = {}

    @property
    def file(self) -> Content:
        return self.rig.cache.of(self.node)

    def step(self) -> None:
        steps: list[tuple[int, Callable[[], None]]] = [
            (3, self.open), (2, self.close), (6, self.write), (6, self.read), (1, self.truncate), (1, self.fsync),
            (1, self.punch), (1, self.append), (1, self.rename), (1, self.crash), (1, self.chmod),
        ]  # fmt: skip
        self.chance.choices([each for _, each in steps], [weight for weight, _ in steps])[0]()

    def open(self) -> None:
        flags = self.chance.choice([os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND])
        if self.chance.random() < 0.1:
            flags = os.O_WRONLY | os.O_TRUNC
            self.data.clear()
        opened = self.file.open(flags)
        self.handles[opened.handle] = flags & os.O_ACCMODE != os.O_RDONLY

    def _any(self, writes: bool) -> int | None:
        fitting = [handle for handle, writer in self.handles.items() if writer or not writes]
        return self.chance.choice(fitting) if fitting else None

    def close(self) -> None:
        handle = self._any(False)
        if handle is None:
            return
        self.file.flush(handle)
        if self.handles.pop(handle):
            self.stored()
        self.file.release(handle)

    def _span(self) -> tuple[int, int]:
        offset = self.chance.randrange(max(1, min(len(self.data) + 5000, self.most)))
        return offset, self.chance.choice([1, 100, 4096, 300_000, MIB])

    def write(self) -> None:
        offset, length = self._span()
        self._write(offset, length)

    def append(self) -> None:
        self._write(len(self.data), 5000)

    def _write(self, offset: int, length: int) -> None:
        handle = self._any(True)
        if handle is None:
            return
        piece = self.chance.randbytes(min(length, self.most - min(offset, self.most)))
        if self.file.handles.direct:  # the kernel writes by itself
            with open(self.rig.path(self.node), "r+b") as kernel:
                os.pwrite(kernel.fileno(), piece, offset)
        else:
            assert self.file.write(handle, offset, memoryview(piece)) == len(piece)
        if piece:
            self.data.extend(bytes(max(0, offset - len(self.data))))
            self.data[offset : offset + len(piece)] = piece

    def read(self) -> None:
        handle = self._any(False)
        if handle is None:
            return
        offset, length = self._span()
        assert self.file.read(handle, offset, length) == self.data[offset : offset + length]

    def truncate(self) -> None:
        size = self.chance.randrange(self.most)
        self.file.truncate(size)
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))
        if not any(self.handles.values()):
            self.stored()

    def fsync(self) -> None:
        handle = self._any(False)
        if handle is not None:
            self.file.fsync(handle)
            self.stored()

    def punch(self) -> None:
        handle = self._any(True)
        offset, length = self._span()
        end = min(offset + length, len(self.data))
        if handle is not None and end > offset:
            self.file.allocate(handle, 3, offset, end - offset)
            self.data[offset:end] = bytes(end - offset)

    def rename(self) -> None:
        name = f"a{self.chance.randrange(1000)}"
        with self.node.lock:
            self.file.store()
            if name in self.rig.store.objects:
                return
            etag = self.rig.store.copy(self.node.key, name)
            self.rig.store.delete(self.node.key)
            source, self.node.key, self.node.etag = self.node.etag, name, etag
            self.file.relabel(etag, self.node.mtime, source)
        self.stored()

    def chmod(self) -> None:
        with self.node.lock:
            self.node.mode = str(self.chance.randrange(1000))
            if not self.file.touched():
                source = self.node.etag
                self.node.etag = self.rig.store.copy(self.node.key, self.node.key, self.node.metadata(self.node.mtime))
                self.file.relabel(self.node.etag, self.node.mtime, source)

    def crash(self) -> None:
        self.rig.crash()

    def stored(self) -> None:
        found = self.rig.store.body(self.node.key)
        assert len(found) == len(self.data)
        assert zlib.crc32(found) == zlib.crc32(bytes(self.data))
        assert self.rig.store.objects[self.node.key].metadata.get("mode", self.node.mode) == self.node.mode

    def end(self) -> None:
        for handle in list(self.handles):
            self.file.flush(handle)
            self.file.release(handle)
        self.stored()
        assert not self.file.is_dirty
        assert self.rig.cache.unsaved() == []
        assert self.rig.kernel.held == set()


@pytest.mark.parametrize("seed", range(int(os.environ.get("MOORFS_SEEDS", "2"))))
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "by-us"])
@pytest.mark.parametrize("size", [0, 50_000, 7 * MIB])
def test_a_file_holds_what_a_plain_array_holds(tmp_path: Path, size: int, direct: bool, seed: int) -> None:
    rig = Rig(tmp_path, direct, whole_up_to=100_000, multipart_from=6 * MIB)
    comparer = Comparer(rig, random.Random(f"{size} {direct} {seed}"), size)  # noqa: S311
    try:
        for _ in range(STEPS):
            comparer.step()
        comparer.end()
    finally:
        rig.cache.close()
