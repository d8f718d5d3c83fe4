"""The cache stays within its size and its disk, and never gives up what the engine does not have."""

import contextlib
import ctypes
import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datafakes import MIB, Rig

from moorfs.ports import FileError, StoreError

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def small_disk(where: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes."""
    where.mkdir()
    assert not _libc.mount(b"none", str(where).encode(), b"tmpfs", 0, f"size={size}".encode()), ctypes.get_errno()
    try:
        yield where
    finally:
        _libc.umount2(str(where).encode(), 2)  # MNT_DETACH


def stored(rig: Rig, key: str, body: bytes) -> None:
    rig.store.make(key, body)


def read_all(rig: Rig, key: str) -> bytes:
    node = next((each for each in rig.nodes.values() if each.key == key), None) or rig.node(key)
    file = rig.cache.of(node)
    opened = file.open(os.O_RDONLY)
    try:
        pieces = [file.read(opened.handle, at, MIB) for at in range(0, max(node.size, 1), MIB)]
        return b"".join(pieces)
    finally:
        file.release(opened.handle)


def body(seed: int, size: int = MIB) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311


def test_the_least_recently_used_clean_files_go_first(tmp_path: Path) -> None:
    rig = Rig(tmp_path, cache_size=3 * MIB)
    for number in range(3):
        stored(rig, str(number), body(number))
        assert read_all(rig, str(number)) == body(number)
    read_all(rig, "0")
    stored(rig, "3", body(3))
    read_all(rig, "3")
    assert rig.store.calls["read"] == 4
    assert [read_all(rig, key) for key in ("0", "2", "3")] == [body(0), body(2), body(3)]
    assert rig.store.calls["read"] == 4
    assert read_all(rig, "1") == body(1)
    assert rig.store.calls["read"] == 5
    assert rig.cache.figures()["cache_bytes"] <= 3 * MIB
    rig.cache.close()


def test_open_and_unsaved_files_never_go(tmp_path: Path) -> None:
    rig = Rig(tmp_path, cache_size=0)
    stored(rig, "open", body(1))
    kept = rig.cache.of(rig.node("open"))
    opened = kept.open(os.O_RDONLY)
    unsaved = rig.cache.of(rig.node("unsaved"))
    writer = unsaved.create(os.O_WRONLY)
    unsaved.write(writer.handle, 0, memoryview(b"precious"))
    rig.store.failing = lambda: StoreError(errno.EIO, "down")
    with pytest.raises(FileError):
        unsaved.flush(writer.handle)
    unsaved.release(writer.handle)
    stored(rig, "other", body(2))
    read_all(rig, "other")
    rig.cache.shelf.free(1 << 40)
    assert kept.read(opened.handle, 0, MIB) == body(1)
    again = unsaved.open(os.O_RDONLY)
    assert unsaved.read(again.handle, 0, 100) == b"precious"
    rig.cache.close()


def test_a_full_disk_makes_room_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        rig = Rig(disk)
        for number in range(40):
            stored(rig, str(number), body(number))
            assert read_all(rig, str(number)) == body(number)
        for number in range(40, 60):
            file = rig.cache.of(rig.node(str(number)))
            opened = file.create(os.O_WRONLY)
            file.write(opened.handle, 0, memoryview(body(number)))
            file.flush(opened.handle)
            file.release(opened.handle)
            assert rig.store.body(str(number)) == body(number)
        rig.cache.close()


def test_readers_go_on_without_the_cache_when_its_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        rig = Rig(disk)
        (disk / "others").write_bytes(bytes(15 * MIB))
        for key, size in (("small", 3 * MIB), ("big", 30 * MIB)):
            stored(rig, key, body(7, size))
            assert read_all(rig, key) == body(7, size)
        rig.cache.close()


def _taken_over_while_streamed(disk: Path) -> tuple[Rig, int]:
    """A rig whose one file, "a", is open and was too big for the disk when the process before died; its handle."""
    rig = Rig(disk)
    (disk / "others").write_bytes(bytes(15 * MIB))
    stored(rig, "a", body(7, 3 * MIB))
    node = rig.node("a")
    opened = rig.cache.of(node).open(os.O_RDONLY)
    node.size, node.etag = 0, ""  # the state log does not tell them
    rig.store.calls.clear()
    rig.crash()
    return rig, opened.handle


def test_a_takeover_asks_the_engine_nothing_for_a_file_that_is_open_and_has_no_cache_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        rig, handle = _taken_over_while_streamed(disk)
        assert rig.store.calls == {}
        file = rig.cache.of(rig.nodes[2])
        assert file.local() is None
        assert rig.nodes[2].size == 3 * MIB  # what stat(2) shows
        assert file.read(handle, MIB, 4096) == body(7, 3 * MIB)[MIB:][:4096]
        assert file.read(handle, 3 * MIB, 4096) == b""
        file.release(handle)
        rig.cache.close()


def test_a_takeover_while_the_engine_is_down_keeps_the_reader_who_reads_on_once_it_is_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        rig, handle = _taken_over_while_streamed(disk)
        file = rig.cache.of(rig.nodes[2])

        def down(kind: str, key: str) -> None:
            raise StoreError(errno.ETIMEDOUT, "the engine is down")

        rig.store.before = down
        with pytest.raises(FileError) as refused:
            file.read(handle, 0, 4096)
        assert refused.value.errno == errno.ETIMEDOUT
        rig.store.before = lambda kind, key: None
        assert file.read(handle, 0, 4096) == body(7, 3 * MIB)[:4096]
        rig.cache.close()


def test_after_a_takeover_a_streamed_reader_never_gets_bytes_of_another_object(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        rig, handle = _taken_over_while_streamed(disk)
        stored(rig, "a", body(8, 3 * MIB))
        with pytest.raises(FileError) as refused:
            rig.cache.of(rig.nodes[2]).read(handle, 0, 4096)
        assert refused.value.errno == errno.ESTALE
        rig.cache.close()


def test_a_writer_gets_a_clean_enospc_and_what_it_wrote_before_is_stored(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        rig = Rig(disk)
        file = rig.cache.of(rig.node("a"))
        opened = file.create(os.O_WRONLY)
        written = 0
        with pytest.raises(FileError) as refused:
            while True:
                written += file.write(opened.handle, written, memoryview(body(written, MIB)))
        assert refused.value.errno == errno.ENOSPC
        file.flush(opened.handle)
        assert len(rig.store.body("a")) == written
        stored(rig, "b", body(3, 3 * MIB))
        with pytest.raises(FileError) as refused:
            rig.cache.of(rig.node("b")).open(os.O_RDWR)
        assert refused.value.errno == errno.ENOSPC
        file.release(opened.handle)
        assert read_all(rig, "b") == body(3, 3 * MIB)
        rig.cache.close()


def test_a_partly_fetched_file_is_still_good_when_it_is_opened_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    data = body(1, 30 * MIB)
    stored(rig, "a", data)
    node = rig.node("a")
    file = rig.cache.of(node)
    for _ in range(2):
        opened = file.open(os.O_RDONLY)
        assert file.read(opened.handle, 10 * MIB, 4096) == data[10 * MIB :][:4096]
        file.release(opened.handle)
    assert rig.store.calls["read"] == 2
    rig.cache.forget(node)
    assert os.listdir(f"{rig.settings.cache}/data") == []
    rig.cache.close()


def test_a_real_mount_whose_cache_disk_is_full_reads_on_and_tells_writers(
    mount: Callable[..., Any], engine: Any, bucket: str, tmp_path: Path
) -> None:
    data = body(9, 30 * MIB)
    for key, size in (("big", 30 * MIB), ("small", 3 * MIB)):
        engine.s3.put_object(Bucket=bucket, Key=key, Body=data[:size])

    def fill() -> tuple[str, int, bool, bool]:
        fd, written, told = os.open("new", os.O_WRONLY | os.O_CREAT), 0, 0
        try:
            while True:
                written += os.write(fd, data[:MIB])
        except OSError as error:
            told = error.errno or 0
        good = Path("small").read_bytes() == data[: 3 * MIB], Path("big").read_bytes() == data
        os.close(fd)
        return errno.errorcode[told], written, *good

    with small_disk(tmp_path / "disk", 24 * MIB) as disk:
        made = mount(cache=str(disk / "cache"))
        told, written, small, big = made.do(fill)
    assert (told, small, big) == ("ENOSPC", True, True)
    assert engine.s3.head_object(Bucket=bucket, Key="new")["ContentLength"] == written
