"""The store behind a bad network and a bad engine: what it repeats, what it waits for, what it gives up and how."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import fault
import pytest
import s3engine
from fault import Rule
from s3engine import write_key

from moorfs.ports import Changed, Condition, Missing, Range, StoreError
from moorfs.s3.store import S3Store

MIB = 1 << 20


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """That of the store."""
    return tmp_path / "key"


@pytest.fixture
def make(
    make_store: Callable[..., S3Store], engine: s3engine.Engine, proxy: fault.Proxy, bucket: str
) -> Callable[..., S3Store]:
    return partial(make_store, engine, endpoint=proxy.endpoint, bucket=bucket)


@pytest.fixture
def store(make: Callable[..., S3Store]) -> S3Store:
    return make()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    made = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield made
    os.close(made)


def filled(fd: int, size: int) -> tuple[Range, bytes]:
    data = os.urandom(size)
    os.pwrite(fd, data, 0)
    return Range(fd, 0, size), data


def refused(call: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as found:
        call()
    return found.value


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503, "code": "SlowDown"},
        {"status": 503, "code": "SlowDown", "headers": {"retry-after": "0"}},
        {"status": 500, "code": "InternalError"},
        {"status": 502},
        {"status": 504},
        {"status": 429, "code": "TooManyRequests"},
        {"status": 400, "code": "RequestTimeout"},
        {"lose_answer": True},
        {"cut_request": 10},
        {"cut_answer": 0},
    ],
)
def test_what_passes_is_repeated_until_it_is_done(
    store: S3Store, proxy: fault.Proxy, fd: int, trouble: dict[str, Any]
) -> None:
    body, data = filled(fd, 3 * MIB)
    for kind in ("PUT", "GET", "HEAD", "LIST", "DELETE", "POST"):
        proxy.add(Rule(kind=kind, times=2, **trouble))

    store.put("k", body, {"mode": "33188"})
    listed = store.list("").objects
    head, stored = store.get("k", most=4 * MIB)
    upload = store.begin("big", {})
    upload.part(1, body)
    upload.complete()
    store.delete("k")
    store.delete_many(["other"])

    assert (stored, head.metadata, [each.key for each in listed]) == (data, {"mode": "33188"}, ["k"])
    assert store.get("big", most=4 * MIB)[1] == data
    assert [each.key for each in store.list("").objects] == ["big"]
    assert store.counters()["list"]["calls"] in (4, 5)  # a dead kept connection costs one more
    assert {name for name, tally in store.counters().items() if tally["errors"]} == set()


@pytest.mark.parametrize("cut", [0, 1, 100_000, 3 * MIB])
def test_a_half_sent_answer_goes_on_where_it_stopped(store: S3Store, proxy: fault.Proxy, fd: int, cut: int) -> None:
    data = os.urandom(8 * MIB)
    etag = store.put("k", data, {})
    proxy.clear()
    proxy.add(Rule(kind="GET", times=2, cut_answer=cut))

    store.read("k", Range(fd, 0, 7 * MIB), MIB, None)

    assert os.pread(fd, 8 * MIB, 0) == data[MIB:]
    first, *later = [each.headers for each in proxy.calls]
    assert "if-match" not in first
    assert all(each["if-match"] == f'"{etag}"' for each in later if cut)
    starts = [int(each["range"].removeprefix("bytes=").partition("-")[0]) for each in (first, *later)]
    assert starts[0] == MIB
    assert starts == sorted(starts)  # a reset takes with it what had not been read yet
    assert starts[1] > MIB or cut < 2


def test_an_object_that_changes_in_the_middle_of_a_read_is_never_mixed(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, fd: int
) -> None:
    store.put("k", os.urandom(2 * MIB), {})
    proxy.add(Rule(kind="GET", times=1, cut_answer=MIB))
    proxy.add(Rule(kind="GET", act=lambda _: engine.s3.put_object(Bucket=bucket, Key="k", Body=b"n" * 2 * MIB)))

    assert isinstance(refused(lambda: store.read("k", Range(fd, 0, 2 * MIB), 0, None)), Changed)


def test_the_same_where_the_engine_ignores_if_match(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, fd: int
) -> None:
    etag = store.put("k", b"old", {})
    store.put("k", b"new", {})
    proxy.add(Rule(kind="GET", status=206, headers={"etag": '"other"', "content-range": "bytes 0-2/3"}))

    assert isinstance(refused(lambda: store.read("k", Range(fd, 0, 3), 0, etag)), Changed)


def test_an_object_that_vanishes_in_the_middle_of_a_read_is_missing(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, fd: int
) -> None:
    store.put("k", os.urandom(2 * MIB), {})
    proxy.add(Rule(kind="GET", times=1, cut_answer=MIB))
    proxy.add(Rule(kind="GET", act=lambda _: engine.s3.delete_object(Bucket=bucket, Key="k")))

    assert isinstance(refused(lambda: store.read("k", Range(fd, 0, 2 * MIB), 0, None)), Missing)


def test_a_removal_that_the_engine_gets_to_late_takes_no_later_object_away(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    etag = store.put("k", b"old", {})
    held = threading.Event()
    proxy.add(Rule(kind="DELETE", times=1, hold=held))
    found: list[StoreError] = []
    late = threading.Thread(target=lambda: found.append(refused(lambda: store.delete("k", etag))))
    late.start()

    engine.s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    held.set()
    late.join(60)

    assert isinstance(found[0], Changed)
    assert engine.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"
    store.delete("k", store.head("k").etag)
    store.delete("k", etag)  # of what is gone
    with pytest.raises(Missing):
        store.head("k")


def test_an_engine_without_conditions_for_removals_is_asked_without(store: S3Store, proxy: fault.Proxy) -> None:
    etag = store.put("k", b"x", {})
    proxy.add(Rule(kind="DELETE", times=1, status=501, code="NotImplemented"))

    store.delete("k", etag)

    assert store.list("").objects == ()


@pytest.mark.parametrize("method", ["absent", "match"])
def test_an_own_write_whose_answer_was_lost_is_no_conflict(store: S3Store, proxy: fault.Proxy, method: str) -> None:
    etag = store.put("k", b"old", {}) if method == "match" else None
    proxy.add(Rule(kind="PUT", times=1, lose_answer=True))

    stored = store.put("k", b"new", {}, Condition(match=etag, absent=etag is None))

    assert store.get("k")[1] == b"new"
    assert stored == store.head("k").etag


def test_anothers_write_is_a_conflict_even_when_an_answer_was_lost(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    proxy.add(Rule(kind="PUT", times=1, cut_request=1))
    proxy.add(Rule(kind="PUT", act=lambda _: engine.s3.put_object(Bucket=bucket, Key="k", Body=b"their")))

    assert isinstance(refused(lambda: store.put("k", b"mine!", {}, Condition(absent=True))), Changed)


def test_a_completion_whose_answer_was_lost_is_recognised(store: S3Store, proxy: fault.Proxy, fd: int) -> None:
    body, data = filled(fd, MIB)
    upload = store.begin("k", {})
    upload.part(1, body)
    proxy.add(Rule(kind="POST", query="uploadId", times=1, lose_answer=True))

    etag = upload.complete(Condition(absent=True))

    assert store.get("k")[1] == data
    assert etag == store.head("k").etag


def test_an_error_behind_a_200_is_an_error(store: S3Store, proxy: fault.Proxy, fd: int) -> None:
    body, _ = filled(fd, MIB)
    upload = store.begin("k", {})
    upload.part(1, body)
    proxy.add(Rule(kind="POST", query="uploadId", status=200, code="InvalidPart"))

    assert refused(upload.complete).s3_code == "InvalidPart"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", errno.EACCES),
        (403, "InvalidAccessKeyId", errno.EACCES),
        (400, "ExpiredToken", errno.EACCES),
        (403, "QuotaExceeded", errno.EDQUOT),
        (400, "XMinioAdminBucketQuotaExceeded", errno.EDQUOT),
        (507, "InsufficientStorage", errno.ENOSPC),
        (507, "", errno.ENOSPC),
        (413, "EntityTooLarge", errno.EFBIG),
        (501, "NotImplemented", errno.ENOSYS),
        (307, "TemporaryRedirect", errno.EIO),
        (400, "InvalidRequest", errno.EIO),
        (500, "InternalError", errno.EIO),
    ],
)
def test_refusals_have_an_errno_that_says_what_to_do(
    store: S3Store, proxy: fault.Proxy, status: int, code: str, expected: int
) -> None:
    proxy.add(Rule(kind="PUT", status=status, code=code))

    assert refused(lambda: store.put("k", b"x", {})).errno == expected
    assert store.counters()["put"]["errors"] == 1


def test_an_engine_that_is_down_is_waited_for(
    make: Callable[..., S3Store], proxy: fault.Proxy, engine: s3engine.Engine
) -> None:
    store = make()
    proxy.down()
    done = threading.Event()
    writer = threading.Thread(target=lambda: (store.put("k", b"x", {}), done.set()))
    writer.start()
    assert not done.wait(1)
    assert store.down_since is not None

    proxy.up()

    assert done.wait(20)
    assert store.get("k")[1] == b"x"
    assert store.down_since is None


def test_patience_has_an_end_where_one_is_set(make: Callable[..., S3Store], proxy: fault.Proxy) -> None:
    store = make(patience=0.3)
    proxy.down()

    assert refused(lambda: store.put("k", b"x", {})).errno == errno.ETIMEDOUT


def test_a_silent_engine_is_given_up_after_the_timeout_and_asked_again(
    make: Callable[..., S3Store], proxy: fault.Proxy
) -> None:
    store = make(timeout=0.3)
    held = threading.Event()
    proxy.add(Rule(kind="PUT", times=1, hold=held))

    store.put("k", b"x", {})
    held.set()

    assert store.counters()["put"]["retries"] >= 1


def test_a_slow_engine_is_no_dead_one(make: Callable[..., S3Store], proxy: fault.Proxy, fd: int) -> None:
    store = make(timeout=2.0, patience=4.0)
    data = os.urandom(MIB)
    store.put("k", data, {})
    proxy.add(Rule(kind="GET", throttle=MIB // 3))

    store.read("k", Range(fd, 0, MIB), 0, None)

    assert os.pread(fd, MIB, 0) == data
    assert store.counters()["get"]["retries"] == 0


def test_a_reader_that_moves_on_between_breaks_does_not_lose_patience(
    make: Callable[..., S3Store], proxy: fault.Proxy, fd: int
) -> None:
    store = make(patience=0.2)
    data = os.urandom(2 * MIB)
    store.put("k", data, {})
    proxy.add(Rule(kind="GET", times=15, cut_answer=100_000))

    store.read("k", Range(fd, 0, 2 * MIB), 0, None)

    assert os.pread(fd, 2 * MIB, 0) == data


def test_close_frees_who_waits(make: Callable[..., S3Store], proxy: fault.Proxy) -> None:
    store = make()
    held = threading.Event()
    proxy.add(Rule(key="silent", hold=held))
    errors: list[int | None] = []

    def ask(key: str) -> None:
        try:
            store.head(key)
        except StoreError as error:
            errors.append(error.errno)

    waiters = [threading.Thread(target=ask, args=("silent",))]
    waiters[0].start()
    while not proxy.calls:
        time.sleep(0.01)
    proxy.down()
    waiters.append(threading.Thread(target=ask, args=("down",)))
    waiters[1].start()
    store.close()
    for each in waiters:
        each.join(20)
    held.set()

    assert errors == [errno.ESHUTDOWN] * 2


# Keys.


def test_a_rotated_key_is_read_anew_and_nobody_notices(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, key_file: Path
) -> None:
    write_key(key_file, "old", "key")
    store.rekey()
    write_key(key_file, engine.access, engine.secret)

    store.put("k", b"x", {})

    assert store.get("k")[1] == b"x"
    assert store.counters()["put"]["errors"] == 0


def test_a_wrong_key_is_refused_after_it_was_tried_once_more(
    store: S3Store, engine: s3engine.Engine, key_file: Path
) -> None:
    write_key(key_file, engine.access, "wrong")
    store.rekey()

    for call in (lambda: store.put("k", b"x", {}), lambda: store.head("k"), lambda: store.list("")):
        assert refused(call).errno == errno.EACCES
    assert store.counters()["put"]["retries"] == 2


def test_a_key_that_comes_while_the_old_one_is_refused_is_taken(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, key_file: Path
) -> None:
    write_key(key_file, engine.access, "revoked")
    store.rekey()
    proxy.add(Rule(kind="PUT", times=1))
    proxy.add(Rule(kind="PUT", act=lambda _: write_key(key_file, engine.access, engine.secret) and None))

    store.put("k", b"x", {})


def test_a_half_written_key_file_changes_nothing(store: S3Store, key_file: Path) -> None:
    for broken in ("", "{", '{"AWS_ACCESS_KEY_ID": "x"}', "[]"):
        key_file.write_text(broken)
        assert store.rekey() is False
    store.put("k", b"x", {})


# Clocks.


@pytest.mark.parametrize("kind", ["PUT", "HEAD"])
def test_a_wrong_clock_is_corrected_by_the_engines(store: S3Store, proxy: fault.Proxy, kind: str) -> None:
    ahead = 7200.0
    skewed = {
        "status": 403,
        "code": "RequestTimeTooSkewed",
        "headers": {"date": formatdate(time.time() + ahead, usegmt=True)},
    }
    store.put("k", b"x", {})
    proxy.clear()
    proxy.add(Rule(kind=kind, times=1, **skewed))

    def back(request: fault.Request) -> None:
        stamps.append(request.headers["x-amz-date"])

    stamps: list[str] = []
    right = {"status": 403, "code": "RequestTimeTooSkewed", "headers": {"date": formatdate(usegmt=True)}}
    proxy.add(Rule(kind=kind, times=1, act=back, **right))

    if kind == "PUT":
        store.put("k", b"y", {})
    else:
        store.head("k")

    expected = time.strftime("%Y%m%dT%H", time.gmtime(time.time() + ahead))
    assert stamps[0].startswith(expected)


# What is stored.


def test_bytes_that_change_on_their_way_are_sent_again(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, fd: int
) -> None:
    body, _ = filled(fd, 3 * MIB)
    proxy.add(Rule(kind="PUT", times=1, act=lambda _: os.pwrite(fd, b"changed", 2 * MIB) and None))

    store.put("k", body, {})

    assert engine.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == os.pread(fd, 3 * MIB, 0)


def test_an_answer_that_proves_other_bytes_is_not_believed(store: S3Store, proxy: fault.Proxy) -> None:
    proxy.add(Rule(kind="PUT", edit=lambda headers: headers.update({"x-amz-checksum-crc32": "AAAAAA=="})))

    assert refused(lambda: store.put("k", b"x", {})).errno == errno.EIO


def test_without_a_checksum_in_the_answer_the_etag_proves_it(store: S3Store, proxy: fault.Proxy, fd: int) -> None:
    def mute(headers: dict[str, str]) -> None:
        headers.pop("x-amz-checksum-crc32", None)

    def lie(headers: dict[str, str]) -> None:
        mute(headers)
        headers["etag"] = '"' + "0" * 32 + '"'

    body, _ = filled(fd, MIB)
    proxy.add(Rule(kind="PUT", key="k", edit=mute))
    proxy.add(Rule(kind="PUT", key="lie", edit=lie))
    for _ in range(2):
        store.put("k", body, {})

    assert {each.kind for each in proxy.calls} == {"PUT"}
    assert all("content-md5" in each.headers for each in proxy.calls)
    assert refused(lambda: store.put("lie", body, {})).errno == errno.EIO


@pytest.mark.parametrize("mute", [False, True], ids=["by-its-sum", "by-its-etag"])
def test_a_part_is_known_to_be_the_files_until_the_file_changes(
    store: S3Store, proxy: fault.Proxy, fd: int, mute: bool
) -> None:
    if mute:
        proxy.add(Rule(kind="PUT", edit=lambda headers: headers.pop("x-amz-checksum-crc32", None) and None))
    body, _ = filled(fd, 3 * MIB)
    upload = store.begin("k", {})
    upload.part(1, body)

    assert upload.same(1, body)
    assert not upload.same(1, Range(fd, 0, MIB))
    assert not upload.same(2, body)
    os.pwrite(fd, b"another", 2 * MIB)
    assert not upload.same(1, body)
    upload.abort()


def test_a_part_that_its_etag_proves_is_sent_once(store: S3Store, proxy: fault.Proxy, fd: int) -> None:
    """AIStore 1.4 cannot complete an upload that got one part twice."""
    proxy.add(Rule(kind="PUT", edit=lambda headers: headers.pop("x-amz-checksum-crc32", None) and None))
    body, _ = filled(fd, 3 * MIB)
    upload = store.begin("k", {})
    upload.part(1, body)
    upload.part(2, Range(fd, 0, 1))
    upload.abort()

    assert [each.kind for each in proxy.calls].count("PUT") == 2


def test_a_part_of_an_engine_that_proves_nothing_is_not_known(store: S3Store, proxy: fault.Proxy, fd: int) -> None:
    def opaque(headers: dict[str, str]) -> None:
        headers.pop("x-amz-checksum-crc32", None)
        headers["etag"] = '"opaque"'

    proxy.add(Rule(kind="PUT", edit=opaque))
    body, _ = filled(fd, MIB)
    upload = store.begin("k", {})
    upload.part(1, body)

    assert not upload.same(1, body)
    upload.abort()


def test_parts_are_proved_by_md5_where_the_engine_takes_no_sums_of_them(
    store: S3Store, proxy: fault.Proxy, fd: int
) -> None:
    body, data = filled(fd, MIB)
    proxy.add(Rule(kind="PUT", query="partNumber", times=1, status=400, code="InvalidRequest"))
    upload = store.begin("k", {})

    upload.part(1, body)
    upload.part(1, body)
    upload.complete()

    assert store.get("k")[1] == data
    first, *later = [each.headers for each in proxy.calls if "partNumber" in each.query]
    assert "x-amz-checksum-crc32" in first
    assert [("content-md5" in each, "x-amz-checksum-crc32" in each) for each in later] == [(True, False)] * 2


def test_without_either_the_size_must_do(store: S3Store, proxy: fault.Proxy) -> None:
    def opaque(headers: dict[str, str]) -> None:
        headers.pop("x-amz-checksum-crc32", None)
        headers["etag"] = '"opaque"'

    proxy.add(Rule(kind="PUT", edit=opaque))

    assert store.put("k", b"x", {}) == "opaque"
    assert proxy.count() == {"PUT": 1, "HEAD": 1}


def test_a_file_that_becomes_shorter_while_it_is_sent_is_an_error_and_no_endless_loop(store: S3Store, fd: int) -> None:
    body, _ = filled(fd, MIB)
    os.ftruncate(fd, 10)

    assert refused(lambda: store.put("k", body, {})).errno == errno.EIO


def test_a_closed_file_is_an_error_and_no_endless_loop(store: S3Store, tmp_path: Path) -> None:
    gone = os.open(tmp_path / "gone", os.O_RDWR | os.O_CREAT)
    os.close(gone)

    assert refused(lambda: store.put("k", Range(gone, 0, 10), {})).errno == errno.EBADF


def test_a_full_disk_is_told_as_it_is(store: S3Store) -> None:
    store.put("k", b"x" * 100, {})
    full = os.open("/dev/full", os.O_WRONLY)

    with pytest.raises(OSError) as found:
        store.read("k", Range(full, 0, 100), 0, None)
    os.close(full)

    assert found.value.errno in (errno.ENOSPC, errno.ESPIPE)


def test_a_small_file_costs_one_call(store: S3Store, proxy: fault.Proxy) -> None:
    store.put("k", b"", {"mode": "33188"}, Condition(absent=True))

    assert proxy.count() == {"PUT": 1}


def test_one_connection_serves_one_thread(store: S3Store, proxy: fault.Proxy, fd: int) -> None:
    store.put("k", b"0123456789", {})
    for start in range(8):
        store.read("k", Range(fd, 0, 2), start, None)
        store.get("k")
        store.head("k")
        store.list("")

    assert proxy.connections == 1


def test_deleting_many_where_the_engine_cannot_is_done_one_by_one(store: S3Store, proxy: fault.Proxy) -> None:
    for key in ("a", "b"):
        store.put(key, b"", {})
    proxy.add(Rule(kind="POST", status=501, code="NotImplemented"))

    store.delete_many(["a", "b"])

    assert store.list("").objects == ()


def test_what_is_no_http_is_not_believed(make: Callable[..., S3Store], engine: s3engine.Engine) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def babble() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            client.close()

    threading.Thread(target=babble, daemon=True).start()
    store = make(endpoint=f"http://127.0.0.1:{port}", patience=0.2)

    assert refused(lambda: store.head("k")).errno == errno.ETIMEDOUT
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
