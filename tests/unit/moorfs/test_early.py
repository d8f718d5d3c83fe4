"""Big new files: parts go out before close, and the object is what the file was at close, whatever was rewritten."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from datafakes import MIB, Rig, until

NEW = os.O_WRONLY | os.O_CREAT


@pytest.fixture(params=[False, True], ids=["by-us", "direct"])
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(tmp_path, bool(request.param), multipart_from=16 * MIB)
    yield made
    made.cache.close()


class Writer:
    """Writes a new file as a process would: by us, or as the kernel does for itself."""

    def __init__(self, rig: Rig, key: str = "a") -> None:
        self.rig = rig
        self.node = rig.node(key)
        self.file = rig.cache.of(self.node)
        self.handle = self.file.create(NEW).handle
        self.data = bytearray()
        self.chance = random.Random(3)  # noqa: S311

    def write(self, offset: int, piece: bytes) -> None:
        if self.rig.direct:
            with open(self.rig.path(self.node), "r+b") as kernel:
                os.pwrite(kernel.fileno(), piece, offset)
        else:
            self.rig.cache.of(self.node).write(self.handle, offset, memoryview(piece))
        self.data.extend(bytes(max(0, offset + len(piece) - len(self.data))))
        self.data[offset : offset + len(piece)] = piece

    def append(self, size: int) -> None:
        for _ in range(size // MIB):
            self.write(len(self.data), self.chance.randbytes(MIB))


def test_parts_go_out_while_the_file_is_written(rig: Rig) -> None:
    writer = Writer(rig)
    writer.append(70 * MIB)
    until(lambda: rig.store.calls.get("part", 0) >= 3)
    assert "a" not in rig.store.objects
    writer.append(10 * MIB)
    writer.file.flush(writer.handle)
    assert rig.store.body("a") == bytes(writer.data)
    assert rig.store.calls["begin"] == 1
    assert rig.store.sent == 80 * MIB
    assert rig.store.uploads == {}
    writer.file.flush(writer.handle)
    writer.file.release(writer.handle)
    assert rig.store.calls.get("put", 0) == 0
    assert not writer.file.is_dirty


def test_a_part_that_is_rewritten_goes_out_again(rig: Rig) -> None:
    writer = Writer(rig)
    writer.append(70 * MIB)
    until(lambda: rig.store.calls.get("part", 0) >= 3)
    writer.write(20 * MIB, b"changed")
    writer.write(5, b"also")
    writer.file.flush(writer.handle)
    assert rig.store.body("a") == bytes(writer.data)
    assert rig.store.sent <= (80 + 32) * MIB


def test_a_file_that_was_cut_is_stored_as_it_is(rig: Rig) -> None:
    writer = Writer(rig)
    writer.append(70 * MIB)
    until(lambda: rig.store.calls.get("part", 0) >= 3)
    writer.file.truncate(MIB)
    del writer.data[MIB:]
    assert rig.store.uploads == {}
    writer.append(2 * MIB)
    writer.file.flush(writer.handle)
    assert rig.store.body("a") == bytes(writer.data)


def test_mode_and_mtime_that_were_set_meanwhile_are_put_right(rig: Rig) -> None:
    writer = Writer(rig)
    writer.append(70 * MIB)
    until(lambda: rig.store.calls.get("part", 0) >= 3)
    writer.node.mode = "33152"
    assert writer.file.touched()
    assert writer.file.touched(123_000_000_000)
    writer.file.flush(writer.handle)
    found = rig.store.objects["a"]
    assert found.body == bytes(writer.data)
    assert (found.metadata["mode"], found.metadata["mtime"]) == ("33152", "123000000000")
    assert writer.node.etag == found.etag


def test_a_removed_file_leaves_no_upload_behind(rig: Rig) -> None:
    writer = Writer(rig)
    writer.append(70 * MIB)
    until(lambda: rig.store.calls.get("part", 0) >= 1)
    writer.node.gone = True
    writer.file.unlinked()
    assert rig.store.uploads == {}
    writer.append(30 * MIB)
    writer.file.flush(writer.handle)
    writer.file.release(writer.handle)
    assert rig.store.uploads == {}
    assert rig.store.objects == {}


def test_after_a_crash_the_upload_is_begun_anew_and_the_old_one_aborted(rig: Rig) -> None:
    writer = Writer(rig)
    writer.append(70 * MIB)
    until(lambda: rig.store.calls.get("part", 0) >= 3)
    writer.append(MIB)
    (old,) = rig.store.uploads
    rig.crash()
    until(lambda: old not in rig.store.uploads)
    rig.cache.of(writer.node).flush(writer.handle)
    assert rig.store.body("a") == bytes(writer.data)
