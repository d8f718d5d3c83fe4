"""Large files: read ahead, in parallel, written over while they come; stored in parts, begun before the end."""

import errno
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from moorfs.ports import ALWAYS, Changed, Condition, Head, Missing, Page, Range, StoreError
from moorfs.transfer.blocks import SMALLEST as BLOCK
from moorfs.transfer.blocks import Blocks
from moorfs.transfer.fetch import Fetch
from moorfs.transfer.growing import Growing
from moorfs.transfer.upload import Kept, upload
from moorfs.transfer.workers import Workers

MIB = 1 << 20


class Memory:
    """A store of one process. `gate`: reads wait until it is set. `reads`: (start, length) of each."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}
        self.reads: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reading = threading.Semaphore(0)
        self.fail: StoreError | None = None
        self.uploads: list[MemoryUpload] = []

    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        self.reads.append((start, sink.length))
        self.reading.release()
        assert self.gate.wait(20)
        if self.fail:
            raise self.fail
        if key not in self.objects:
            raise Missing(errno.ENOENT, key)
        if match != self.versions[key]:
            raise Changed(errno.ESTALE, key)
        os.pwrite(sink.fd, self.objects[key][start : start + sink.length], sink.offset)
        return Head(len(self.objects[key]), self.versions[key], 0)

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        self.objects[key] = body if isinstance(body, bytes) else os.pread(body.fd, body.length, body.offset)
        self.versions[key] = f"v{len(self.versions)}-{len(self.objects[key])}"
        return self.versions[key]

    def begin(self, key: str, metadata: Mapping[str, str]) -> "MemoryUpload":
        self.uploads.append(MemoryUpload(self, key))
        return self.uploads[-1]

    def head(self, key: str) -> Head:
        raise NotImplementedError

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]:
        raise NotImplementedError

    def copy(self, source: str, key: str, metadata: Mapping[str, str] | None = None, match: str | None = None) -> str:
        raise NotImplementedError

    def delete(self, key: str) -> None:
        raise NotImplementedError

    def delete_many(self, keys: Sequence[str]) -> None:
        raise NotImplementedError

    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page:
        raise NotImplementedError


class MemoryUpload:
    def __init__(self, store: Memory, key: str) -> None:
        self.store, self.key = store, key
        self.parts: dict[int, bytes] = {}
        self.sent: list[int] = []
        self.copied: list[int] = []
        self.aborted = False
        self.can_copy = True

    def part(self, number: int, body: Range) -> None:
        self.sent.append(number)
        if self.store.fail:
            raise self.store.fail
        self.parts[number] = os.pread(body.fd, body.length, body.offset)

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        if not self.can_copy:
            raise StoreError(errno.ENOSYS, "no copies")
        if match != self.store.versions[source]:
            raise Changed(errno.ESTALE, source)
        self.copied.append(number)
        self.parts[number] = self.store.objects[source][start : start + length]

    def complete(self, condition: Condition = ALWAYS) -> str:
        assert not self.aborted
        return self.store.put(self.key, b"".join(data for _, data in sorted(self.parts.items())), {}, condition)

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(4)
    yield made
    made.close()


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    made = os.open(tmp_path / "cache", os.O_RDWR | os.O_CREAT)
    yield made
    os.close(made)


def fetch_of(store: Memory, workers: Workers, fd: int, data: bytes, have: bytes = b"") -> Fetch:
    etag = store.put("k", data, {})
    return Fetch(store, workers, "k", etag, fd, len(data), have)


def content(fd: int) -> bytes:
    return os.pread(fd, 1 << 30, 0)


def test_a_whole_file_comes_once_and_in_pieces(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(20 * MIB + 7)
    fetch = fetch_of(store, workers, fd, data)

    fetch.whole()

    assert content(fd) == data
    assert fetch.complete
    assert sum(length for _, length in store.reads) == len(data)
    assert max(length for _, length in store.reads) == 8 * MIB


def test_a_reader_that_jumps_fetches_what_it_asks_and_no_more(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(64 * MIB)
    fetch = fetch_of(store, workers, fd, data)

    for offset in (50 * MIB, 20 * MIB + 5, 40 * MIB):
        fetch.need(offset, 4096)
        assert os.pread(fd, 4096, offset) == data[offset : offset + 4096]

    assert [length for _, length in store.reads] == [BLOCK] * 3
    fetch.need(40 * MIB, 100)
    assert (fetch.hits, fetch.misses, len(store.reads)) == (1, 3, 3)


def test_a_reader_that_goes_on_finds_its_bytes_fetched_ahead_in_large_pieces(
    store: Memory, workers: Workers, fd: int
) -> None:
    data = os.urandom(48 * MIB)
    fetch = fetch_of(store, workers, fd, data)

    for offset in range(0, len(data), 128 << 10):
        fetch.need(offset, 128 << 10)
        assert os.pread(fd, 128 << 10, offset) == data[offset : offset + (128 << 10)]

    assert sum(length for _, length in store.reads) == len(data)
    assert len(store.reads) < 30


def test_who_waits_for_the_same_bytes_gets_them_from_one_request(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(BLOCK)
    fetch = fetch_of(store, workers, fd, data)
    store.gate.clear()
    readers = [threading.Thread(target=fetch.need, args=(0, 100)) for _ in range(8)]
    for reader in readers:
        reader.start()
    assert store.reading.acquire(timeout=20)

    store.gate.set()
    for reader in readers:
        reader.join(20)

    assert store.reads == [(0, BLOCK)]
    assert content(fd) == data


def test_readers_come_through_when_every_thread_is_busy(store: Memory, fd: int) -> None:
    workers = Workers(2)
    stuck = threading.Event()
    for _ in range(2):
        workers.submit(lambda: (stuck.wait(60), None)[1])
    data = os.urandom(20 * MIB)
    fetch = fetch_of(store, workers, fd, data)

    fetch.whole()
    for offset in range(0, len(data), MIB):
        fetch.need(offset, MIB)

    assert content(fd) == data
    stuck.set()
    workers.close()


def test_what_is_written_while_it_is_fetched_stays(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(4 * BLOCK)
    fetch = fetch_of(store, workers, fd, data)
    store.gate.clear()
    reader = threading.Thread(target=fetch.need, args=(0, 4 * BLOCK))
    reader.start()
    assert store.reading.acquire(timeout=20)
    wrote = threading.Event()

    def write() -> None:
        fetch.overwrite(BLOCK + 10, BLOCK)
        os.pwrite(fd, b"w" * BLOCK, BLOCK + 10)
        wrote.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not wrote.wait(0.2)
    store.gate.set()
    reader.join(20)
    writer.join(20)

    assert content(fd) == data[: BLOCK + 10] + b"w" * BLOCK + data[2 * BLOCK + 10 :]


def test_blocks_that_are_written_as_a_whole_are_not_fetched(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(4 * BLOCK + 100)
    fetch = fetch_of(store, workers, fd, data)

    fetch.overwrite(BLOCK, 2 * BLOCK)
    os.pwrite(fd, b"w" * 2 * BLOCK, BLOCK)
    fetch.overwrite(4 * BLOCK, 500)
    os.pwrite(fd, b"e" * 500, 4 * BLOCK)
    assert store.reads == []
    fetch.whole()

    assert content(fd) == data[:BLOCK] + b"w" * 2 * BLOCK + data[3 * BLOCK : 4 * BLOCK] + b"e" * 500
    assert sorted(store.reads) == [(0, BLOCK), (3 * BLOCK, BLOCK)]


@pytest.mark.parametrize("size", [0, 100, BLOCK, 2 * BLOCK + 5])
def test_what_is_cut_off_is_never_fetched_again(store: Memory, workers: Workers, fd: int, size: int) -> None:
    data = os.urandom(4 * BLOCK)
    fetch = fetch_of(store, workers, fd, data)

    fetch.cut(size)
    os.ftruncate(fd, size)
    os.ftruncate(fd, 4 * BLOCK)
    fetch.whole()

    assert content(fd) == data[:size] + bytes(4 * BLOCK - size)


def test_what_is_here_is_known_after_a_takeover(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(40 * BLOCK + 1)
    before = fetch_of(store, workers, fd, data)
    before.need(20 * BLOCK, 2 * BLOCK)
    store.reads.clear()

    after = Fetch(store, workers, "k", store.versions["k"], fd, len(data), before.have())
    after.whole()

    assert content(fd) == data
    assert sorted(store.reads) == [(0, 20 * BLOCK), (22 * BLOCK, 18 * BLOCK + 1)]


def test_an_object_that_changed_fails_its_readers_and_keeps_what_is_here(
    store: Memory, workers: Workers, fd: int
) -> None:
    data = os.urandom(40 * BLOCK)
    fetch = fetch_of(store, workers, fd, data)
    fetch.need(20 * BLOCK, BLOCK)
    store.put("k", b"other", {})

    with pytest.raises(Changed):
        fetch.whole()
    with pytest.raises(Changed):
        fetch.need(3 * BLOCK, 10)
    fetch.need(20 * BLOCK, BLOCK)
    assert os.pread(fd, BLOCK, 20 * BLOCK) == data[20 * BLOCK : 21 * BLOCK]


def test_a_renamed_object_is_read_under_its_new_name(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(4 * BLOCK)
    fetch = fetch_of(store, workers, fd, data)
    store.gate.clear()
    reader = threading.Thread(target=fetch.need, args=(0, 10))
    reader.start()
    assert store.reading.acquire(timeout=20)
    etag = store.put("new", store.objects.pop("k"), {})

    fetch.moved("new", etag)
    store.gate.set()
    reader.join(20)
    fetch.whole()

    assert content(fd) == data


def test_a_failure_that_passes_is_forgotten(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(4 * BLOCK)
    fetch = fetch_of(store, workers, fd, data)
    store.fail = StoreError(errno.EIO, "not now")
    with pytest.raises(StoreError, match="not now"):
        fetch.need(0, 10)

    store.fail = None
    fetch.whole()

    assert content(fd) == data


def test_who_waits_is_freed_by_cancel(store: Memory, workers: Workers, fd: int) -> None:
    fetch = fetch_of(store, workers, fd, os.urandom(BLOCK))
    store.gate.clear()
    errors: list[int | None] = []

    def reader() -> None:
        try:
            fetch.need(0, 1)
        except StoreError as error:
            errors.append(error.errno)

    first, waiter = threading.Thread(target=reader), threading.Thread(target=reader)
    first.start()
    assert store.reading.acquire(timeout=20)
    waiter.start()
    fetch.cancel(StoreError(errno.ESTALE, "gone"))
    waiter.join(20)

    assert errors == [errno.ESTALE]
    assert not fetch.wait_idle(0)
    store.gate.set()
    first.join(20)
    assert fetch.wait_idle(5)


def test_tables_of_huge_files_stay_small() -> None:
    blocks = Blocks(5 << 40)

    assert len(blocks.states) <= 1 << 18
    assert Blocks(5 << 40, blocks.packed()).states == blocks.states


def file_with(fd: int, data: bytes) -> Range:
    os.pwrite(fd, data, 0)
    return Range(fd, 0, len(data))


def test_a_small_file_goes_in_one_request_and_a_large_one_in_parts(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(40 * MIB + 3)

    upload(store, workers, "small", file_with(fd, data[:MIB]), {})
    etag = upload(store, workers, "large", file_with(fd, data), {})

    assert (store.objects["small"], store.objects["large"]) == (data[:MIB], data)
    assert etag == store.versions["large"]
    assert [sorted(each.sent) for each in store.uploads] == [[1, 2, 3]]


def test_bytes_that_the_engine_has_are_copied_there(store: Memory, workers: Workers, fd: int) -> None:
    old = os.urandom(48 * MIB)
    etag = store.put("k", old, {})
    new = old[: 20 * MIB] + b"new" + old[20 * MIB + 3 :]
    kept = Kept("k", etag, ((0, 20 * MIB), (20 * MIB + 3, 48 * MIB)))

    upload(store, workers, "k", file_with(fd, new), {}, kept=kept)

    assert store.objects["k"] == new
    assert (store.uploads[0].sent, sorted(store.uploads[0].copied)) == ([2], [1, 3])


def test_a_failed_upload_leaves_nothing_behind(store: Memory, workers: Workers, fd: int) -> None:
    store.fail = StoreError(errno.EDQUOT, "full")

    with pytest.raises(StoreError) as failed:
        upload(store, workers, "k", file_with(fd, bytes(80 * MIB)), {})

    assert failed.value.errno == errno.EDQUOT
    assert store.uploads[0].aborted
    assert len(store.uploads[0].sent) <= 5


def test_parts_go_out_while_the_file_grows_and_what_changed_goes_again(
    store: Memory, workers: Workers, fd: int
) -> None:
    data = bytearray(os.urandom(52 * MIB))
    growing = Growing(store, workers, "k", fd, {}, part=8 * MIB)
    for offset in range(0, len(data), MIB):
        os.pwrite(fd, data[offset : offset + MIB], offset)
        growing.wrote(offset, MIB)
    data[9 * MIB : 9 * MIB + 3] = b"new"
    os.pwrite(fd, b"new", 9 * MIB)
    growing.wrote(9 * MIB, 3)

    etag = growing.finish(len(data), ALWAYS)

    assert etag == store.versions["k"]
    assert store.objects["k"] == data
    assert {1, 2, 3, 4, 5, 6, 7} == set(store.uploads[0].sent)


def test_a_file_that_stays_small_or_becomes_shorter_is_stored_in_another_way(
    store: Memory, workers: Workers, fd: int
) -> None:
    small = Growing(store, workers, "k", fd, {}, part=8 * MIB)
    small.wrote(0, MIB)
    shorter = Growing(store, workers, "k", fd, {}, part=8 * MIB)
    os.pwrite(fd, bytes(20 * MIB), 0)
    shorter.wrote(0, 20 * MIB)

    assert small.finish(MIB, ALWAYS) is None
    assert shorter.finish(MIB, ALWAYS) is None

    assert [each.aborted for each in store.uploads] == [True]


def test_parts_that_failed_in_the_background_go_again_at_the_end(store: Memory, workers: Workers, fd: int) -> None:
    data = os.urandom(30 * MIB)
    growing = Growing(store, workers, "k", fd, {}, part=8 * MIB)
    store.fail = StoreError(errno.EIO, "not now")
    os.pwrite(fd, data, 0)
    growing.wrote(0, len(data))
    with growing._lock:
        assert growing._lock.wait_for(lambda: not growing._running, 20)

    store.fail = None

    assert growing.finish(len(data), ALWAYS) == store.versions["k"]
    assert store.objects["k"] == data
