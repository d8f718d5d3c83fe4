"""A mount whose engine is down, refuses the key or loses the bucket: callers wait or get an error, and nobody hangs."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3engine

Mounting = Callable[..., Any]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[s3engine.Engine]:
    """One that a test may stop."""
    with s3engine.running(tmp_path / "engine") as found:
        yield found


def _until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def _object(engine: s3engine.Engine, bucket: str, key: str) -> bytes:
    return bytes(engine.s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def _wrong(work: Callable[[], object]) -> int | None:
    try:
        work()
    except OSError as error:
        return error.errno
    return 0


def test_writers_and_readers_wait_for_an_engine_that_is_down(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    engine.s3.put_object(Bucket=bucket, Key="old", Body=b"there")
    made = mount()
    made.do(lambda: os.mkdir("d"))
    engine.stop()
    writers = [made.begin(lambda number=number: Path(f"d/{number}").write_bytes(b"%d" % number)) for number in range(5)]
    reader = made.begin(lambda: Path("old").read_bytes())
    time.sleep(2)
    assert all(each.running for each in (*writers, reader))

    engine.start()

    assert [each.result(60) for each in writers] == [1] * 5
    assert reader.result(60) == b"there"
    assert [_object(engine, bucket, f"d/{number}") for number in range(5)] == [b"%d" % each for each in range(5)]


@pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])
def test_who_has_a_cached_file_open_reads_on_while_the_engine_is_down(
    mount: Mounting, engine: s3engine.Engine, bucket: str, passthrough: bool
) -> None:
    data = os.urandom(3 << 20)
    engine.s3.put_object(Bucket=bucket, Key="old", Body=data)
    made = mount(passthrough=passthrough, ttl=0.2)

    def read() -> list[bool]:
        with open("old", "rb", buffering=0) as file:
            seen = [file.read() == data]
            Path(made.home / "read").touch()
            while not (made.home / "stopped").exists():
                time.sleep(0.01)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(0)
            return [*seen, b"".join(iter(lambda: file.read(1 << 20), b"")) == data]

    reader = made.begin(read)
    _until((made.home / "read").exists)
    engine.stop()
    time.sleep(0.5)  # nothing is believed any more
    (made.home / "stopped").touch()

    assert reader.result(60) == [True, True]
    engine.start()


def test_more_callers_than_threads_wait_and_all_go_on(mount: Mounting, engine: s3engine.Engine) -> None:
    made = mount(threads=2, most_threads=4)
    made.do(lambda: [os.mkdir(f"d{number}") for number in range(10)])
    engine.stop()
    callers = [made.begin(lambda number=number: Path(f"d{number}/f").write_bytes(b"x")) for number in range(10)]
    time.sleep(1)

    engine.start()

    assert [each.result(60) for each in callers] == [1] * 10


def test_who_is_killed_while_the_engine_is_down_is_gone_at_once_and_nothing_is_lost(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount()

    def write() -> None:
        with open("f", "wb", buffering=0) as file:
            file.write(b"before the kill")
            Path(made.home / "written").touch()
            while not (made.home / "stopped").exists():
                time.sleep(0.01)

    writer = made.begin(write)
    _until((made.home / "written").exists)
    engine.stop()
    (made.home / "stopped").touch()
    _until(lambda: made.ask("stats")["underWay"] == 1)

    os.kill(writer.pid, signal.SIGKILL)
    writer.kill()
    assert writer.ended  # while the engine is down
    engine.start()

    assert made.ask("store", seconds=60) == {"code": "OK", "stored": True, "unsaved": []}
    assert _object(engine, bucket, "f") == b"before the kill"


def _ends_with_an_open_file(made: Any, engine: s3engine.Engine, how: str) -> Any:
    """A writer that has written and not closed when the engine goes, and then ends."""

    def write() -> None:
        file = os.open("f", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"before the end")
        Path(made.home / "written").touch()
        while not (made.home / "stopped").exists():
            time.sleep(0.01)
        if how == "exits":
            os._exit(0)
        os.kill(os.getpid(), signal.SIGTERM)

    writer = made.begin(write)
    _until((made.home / "written").exists)
    engine.stop()
    (made.home / "stopped").touch()
    _until(lambda: made.ask("stats")["underWay"] == 1)
    return writer


@pytest.mark.parametrize("how", ["exits", "SIGTERM"])
def test_who_has_ended_while_the_engine_is_down_is_gone_soon_and_nothing_is_lost(
    mount: Mounting, engine: s3engine.Engine, bucket: str, how: str
) -> None:
    """The kernel closes its files, and gives it no signal any more, SIGKILL neither."""
    made = mount(ended_seconds=0.2)
    writer = _ends_with_an_open_file(made, engine, how)

    writer.kill()
    assert writer.ended  # while the engine is down
    engine.start()

    assert made.ask("store", seconds=60) == {"code": "OK", "stored": True, "unsaved": []}
    assert _object(engine, bucket, "f") == b"before the end"


def test_who_has_ended_waits_for_an_engine_that_comes_back(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    """A Job whose program closes nothing has ended only when all is stored."""
    made = mount(ended_seconds=3600)
    writer = _ends_with_an_open_file(made, engine, "exits")

    engine.start()

    with pytest.raises(ChildProcessError):  # it says nothing, and has gone
        writer.result()
    assert _object(engine, bucket, "f") == b"before the end"


def test_after_the_deadline_callers_get_an_error_and_the_bytes_are_stored_later(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(down_seconds=0.5)

    def write() -> int | None:
        file = os.open("f", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"kept")
        Path(made.home / "written").touch()
        while not (made.home / "stopped").exists():
            time.sleep(0.01)
        return _wrong(lambda: os.close(file))

    writer = made.begin(write)
    _until((made.home / "written").exists)
    engine.stop()
    (made.home / "stopped").touch()

    assert writer.result() == errno.ETIMEDOUT
    assert made.ask("store", seconds=0.2)["unsaved"] == ["f"]
    assert made.do(lambda: Path("f").read_bytes()) == b"kept"
    made.replace()  # it is not lost with the process
    engine.start()
    _until(lambda: made.ask("store", seconds=5)["stored"], 60)
    assert _object(engine, bucket, "f") == b"kept"


def test_a_wrong_key_is_refused_and_another_one_works_without_a_new_mount(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount()
    made.do(lambda: Path("f").write_bytes(b"x"))
    key = Path(made.settings.key_file)
    good = key.read_text()
    key.write_text(json.dumps({"AWS_ACCESS_KEY_ID": engine.access, "AWS_SECRET_ACCESS_KEY": "revoked"}))
    assert made.ask("rekey") == {"code": "OK", "changed": True}

    assert made.do(lambda: _wrong(lambda: Path("g").write_bytes(b"y"))) in (errno.EACCES, errno.EPERM)
    key.write_text(good)
    assert made.ask("rekey") == {"code": "OK", "changed": True}
    made.do(lambda: Path("g").write_bytes(b"y"))

    assert _object(engine, bucket, "g") == b"y"
    assert "revoked" not in made.log
    assert engine.secret not in made.log


def test_a_bucket_that_is_deleted_under_a_mount_is_a_clean_error(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount()
    made.do(lambda: os.listdir("."))
    engine.s3.delete_bucket(Bucket=bucket)
    time.sleep(1.2)

    assert made.do(lambda: _wrong(lambda: os.listdir("."))) not in (0, None)
    assert made.do(lambda: _wrong(lambda: Path("f").write_bytes(b"x"))) not in (0, None)
    assert "Traceback" not in made.log


def test_what_other_tools_change_is_seen_within_the_time_of_belief(
    mount: Mounting, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(ttl=1.0)
    made.do(lambda: Path("f").write_bytes(b"ours"))
    engine.s3.put_object(Bucket=bucket, Key="f", Body=b"another's text")
    engine.s3.put_object(Bucket=bucket, Key="new/file", Body=b"new")
    time.sleep(1.3)

    assert made.do(lambda: Path("f").read_bytes()) == b"another's text"
    assert made.do(lambda: sorted(os.listdir("."))) == ["f", "new"]
    engine.s3.delete_object(Bucket=bucket, Key="f")
    time.sleep(1.3)
    assert made.do(lambda: _wrong(lambda: os.stat("f"))) == errno.ENOENT
