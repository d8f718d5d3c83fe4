"""Large files: stored in parts, by many threads, begun before the end."""

import errno
import os
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from moorfs.ports import ALWAYS, Changed, Condition, Head, Missing, Page, Range, StoreError
from moorfs.transfer.growing import Growing
from moorfs.transfer.upload import Kept, upload
from moorfs.transfer.workers import Workers

MIB = 1 << 20


class Memory:
    """A store of one process. `fail`: what parts fail with."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}
        self.fail: StoreError | None = None
        self.uploads: list[MemoryUpload] = []

    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        raise NotImplementedError

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        self.objects[key] = body if isinstance(body, bytes) else os.pread(body.fd, body.length, body.offset)
        self.versions[key] = f"v{len(self.versions)}-{len(self.objects[key])}"
        return self.versions[key]

    def begin(self, key: str, metadata: Mapping[str, str]) -> "MemoryUpload":
        self.uploads.append(MemoryUpload(self, key))
        return self.uploads[-1]

    def head(self, key: str) -> Head:
        raise NotImplementedError

    def heads(self, keys: Sequence[str]) -> Generator[tuple[float, Head | Missing | None]]:
        raise NotImplementedError

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]:
        raise NotImplementedError

    def copy(
        self,
        source: str,
        key: str,
        metadata: Mapping[str, str] | None = None,
        match: str | None = None,
        onto: Condition = ALWAYS,
    ) -> str:
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


def file_with(fd: int, data: bytes) -> Range:
    os.pwrite(fd, data, 0)
    return Range(fd, 0, len(data))


def test_who_waits_comes_through_when_every_thread_is_busy() -> None:
    workers = Workers(2)
    stuck = threading.Event()
    for _ in range(2):
        workers.submit(lambda: (stuck.wait(60), None)[1])
    done: list[int] = []

    workers.each(range(20), done.append, 8)

    stuck.set()
    workers.close()
    assert done == list(range(20))


def test_the_first_error_ends_the_work_and_is_told(workers: Workers) -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise StoreError(errno.EIO, "broken")
        done.append(number)

    with pytest.raises(StoreError, match="broken"):
        workers.each(range(1000), work, 4)

    assert len(done) < 1000


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
        assert growing._lock.wait_for(lambda: not growing._running, 60)

    store.fail = None

    assert growing.finish(len(data), ALWAYS) == store.versions["k"]
    assert store.objects["k"] == data
