"""A real mount while the engine, the network or somebody else misbehaves: nothing is lost, nobody hangs for ever."""

import errno
import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import fault
import pytest
import s3engine
from fault import Rule
from fusemount import Mount
from weather import admin, body, read, refusal, take_key, with_keys, write

Mounting = Callable[..., Mount]
MIB = 1 << 20
DOWN = float(os.environ.get("MOORFS_DOWN_SECONDS", "3"))
KINDS = pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])


@KINDS
def test_writers_wait_for_an_engine_that_is_down_and_go_on(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, passthrough: bool
) -> None:
    made = mount(endpoint=proxy.endpoint, passthrough=passthrough)
    made.do(lambda: write("before", b"1"))
    proxy.down()

    writers = [made.begin(lambda name=name: write(name, name.encode() * MIB)) for name in ("a", "b")]
    with pytest.raises(TimeoutError):
        writers[0].result(DOWN)
    told = made.ask("stats")
    proxy.up()
    for each in writers:
        each.result()

    assert told["downSince"] is not None
    assert (body(engine, bucket, "a"), body(engine, bucket, "b")) == (b"a" * MIB, b"b" * MIB)


def test_a_deadline_ends_the_waiting_and_the_bytes_are_stored_later(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(endpoint=proxy.endpoint, down_seconds=1.0)
    made.do(lambda: write("before", b"1"))

    def broken_close() -> int:
        fd = os.open("before", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"2")
        go.wait(60)
        return refusal(lambda: os.close(fd))

    go = multiprocessing.Event()
    writer = made.begin(broken_close)
    time.sleep(0.5)
    proxy.down()
    go.set()
    error = writer.result()
    proxy.up()

    assert error in (errno.EIO, errno.ETIMEDOUT)
    end = time.monotonic() + 60
    while body(engine, bucket, "before") != b"12":
        assert time.monotonic() < end, made.ask("stats")
        time.sleep(0.1)


@KINDS
def test_throttling_and_broken_answers_are_not_seen(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, passthrough: bool
) -> None:
    data = os.urandom(5 * MIB)
    engine.s3.put_object(Bucket=bucket, Key="old", Body=data)
    for rule in (
        Rule(times=3, status=503, code="SlowDown"),
        Rule(kind="GET", times=3, cut_answer=100_000),
        Rule(kind="PUT", times=2, lose_answer=True),
        Rule(kind="LIST", times=2, cut_answer=20),
        Rule(kind="PUT", times=2, cut_request=50_000),
        Rule(kind="HEAD", times=2, status=500),
    ):
        proxy.add(rule)
    made = mount(endpoint=proxy.endpoint, passthrough=passthrough)

    def work() -> bytes:
        os.mkdir("d")
        write("d/new", data[::-1])
        os.rename("d/new", "d/newer")
        os.chmod("d/newer", 0o600)
        return read("old")

    assert made.do(work, 60) == data
    assert body(engine, bucket, "d/newer") == data[::-1]


def test_an_object_that_somebody_changes_is_never_read_mixed(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    old, new = b"o" * 40 * MIB, b"n" * 40 * MIB
    engine.s3.put_object(Bucket=bucket, Key="k", Body=old)
    made = mount(endpoint=proxy.endpoint)
    changed = threading.Event()

    def change(_: fault.Request) -> None:
        if not changed.is_set():
            changed.set()
            engine.s3.put_object(Bucket=bucket, Key="k", Body=new)

    proxy.add(Rule(kind="GET", key="k", skip=2, act=change))

    def work() -> tuple[set[bytes], int]:
        seen: set[bytes] = set()
        fd = os.open("k", os.O_RDONLY)
        try:
            for offset in range(0, 40 * MIB, MIB):
                piece = os.pread(fd, MIB, offset)
                seen |= {piece[:1], piece[-1:]}
        except OSError as error:
            return seen, error.errno or -1
        finally:
            os.close(fd)
        return seen, 0

    seen, error = made.do(work, 60)

    assert (seen, error) in [({b"o"}, errno.ESTALE), ({b"o"}, errno.EIO), ({b"o"}, 0), ({b"n"}, 0)]

    def again() -> bytes:
        end = time.monotonic() + 60
        while True:
            try:
                if (found := read("k")) == new or time.monotonic() > end:
                    return found
            except OSError:
                assert time.monotonic() < end
            time.sleep(0.05)

    assert made.do(again, 60) == new


def test_an_object_that_vanishes_under_a_reader_is_an_error_and_no_hang(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    engine.s3.put_object(Bucket=bucket, Key="k", Body=b"o" * 40 * MIB)
    made = mount(endpoint=proxy.endpoint)
    proxy.add(Rule(kind="GET", key="k", skip=2, act=lambda _: engine.s3.delete_object(Bucket=bucket, Key="k") and None))

    def work() -> int:
        fd = os.open("k", os.O_RDONLY)
        found = refusal(lambda: [os.pread(fd, MIB, offset) for offset in range(0, 40 * MIB, MIB)])
        os.close(fd)
        return found

    assert made.do(work, 60) in (0, errno.ESTALE, errno.EIO, errno.ENOENT)


@pytest.mark.parametrize("keys", ["wrong", "revoked"])
def test_a_wrong_key_is_an_error_that_a_new_key_ends_without_a_remount(
    mount: Mounting, engine: s3engine.Engine, bucket: str, keys: str
) -> None:
    made = mount()
    good = Path(made.settings.key_file).read_bytes()
    made.do(lambda: write("before", b"1"))
    bad = {"AWS_ACCESS_KEY_ID": engine.access if keys == "wrong" else "revoked", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    Path(made.settings.key_file).write_text(json.dumps(bad))
    assert made.ask("rekey")["changed"] is True

    refused = made.do(lambda: refusal(lambda: write("new", b"2")), 60)
    Path(made.settings.key_file).write_bytes(good)
    made.ask("rekey")
    made.do(lambda: write("newer", b"3"), 60)

    assert refused in (errno.EACCES, errno.EIO)
    assert body(engine, bucket, "newer") == b"3"


def test_keys_rotate_under_load_and_nobody_notices(tmp_path: Path) -> None:
    with with_keys(tmp_path) as (made, engine, port):
        _rotate(made, engine, port)


def _rotate(made: Mount, engine: s3engine.Engine, port: int) -> None:
    stop = made.home / "stop"

    def load(writer: int) -> int:
        number = 0
        while not number or not stop.exists():
            name = f"{writer}-{number % 20}"
            write(name, str(number).encode())
            assert read(name) == str(number).encode()
            number += 1
        return number

    writers = [made.begin(lambda writer=writer: load(writer)) for writer in range(2)]
    for turn in range(10):
        assert take_key(made, engine, port, f"key-{turn}")
        if turn:
            admin(engine, port, "delete-user", access=f"key-{turn - 1}")
        time.sleep(0.1)
    stop.touch()

    assert all(each.result() for each in writers)


def test_a_bucket_that_is_deleted_is_an_error_and_not_an_empty_folder(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(ttl=0.1)
    made.do(lambda: write("k", b"1"))
    engine.s3.delete_object(Bucket=bucket, Key="k")
    engine.s3.delete_bucket(Bucket=bucket)
    time.sleep(0.3)

    def work() -> tuple[int, int]:
        return refusal(lambda: os.listdir(".")), refusal(lambda: write("new", b"2"))

    listing, writing = made.do(work, 60)

    assert (listing, writing) == (errno.EIO, errno.EIO)


def test_a_wrong_clock_is_not_seen(mount: Mounting, proxy: fault.Proxy) -> None:
    headers = {"date": formatdate(time.time() + 7200, usegmt=True)}
    back = {"date": formatdate(usegmt=True)}
    made = mount(endpoint=proxy.endpoint)
    proxy.add(Rule(times=1, status=403, code="RequestTimeTooSkewed", headers=headers))
    proxy.add(Rule(times=1, status=403, code="RequestTimeTooSkewed", headers=back))

    made.do(lambda: write("k", b"1"), 60)

    assert made.do(lambda: read("k"), 60) == b"1"


def test_names_that_no_engine_holds_are_clean_errors(mount: Mounting) -> None:
    made = mount()

    def work() -> list[int]:
        write("file", b"")
        names = (b"\xff\xfe", b"n" * 255, b"file/below", b"x\ny")
        return [refusal(lambda name=name: write(os.fsdecode(name), b"1")) for name in names]

    not_utf8, longest, below, newline = made.do(work, 60)

    assert not_utf8 in (errno.EILSEQ, errno.EINVAL)
    assert longest in (0, errno.ENAMETOOLONG)
    assert below == errno.ENOTDIR
    assert newline in (0, errno.EINVAL)


def test_keys_that_no_file_system_holds_are_left_out_and_break_nothing(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    for key in ("ok", "d/ok", "sp ace", "\u00fc"):
        engine.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    # versitygw refuses most such keys; what it takes is listed
    for key in ("a//b", "../up", "x/../y", "k" * 1024, "\u202e"):
        try:
            engine.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        except engine.s3.exceptions.ClientError:
            continue
    made = mount()

    seen = made.do(lambda: sorted(os.path.join(where, name) for where, _, names in os.walk(".") for name in names), 60)

    assert {"./ok", "./d/ok", "./sp ace", "./\u00fc"} <= set(seen)


def test_a_full_engine_is_told_and_nothing_is_lost(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(endpoint=proxy.endpoint)
    rule = proxy.add(Rule(kind="PUT", key="k", status=507, code="QuotaExceeded"))

    refused = made.do(lambda: refusal(lambda: write("k", b"kept")), 60)
    seen = made.do(lambda: read("k"), 60)
    rule.times = 0
    made.ask("store", seconds=60)

    assert refused in (errno.EDQUOT, errno.ENOSPC)
    assert seen == b"kept"
    assert body(engine, bucket, "k") == b"kept"


def test_a_completion_that_died_with_the_engine_is_done_anew_though_the_engine_says_it_was_done(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(endpoint=proxy.endpoint, multipart_from=5 * MIB, part_size=5 * MIB, early=False)
    data = os.urandom(12 * MIB)
    sums = [hashlib.md5(data[at : at + 5 * MIB]).digest() for at in range(0, len(data), 5 * MIB)]  # noqa: S324

    def die(request: fault.Request) -> None:
        """As a versitygw that is killed within a completion leaves the upload."""
        (there,) = (engine.home / "data" / bucket).glob(f".sgwtmp/multipart/*/{request.query.partition('=')[2]}")
        etag = f"{hashlib.md5(b''.join(sums)).hexdigest()}-{len(sums)}"  # noqa: S324
        there.rename(f"{there}.{etag}.inprogress")

    proxy.add(Rule(kind="POST", query="uploadId", times=1, act=die, cut_request=0))

    made.do(lambda: write("k", data))

    assert body(engine, bucket, "k") == data


@pytest.mark.parametrize("state", ["down", "silent"])
def test_the_end_of_a_mount_frees_its_callers_and_what_they_wrote_is_stored_when_the_engine_is_back(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, state: str
) -> None:
    made = mount(endpoint=proxy.endpoint)
    made.do(lambda: write("before", b"1"))
    held = threading.Event()
    if state == "down":
        proxy.down()
    else:
        proxy.add(Rule(kind="PUT", hold=held))
    caller = made.begin(lambda: refusal(lambda: write("before", b"2")))
    time.sleep(1)

    made.abort()
    freed = caller.result()
    held.set()
    if state == "down":
        proxy.up()

    assert freed != 0
    assert made.server
    assert made.server.wait(60) == 0
    assert body(engine, bucket, "before") == b"2"
