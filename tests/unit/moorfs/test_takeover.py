"""kill -9 of moorfs under readers, writers and renamers: another process goes on, and nobody gets an error."""

import errno
import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3engine import Engine

Mounting = Callable[..., Any]
MiB = 1 << 20
both = pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])


def _stored(engine: Engine, bucket: str, key: str) -> bytes | None:
    s3 = engine.s3
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None


def _kill(made: Any, job: Any, every: float, deaths: int) -> None:
    """Kill and replace the server so often, while the job runs, and let it come to its end then."""
    for _ in range(deaths):
        time.sleep(every)
        assert job.running, job.result()
        made.replace()
    _told(made).touch()


def _told(made: Any) -> Path:
    """Is there when the server was killed often enough."""
    return Path(made.home / "killed-enough")


@both
def test_a_reader_goes_on(mount: Mounting, engine: Engine, bucket: str, passthrough: bool) -> None:
    data = os.urandom(48 * MiB)
    engine.s3.put_object(Bucket=bucket, Key="big", Body=data)
    made = mount(passthrough=passthrough)

    def read() -> str:
        found, enough = hashlib.sha256(), False
        with open("big", "rb", buffering=0) as file:
            while not enough:  # once whole after the last death, too
                enough, found = _told(made).exists(), hashlib.sha256()
                file.seek(0)
                while piece := file.read(256 << 10):
                    found.update(piece)
                    time.sleep(0.005)
                assert found.digest() == wanted
        return found.hexdigest()

    wanted = hashlib.sha256(data).digest()
    reader = made.begin(read)
    _kill(made, reader, 0.3, deaths=3)

    assert reader.result() == wanted.hex()


@both
@pytest.mark.parametrize("size", [5000, 24 * MiB], ids=["whole", "in blocks"])
def test_a_file_that_is_open_shows_its_size_after_a_takeover(
    mount: Mounting, engine: Engine, bucket: str, passthrough: bool, size: int
) -> None:
    engine.s3.put_object(Bucket=bucket, Key="big", Body=os.urandom(size))
    made = mount(passthrough=passthrough)

    def look() -> tuple[int, int, int]:
        with open("big", "rb", buffering=0) as file:
            file.read(1000)
            (made.home / "open").touch()
            while not _told(made).exists():
                time.sleep(0.01)
            os.chmod("big", 0o600)  # the kernel asks again now
            return os.fstat(file.fileno()).st_size, os.stat("big").st_size, len(file.read())

    looker = made.begin(look)
    while not (made.home / "open").exists():
        assert looker.running, looker.result()
        time.sleep(0.005)
    _kill(made, looker, 0, deaths=1)

    assert looker.result() == (size, size, size - 1000)


@both
def test_a_writer_goes_on_and_its_close_means_stored(
    mount: Mounting, engine: Engine, bucket: str, passthrough: bool
) -> None:
    made = mount(passthrough=passthrough)

    def write() -> str:
        dice, sums = random.Random(4), hashlib.sha256()  # noqa: S311
        with open("f", "wb", buffering=0) as file:
            number = 0
            while number < 200 or not _told(made).exists():
                piece = dice.randbytes(100_000)
                sums.update(piece)
                assert file.write(piece) == len(piece)
                if number % 50 == 49:
                    os.fsync(file.fileno())
                time.sleep(0.005)
                number += 1
        return sums.hexdigest()

    writer = made.begin(write)
    _kill(made, writer, 0.3, deaths=3)

    wanted = writer.result()
    made.kill()
    assert hashlib.sha256(_stored(engine, bucket, "f") or b"").hexdigest() == wanted


@both
@pytest.mark.parametrize("after", [0.02, 0.15])
def test_a_close_that_is_cut_short_is_finished_by_the_next(
    mount: Mounting, engine: Engine, bucket: str, passthrough: bool, after: float
) -> None:
    made = mount(passthrough=passthrough)
    data = os.urandom(1 * MiB) * 96

    def write() -> None:
        with open("f", "wb", buffering=0) as file:
            file.write(data)
            Path(made.home / "written").touch()

    writer = made.begin(write)
    while writer.running and not (made.home / "written").exists():
        time.sleep(0.001)
    time.sleep(after)
    made.replace()

    writer.result()
    made.kill()
    assert _stored(engine, bucket, "f") == data


@pytest.mark.parametrize("early", [True, False], ids=["early", "at-close"])
def test_an_upload_in_parts_that_is_cut_short_leaves_none_behind(
    mount: Mounting, engine: Engine, bucket: str, early: bool
) -> None:
    made = mount(early=early, multipart_from=16 * MiB)
    piece = random.Random(5).randbytes(MiB)  # noqa: S311

    def write() -> None:
        with open("big", "wb") as file:
            for _ in range(96):
                file.write(piece)

    def noted() -> list[str]:
        return os.listdir(str(made.cache / "uploads"))

    def left() -> list[Any]:
        return [*engine.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()), *noted()]

    writer = made.begin(write)
    while writer.running and not noted():
        time.sleep(0.001)
    made.replace()
    writer.result()

    end = time.monotonic() + 60
    while left() and time.monotonic() < end:
        time.sleep(0.05)
    assert left() == []
    assert _stored(engine, bucket, "big") == piece * 96


@both
@pytest.mark.parametrize("size", [0, 4096, 24 * MiB])
def test_what_close_acknowledged_is_stored_before_a_kill(
    mount: Mounting, engine: Engine, bucket: str, passthrough: bool, size: int
) -> None:
    made = mount(passthrough=passthrough)
    data = os.urandom(size)

    made.do(lambda: Path("f").write_bytes(data))
    made.kill()

    assert _stored(engine, bucket, "f") == data


@both
def test_what_fsync_acknowledged_is_stored_before_a_kill(
    mount: Mounting, engine: Engine, bucket: str, passthrough: bool
) -> None:
    made = mount(passthrough=passthrough)

    def write() -> None:
        with open("f", "wb", buffering=0) as file:
            file.write(b"synced")
            os.fsync(file.fileno())
            Path(made.home / "synced").touch()
            time.sleep(300)

    made.begin(write)
    while not (made.home / "synced").exists():
        time.sleep(0.005)
    made.kill()

    assert _stored(engine, bucket, "f") == b"synced"


@both
def test_a_storm_of_names_sees_no_error(mount: Mounting, passthrough: bool) -> None:
    made = mount(passthrough=passthrough)
    made.do(lambda: [os.mkdir(f"d{number}") for number in range(4)])

    def storm(number: int) -> int:
        os.chdir(f"d{number}")
        rounds = 0
        while not rounds or not _told(made).exists():
            name = f"f{rounds}"
            file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(file, name.encode())
            os.close(file)
            os.rename(name, name + "-new")
            os.mkdir(name)
            os.symlink(name, "link")
            assert sorted(os.listdir(".")) == sorted([name, name + "-new", "link"])
            os.unlink("link")
            os.rmdir(name)
            assert Path(name + "-new").read_text() == name
            os.unlink(name + "-new")
            rounds += 1
        return rounds

    storms = [made.begin(lambda number=number: storm(number)) for number in range(4)]
    _kill(made, storms[0], 1.0, deaths=5)

    assert all(each.result() for each in storms)
    assert "Traceback" not in made.log


@both
def test_open_handles_folders_and_unlinked_files_survive(mount: Mounting, passthrough: bool) -> None:
    made = mount(passthrough=passthrough)

    def work() -> tuple[Any, ...]:
        Path("kept").write_bytes(b"0123456789")
        os.mkdir("d")
        os.chdir("d")
        Path("x").touch()
        folder = os.open(".", os.O_RDONLY)
        with open("gone", "w+b", buffering=0) as gone, open("../kept", "r+b", buffering=0) as kept:
            gone.write(b"unlinked")
            os.unlink("gone")
            Path(made.home / "ready").touch()
            while not (made.home / "replaced").exists():
                time.sleep(0.01)
            gone.write(b" and written")
            kept.seek(5)
            kept.write(b"-after")
            os.rename("../kept", "moved")
            return (
                os.pread(gone.fileno(), 100, 0), os.pread(kept.fileno(), 100, 0), sorted(os.listdir(folder)),
                os.fstat(gone.fileno()).st_size, os.path.exists("x"),
            )  # fmt: skip

    worker = made.begin(work)
    while not (made.home / "ready").exists():
        assert worker.running, worker.result()
        time.sleep(0.005)
    made.replace()
    made.replace()
    (made.home / "replaced").touch()

    assert worker.result() == (b"unlinked and written", b"01234-after", ["moved", "x"], 20, True)
    assert made.do(lambda: Path("d/moved").read_bytes()) == b"01234-after"


def test_a_handover_under_writers(mount: Mounting, engine: Engine, bucket: str) -> None:
    made = mount(resend=False)

    def write(number: int) -> None:
        for count in range(30):
            Path(f"f{number}-{count}").write_bytes(b"%d" % count)

    writers = [made.begin(lambda number=number: write(number)) for number in range(3)]
    for _ in range(3):
        assert made.ask("handover")["finished"] is True
        assert made.server.wait(60) == 4
        made.start(takeover=True)
    for each in writers:
        each.result()

    found = engine.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert {each["Key"] for each in found} == {f"f{number}-{count}" for number in range(3) for count in range(30)}


def test_an_old_kernel_callers_get_an_error_and_the_next_mount_has_all_that_was_acknowledged(
    mount: Mounting, engine: Engine, bucket: str
) -> None:
    made = mount(passthrough=False, resend=False)

    def write() -> int | None:
        try:
            with open("f", "wb", buffering=0) as file:
                file.write(os.urandom(MiB) * 128)
                Path(made.home / "written").touch()
        except OSError as error:
            return error.errno
        return 0

    writer = made.begin(write)
    while not (made.home / "written").exists():
        assert writer.running, writer.result()
        time.sleep(0.001)
    made.kill()
    caught = made.begin(lambda: os.listdir("."))
    made.start(takeover=True, ready=False)
    assert made.server.wait(60) == 3
    made.abort()

    told = writer.result()
    assert told in (0, errno.ENOTCONN, errno.ECONNABORTED)
    with pytest.raises(OSError, match=r"not connected|abort"):
        caught.result()

    made.close()
    again = mount("again", passthrough=False, resend=False, cache=str(made.cache))
    again.do(lambda: Path("after").write_text("goes on"))
    assert _stored(engine, bucket, "after") == b"goes on"
    if told == 0:
        assert len(_stored(engine, bucket, "f") or b"") == 128 * MiB


def test_a_new_process_serves_within_a_second(mount: Mounting) -> None:
    made = mount()

    def make() -> None:
        for number in range(300):
            os.mkdir(f"d{number}")

    made.do(make)
    made.kill()
    made.start(takeover=True)

    assert made.processor_seconds < 2  # some 0.2
