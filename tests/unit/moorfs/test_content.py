"""One file: what its closers are promised, who reads and writes it, what comes back after a crash."""

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datafakes import MIB, Rig, until

from moorfs import whole
from moorfs.blocks import BLOCK
from moorfs.ports import FileError, Stamp, StoreError

NEW = os.O_WRONLY | os.O_CREAT
Making = Callable[..., Rig]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Making]:
    made: list[Rig] = []

    def making(**more: Any) -> Rig:
        made.append(Rig(tmp_path, **more))
        return made[-1]

    yield making
    for each in made:
        each.cache.close()


def big(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311


def test_a_closed_file_is_in_the_engine_and_a_second_close_asks_nothing(rig: Making) -> None:
    r = rig()
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.create(NEW)
    assert file.write(opened.handle, 0, memoryview(b"hello")) == 5
    assert file.is_dirty
    file.flush(opened.handle)
    assert r.store.body("a") == b"hello"
    assert r.store.objects["a"].metadata["mode"] == "33188"
    assert (node.etag, node.size) == (r.store.objects["a"].etag, 5)
    file.flush(opened.handle)
    file.release(opened.handle)
    assert r.store.calls == {"put": 1}
    assert not file.is_open
    assert not file.is_dirty


def test_a_file_that_another_thread_closes_while_it_is_looked_at_is_clean(
    rig: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    file.write(opened.handle, 0, memoryview(b"hello"))
    file.flush(opened.handle)

    def closed(fd: int) -> Stamp:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(whole, "stamp_of", closed)

    assert not file.is_dirty


def test_an_empty_file_is_stored_by_one_put_and_touch_adds_none(rig: Making) -> None:
    r = rig()
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.create(NEW)
    file.flush(opened.handle)
    assert r.store.body("a") == b""
    assert file.touched(1_800_000_000_000_000_000, now=True)
    file.flush(opened.handle)
    file.release(opened.handle)
    assert r.store.calls == {"put": 1}


def test_the_mtime_set_on_a_dirty_file_goes_along_with_its_bytes(rig: Making) -> None:
    r = rig()
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    file.write(opened.handle, 0, memoryview(b"x"))
    assert file.touched(1_234_567_890_000_000_001)
    file.flush(opened.handle)
    assert r.store.objects["a"].metadata["mtime"] == "1234567890000000001"


def test_what_the_kernel_writes_itself_is_stored_at_close(rig: Making) -> None:
    r = rig(direct=True)
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.create(NEW)
    assert opened.backing == 1
    with open(r.path(node), "r+b") as kernel:
        kernel.write(b"by the kernel")
    assert file.is_dirty
    file.flush(opened.handle)
    file.release(opened.handle)
    assert r.store.body("a") == b"by the kernel"
    assert r.kernel.held == set()


def test_a_change_of_one_byte_by_the_kernel_is_seen_though_size_stays(rig: Making) -> None:
    r = rig(direct=True)
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.create(NEW)
    fd = os.open(r.path(node), os.O_RDWR)
    for round in range(50):
        os.pwrite(fd, b"%03d" % round, 0)
        file.flush(opened.handle)
        assert r.store.body("a") == b"%03d" % round
    os.close(fd)


def test_one_backing_id_for_all_handles_until_the_last_release(rig: Making) -> None:
    r = rig(direct=True)
    r.store.make("a", b"abc")
    file = r.cache.of(r.node("a"))
    first, second = file.open(os.O_RDONLY), file.open(os.O_WRONLY)
    assert (first.backing, second.backing, r.kernel.held) == (1, 1, {1})
    assert (first.flush, second.flush) == (False, True)
    file.release(first.handle)
    assert r.kernel.held == {1}
    file.release(second.handle)
    assert r.kernel.held == set()


def test_the_first_open_decides_so_that_modes_are_never_mixed(rig: Making) -> None:
    r = rig(direct=True)
    r.store.make("a", b"abc")
    file = r.cache.of(r.node("a"))
    by_us = file.open(os.O_RDWR)  # strict: msync must reach the engine
    joined = file.open(os.O_RDONLY)
    assert (by_us.backing, joined.backing) == (None, None)
    file.release(by_us.handle)
    file.release(joined.handle)
    assert file.open(os.O_RDONLY).backing == 1
    assert file.open(os.O_RDWR).backing == 1


@pytest.mark.parametrize("refusal", [errno.ELOOP, errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP])
def test_without_passthrough_files_are_served_by_us_from_then_on(rig: Making, refusal: int) -> None:
    r = rig(direct=True)
    r.kernel.refusal = refusal
    r.store.make("a", b"abc")
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_RDONLY)
    assert opened.backing is None
    assert file.read(opened.handle, 1, 10) == b"bc"
    r.kernel.refusal = 0
    assert r.cache.of(r.node("b")).create(NEW).backing is None


def test_a_small_object_is_fetched_at_open_and_once(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"abc")
    file = r.cache.of(r.node("a"))
    for _ in range(2):
        opened = file.open(os.O_RDONLY)
        assert file.read(opened.handle, 0, 100) == b"abc"
        file.release(opened.handle)
    assert r.store.calls == {"read": 1}


def test_a_changed_object_is_fetched_anew_by_the_next_open(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"old")
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.open(os.O_RDONLY)
    file.release(opened.handle)
    r.store.make("a", b"newer")
    node.see(r.store)
    opened = file.open(os.O_RDONLY)
    assert file.read(opened.handle, 0, 100) == b"newer"


def test_an_object_that_changed_since_the_tree_looked_is_opened_as_it_is_now(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"old")
    node = r.node("a")
    r.store.make("a", b"newer")
    file = r.cache.of(node)
    opened = file.open(os.O_RDONLY)
    assert file.read(opened.handle, 0, 100) == b"newer"
    assert node.size == 5


def test_of_a_big_object_only_what_is_read_is_fetched(rig: Making) -> None:
    r = rig()
    data = big(20 * MIB)
    r.store.make("a", data)
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_RDONLY)
    assert file.read(opened.handle, 12 * MIB + 5, 4096) == data[12 * MIB + 5 :][:4096]
    assert r.store.fetched <= 3 * BLOCK


def test_a_sequential_reader_gets_all_by_few_requests(rig: Making) -> None:
    r = rig()
    data = big(40 * MIB + 17)
    r.store.make("a", data)
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_RDONLY)
    read = b"".join(file.read(opened.handle, at, MIB) for at in range(0, len(data), MIB))
    assert read == data
    assert r.store.fetched == len(data)
    assert r.store.calls["read"] < 16
    file.release(opened.handle)
    opened = file.open(os.O_RDONLY)
    assert file.read(opened.handle, 0, len(data)) == data
    assert r.store.fetched == len(data)


def test_a_writer_of_a_big_object_fetches_and_sends_only_what_it_must(rig: Making) -> None:
    r = rig(multipart_from=16 * MIB)
    data = bytearray(big(80 * MIB))
    r.store.make("a", bytes(data))
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_WRONLY)
    data[50 * MIB + 7 : 50 * MIB + 12] = b"other"
    file.write(opened.handle, 50 * MIB + 7, memoryview(b"other"))
    file.flush(opened.handle)
    assert r.store.body("a") == bytes(data)
    assert r.store.fetched <= 17 * MIB
    assert r.store.sent <= 16 * MIB
    assert r.store.calls["copy_part"] == 4


def test_an_engine_without_part_copies_gets_the_whole(rig: Making) -> None:
    r = rig(multipart_from=16 * MIB)
    r.store.copies = False
    data = bytearray(big(40 * MIB))
    r.store.make("a", bytes(data))
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_WRONLY)
    data[5:10] = b"other"
    file.write(opened.handle, 5, memoryview(b"other"))
    file.flush(opened.handle)
    assert r.store.body("a") == bytes(data)


def test_opening_with_truncation_fetches_nothing(rig: Making) -> None:
    r = rig()
    r.store.make("a", big(20 * MIB))
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_WRONLY | os.O_TRUNC)
    file.write(opened.handle, 0, memoryview(b"new"))
    file.flush(opened.handle)
    assert r.store.body("a") == b"new"
    assert r.store.fetched == 0


def test_appending_fetches_only_the_last_block(rig: Making) -> None:
    r = rig(multipart_from=16 * MIB)
    data = big(40 * MIB + 100)
    r.store.make("a", data)
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_WRONLY | os.O_APPEND)
    file.write(opened.handle, len(data), memoryview(b"tail"))
    assert r.store.fetched <= 2 * BLOCK
    file.flush(opened.handle)
    assert r.store.body("a") == data + b"tail"


def test_a_closed_file_is_truncated_in_the_engine(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"0123456789")
    file = r.cache.of(r.node("a"))
    file.truncate(4)
    assert r.store.body("a") == b"0123"
    file.truncate(6)
    assert r.store.body("a") == b"0123\0\0"
    file.truncate(0)
    assert r.store.body("a") == b""


def test_a_big_closed_file_is_truncated_without_fetching_it(rig: Making) -> None:
    r = rig(multipart_from=16 * MIB)
    data = big(64 * MIB)
    r.store.make("a", data)
    file = r.cache.of(r.node("a"))
    file.truncate(48 * MIB)
    assert r.store.body("a") == data[: 48 * MIB]
    assert r.store.fetched <= BLOCK
    assert r.store.sent == 0


def test_five_gib_of_nothing_take_no_room_here(rig: Making) -> None:
    r = rig()
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    file.truncate(5 << 30)
    local = file.local()
    assert local is not None
    assert (local.size, local.blocks) == (5 << 30, 0)
    file.truncate(1)
    file.flush(opened.handle)
    assert r.store.body("a") == b"\0"


def test_a_hole_is_punched_and_stored(rig: Making) -> None:
    r = rig()
    data = big(9 * MIB)
    r.store.make("a", data)
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_RDWR)
    file.allocate(opened.handle, 3, MIB + 5, 2 * MIB)
    file.allocate(opened.handle, 0, 9 * MIB, 10)
    file.flush(opened.handle)
    expected = data[: MIB + 5] + bytes(2 * MIB) + data[3 * MIB + 5 :] + bytes(10)
    assert r.store.body("a") == expected


def test_collapsing_a_file_that_is_not_all_here_is_refused_cleanly(rig: Making) -> None:
    r = rig()
    r.store.make("a", big(9 * MIB))
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_RDWR)
    with pytest.raises(FileError) as refused:
        file.allocate(opened.handle, 8, 0, MIB)
    assert refused.value.errno == errno.EOPNOTSUPP


def test_an_unlinked_open_file_goes_on_and_is_never_stored(rig: Making) -> None:
    r = rig()
    data = big(6 * MIB)
    r.store.make("a", data)
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.open(os.O_RDWR)
    node.gone = True
    file.unlinked()
    r.store.delete("a")
    assert file.read(opened.handle, 5 * MIB, 100) == data[5 * MIB :][:100]
    file.write(opened.handle, 0, memoryview(b"more"))
    file.flush(opened.handle)
    file.release(opened.handle)
    assert r.store.objects == {}
    assert os.listdir(f"{r.settings.cache}/data") == []


def test_an_open_file_that_was_renamed_is_stored_under_its_new_name(rig: Making) -> None:
    r = rig()
    data = big(6 * MIB)
    r.store.make("a", data)
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.open(os.O_RDWR)
    with node.lock:
        file.store()
        etag = r.store.copy("a", "b")
        r.store.delete("a")
        source, node.key, node.etag = node.etag, "b", etag
        file.relabel(etag, node.mtime, source)
    assert file.read(opened.handle, 3 * MIB, 10) == data[3 * MIB :][:10]
    file.write(opened.handle, 0, memoryview(b"new"))
    file.flush(opened.handle)
    assert r.store.body("b") == b"new" + data[3:]
    assert "a" not in r.store.objects


def test_a_lost_update_is_an_error_and_the_bytes_are_kept_aside(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"old")
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.open(os.O_WRONLY)
    file.write(opened.handle, 0, memoryview(b"mine"))
    r.store.make("a", b"theirs")
    for _ in range(2):
        with pytest.raises(FileError) as refused:
            file.flush(opened.handle)
        assert refused.value.errno == errno.ESTALE
    assert r.store.body("a") == b"theirs"
    file.release(opened.handle)
    node.see(r.store)
    opened = file.open(os.O_RDONLY)
    assert file.read(opened.handle, 0, 10) == b"theirs"
    (kept,) = r.cache.unsaved()
    assert (kept.key, kept.size, kept.conflict, kept.errno) == ("a", 4, True, errno.ESTALE)
    r.cache.retry(kept.name, "a.mine")
    assert r.store.body("a.mine") == b"mine"
    assert r.cache.unsaved() == []


def test_a_new_file_does_not_overwrite_one_that_came_meanwhile(rig: Making) -> None:
    r = rig()
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    r.store.make("a", b"theirs")
    with pytest.raises(FileError) as refused:
        file.flush(opened.handle)
    assert refused.value.errno == errno.ESTALE
    assert r.store.body("a") == b"theirs"


def test_our_own_object_whose_answer_was_lost_is_no_conflict(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"old")
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.open(os.O_WRONLY | os.O_TRUNC)
    file.write(opened.handle, 0, memoryview(b"new"))
    stored = r.store.store

    def lose(*args: Any) -> str:
        stored(*args)
        r.store.store = stored  # type: ignore[method-assign]
        raise StoreError(errno.EIO, "the answer was lost")

    r.store.store = lose  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        file.flush(opened.handle)
    r.crash()
    file = r.cache.of(node)
    file.flush(opened.handle)
    assert r.store.body("a") == b"new"
    assert r.cache.unsaved() == []


def test_a_failed_upload_fails_the_close_and_is_stored_later(rig: Making) -> None:
    r = rig()
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    file.write(opened.handle, 0, memoryview(b"precious"))
    r.store.failing = lambda: StoreError(errno.EDQUOT, "quota", 507, "QuotaExceeded")
    with pytest.raises(FileError) as refused:
        file.flush(opened.handle)
    assert refused.value.errno == errno.EDQUOT
    file.release(opened.handle)
    (kept,) = r.cache.unsaved()
    assert (kept.key, kept.size, kept.errno, kept.error, kept.boot) == ("a", 8, errno.EDQUOT, "quota", "")
    assert file.is_dirty
    opened = file.open(os.O_RDONLY)
    assert file.read(opened.handle, 0, 100) == b"precious"
    r.store.failing = None
    until(lambda: "a" in r.store.objects and not r.cache.unsaved())
    assert r.store.body("a") == b"precious"


@pytest.mark.parametrize("size", [9, 9 * MIB])
def test_unsaved_bytes_are_found_by_the_next_mount(rig: Making, size: int) -> None:
    r = rig()
    data = bytearray(big(size))
    r.store.make("a", bytes(data))
    file = r.cache.of(r.node("a"))
    opened = file.open(os.O_WRONLY)
    file.write(opened.handle, 3, memoryview(b"mine"))
    data[3:7] = b"mine"
    r.store.failing = lambda: StoreError(errno.EIO, "down")
    with pytest.raises(FileError):
        file.flush(opened.handle)
    r.remount()
    assert [record.key for record in r.cache.unsaved()] == ["a"]
    r.store.failing = None
    until(lambda: not r.cache.unsaved())
    assert r.store.body("a") == bytes(data)
    until(lambda: os.listdir(f"{r.settings.cache}/unsaved") == [])


def test_bytes_of_another_boot_that_were_never_synced_are_not_believed(rig: Making) -> None:
    r = rig(writeback=True)
    r.store.failing = lambda: StoreError(errno.EIO, "down")
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    r.cache.keeper.soon = lambda file: None  # type: ignore[method-assign]
    file.flush(opened.handle)
    (record,) = Path(f"{r.settings.cache}/unsaved").glob("*.json")
    record.write_text(record.read_text().replace(r.cache.unsaved()[0].boot, "another-boot"))
    r.remount()
    assert r.cache.unsaved() == []


def test_writeback_closes_at_once_and_stores_soon(rig: Making) -> None:
    r = rig(writeback=True)
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    file.write(opened.handle, 0, memoryview(b"later"))
    file.flush(opened.handle)
    file.release(opened.handle)
    until(lambda: not r.cache.unsaved())
    assert r.store.body("a") == b"later"


@pytest.mark.parametrize("direct", [True, False])
def test_open_files_survive_a_crash_with_what_was_written(rig: Making, direct: bool) -> None:
    r = rig(direct=direct)
    node = r.node("a")
    opened = r.cache.of(node).create(NEW)
    if direct:
        Path(r.path(node)).write_bytes(b"before")
    else:
        r.cache.of(node).write(opened.handle, 0, memoryview(b"before"))
    r.crash()
    file = r.cache.of(node)
    assert file.is_open
    assert file.is_dirty
    file.flush(opened.handle)
    assert r.store.body("a") == b"before"
    file.release(opened.handle)
    assert r.kernel.held == set()
    assert r.cache.of(r.node("b")).create(NEW).handle > opened.handle


def test_dirty_blocks_of_a_big_file_survive_a_crash(rig: Making) -> None:
    r = rig()
    data = bytearray(big(30 * MIB))
    r.store.make("a", bytes(data))
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.open(os.O_WRONLY)
    file.write(opened.handle, 20 * MIB, memoryview(b"precious"))
    data[20 * MIB : 20 * MIB + 8] = b"precious"
    file.truncate(25 * MIB)
    r.crash()
    r.cache.of(node).flush(opened.handle)
    assert r.store.body("a") == bytes(data[: 25 * MIB])


def test_clean_files_are_known_again_after_a_crash(rig: Making) -> None:
    r = rig()
    r.store.make("a", b"abc")
    node = r.node("a")
    opened = r.cache.of(node).open(os.O_RDONLY)
    r.cache.of(node).release(opened.handle)
    r.crash()
    opened = r.cache.of(node).open(os.O_RDONLY)
    assert r.cache.of(node).read(opened.handle, 0, 9) == b"abc"
    assert r.store.calls == {"read": 1}


def test_what_was_dirty_and_closed_at_the_crash_is_stored_by_the_next_process(rig: Making) -> None:
    r = rig()
    node = r.node("a")
    file = r.cache.of(node)
    opened = file.create(NEW)
    file.write(opened.handle, 0, memoryview(b"kept"))
    r.store.failing = lambda: StoreError(errno.EIO, "down")
    with pytest.raises(FileError):
        file.flush(opened.handle)
    file.release(opened.handle)
    r.store.failing = None
    r.crash()
    until(lambda: "a" in r.store.objects and not r.cache.unsaved())
    assert r.store.body("a") == b"kept"


def test_a_file_written_while_it_is_stored_is_dirty_afterwards(rig: Making) -> None:
    r = rig()
    file = r.cache.of(r.node("a"))
    opened = file.create(NEW)
    file.write(opened.handle, 0, memoryview(b"one"))

    def meanwhile(kind: str, key: str) -> None:
        r.store.before = lambda kind, key: None
        file.write(opened.handle, 0, memoryview(b"two"))

    r.store.before = meanwhile
    file.flush(opened.handle)
    file.flush(opened.handle)
    assert r.store.body("a") == b"two"
