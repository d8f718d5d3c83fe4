"""What close, fsync and msync promise, on a real mount over a real engine."""

import errno
import mmap
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import s3engine
from fusemount import Mount

from moorage.errors import InvalidInput, MoorageError

Mounting = Callable[..., Mount]
SIZE = 1 << 16


def body(engine: s3engine.Engine, bucket: str, key: str) -> bytes:
    return bytes(engine.s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def calls(mount: Mount) -> dict[str, int]:
    """How often each S3 call was made."""
    told: dict[str, dict[str, Any]] = mount.ask("stats")["s3"]
    return {name: int(each["calls"]) for name, each in told.items() if each["calls"]}


def test_touch_of_a_new_file_takes_one_list_and_one_put(mount: Mounting, engine: s3engine.Engine, bucket: str) -> None:
    made = mount()
    before = calls(made)

    def touch() -> None:  # as touch(1) does it: open, dup2, close, futimens, close
        fd = os.open("a", os.O_WRONLY | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK, 0o644)
        os.close(os.dup(fd))
        os.utime(fd)
        os.close(fd)

    made.do(touch)
    after = calls(made)
    assert {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)} == {
        "list": 1,
        "put": 1,
    }
    assert body(engine, bucket, "a") == b""


def test_each_closer_of_a_file_finds_its_bytes_stored(mount: Mounting, engine: s3engine.Engine, bucket: str) -> None:
    made = mount()

    def write(piece: bytes) -> None:
        fd = os.open("a", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        other = os.dup(fd)
        os.write(fd, piece)
        os.close(other)
        os.kill(os.getpid(), 9)

    for piece in (b"one", b"two"):
        with pytest.raises(ChildProcessError):
            made.do(lambda piece=piece: write(piece))
    made.kill()
    assert body(engine, bucket, "a") == b"onetwo"


@pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])
def test_msync_and_munmap_then_close_mean_stored(
    mount: Mounting, engine: s3engine.Engine, bucket: str, passthrough: bool
) -> None:
    made = mount(passthrough=passthrough)

    def work() -> tuple[bytes, bytes, bytes]:
        s3 = engine.s3

        def stored() -> bytes:
            return bytes(s3.get_object(Bucket=bucket, Key="a")["Body"].read(3))

        fd = os.open("a", os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, SIZE)
        pages = mmap.mmap(fd, SIZE)
        pages[0:3] = b"one"
        pages.flush()  # msync(MS_SYNC)
        first = stored()
        pages[0:3] = b"two"
        pages.flush()
        second = stored()
        pages[0:3] = b"six"
        pages.close()
        os.close(fd)
        return first, second, stored()

    assert made.do(work) == (b"one", b"two", b"six")


def _mapped_beyond_close(where: str) -> mmap.mmap:
    """A mapping whose descriptors are closed: Python's own duplicate is closed behind its back."""
    fd = os.open(where, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    before = set(os.listdir("/proc/self/fd"))
    pages = mmap.mmap(fd, SIZE)
    for name in set(os.listdir("/proc/self/fd")) - before:
        with_it = int(name)
        try:
            if os.readlink(f"/proc/self/fd/{with_it}") == os.readlink(f"/proc/self/fd/{fd}"):
                os.close(with_it)
        except OSError:
            continue
    os.close(fd)
    return pages


@pytest.mark.parametrize("how", ["strict", "fast"])
def test_stores_through_a_mapping_after_close_are_stored_when_it_ends(
    mount: Mounting, engine: s3engine.Engine, bucket: str, how: str
) -> None:
    made = mount(mmap=how)

    def work() -> None:
        pages = _mapped_beyond_close("a")
        pages[0:5] = b"after"
        time.sleep(0.5)
        pages[5:9] = b"more"
        os._exit(0)  # munmap by the end of the process

    with pytest.raises(ChildProcessError):
        made.do(work)
    until(lambda: body(engine, bucket, "a")[:9] == b"aftermore")
    until(lambda: made.ask("stats")["unsaved"] == [])


def test_a_lost_update_is_told_to_the_second_closer_and_can_be_had_back(
    mount: Mounting, engine: s3engine.Engine, bucket: str, tmp_path: Path
) -> None:
    one, other, folder = mount("one"), mount("other"), tmp_path
    one.do(lambda: Path("a").write_bytes(b"before"))

    def write(piece: bytes) -> Callable[[], int]:
        def work() -> int:
            fd = os.open("a", os.O_WRONLY)
            (folder / f"{piece.decode()}-is-open").touch()
            while not (folder / f"{piece.decode()}-may-go").exists():
                time.sleep(0.01)
            os.write(fd, piece)
            try:
                os.close(fd)
            except OSError as error:
                return int(error.errno or 0)
            return 0

        return work

    first, second = one.begin(write(b"first!")), other.begin(write(b"second"))
    until(lambda: all((folder / f"{each}-is-open").exists() for each in ("first!", "second")))
    (folder / "first!-may-go").touch()
    assert first.result() == 0
    (folder / "second-may-go").touch()
    assert second.result() == errno.ESTALE
    assert body(engine, bucket, "a") == b"first!"
    until(lambda: str(other.ask("stats")["unsaved"][0]["name"]).startswith("lost-"))
    (kept,) = other.ask("stats")["unsaved"]
    assert (kept["key"], kept["size"], kept["conflict"]) == ("a", 6, True)
    with pytest.raises(InvalidInput):
        asked(other, "retry", name=kept["name"])
    asked(other, "retry", name=kept["name"], key="a.second")
    assert body(engine, bucket, "a.second") == b"second"
    assert other.ask("stats")["unsaved"] == []
    until(lambda: other.do(lambda: Path("a").read_bytes()) == b"first!")


def asked(mount: Mount, method: str, **more: Any) -> dict[str, Any]:
    answer = mount.ask(method, **more)
    if answer["code"] != "OK":
        kinds = {kind.code: kind for kind in (InvalidInput,)}
        raise kinds.get(answer["code"], MoorageError)(answer["message"])
    return answer


@pytest.mark.parametrize("size", [10, 6 << 20])
def test_a_close_that_fails_keeps_the_bytes_over_crash_and_remount(mount: Mounting, tmp_path: Path, size: int) -> None:
    with s3engine.running(tmp_path / "mine") as engine:
        bucket = engine.bucket()
        first = mount(endpoint=engine.endpoint, bucket=bucket, down_seconds=0.5)
        data = os.urandom(size)
        engine.stop()

        def write() -> int:
            fd = os.open("a", os.O_WRONLY | os.O_CREAT)
            os.write(fd, data)
            try:
                os.close(fd)
            except OSError as error:
                return int(error.errno or 0)
            return 0

        engine.start()
        first.do(lambda: os.listdir("."))
        engine.stop()
        failed = first.begin(write).result(60)
        if failed == 0:
            pytest.fail("close() returned though the engine was down")
        (kept,) = first.ask("stats")["unsaved"]
        assert (kept["key"], kept["size"], kept["errno"]) == ("a", size, failed)
        first.close()
        engine.start()
        again = mount("again", endpoint=engine.endpoint, bucket=bucket, cache=str(first.cache))
        until(lambda: again.ask("stats")["unsaved"] == [])
        assert body(engine, bucket, "a") == data


def test_nobody_who_opens_a_file_waits_for_its_upload(mount: Mounting, tmp_path: Path) -> None:
    with s3engine.running(tmp_path / "mine") as engine:
        bucket = engine.bucket()
        made = mount(endpoint=engine.endpoint, bucket=bucket)
        made.do(lambda: Path("a").write_bytes(b"before"))
        assert engine.process

        def write() -> None:
            with open("a", "r+b", buffering=0) as file:
                file.write(b"behind")

        engine.process.send_signal(signal.SIGSTOP)
        job = made.begin(write)
        try:
            until(lambda: int(made.ask("stats")["figures"]["open_files"]) == 1)
            until(lambda: made.do(lambda: Path("a").read_bytes(), 5) == b"behind")
        finally:
            engine.process.send_signal(signal.SIGCONT)
        job.result()
        assert body(engine, bucket, "a") == b"behind"
