"""The kernel's side of moorfs, with a file system of a dictionary: every request, errors, death and takeover."""

import errno
import fcntl
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MEMORY = (sys.executable, str(Path(__file__).with_name("memoryserver.py")))
Mounting = Callable[..., Any]


@pytest.fixture
def memory(mount: Mounting) -> Mounting:
    return lambda **more: mount(command=MEMORY, **more)


def _wrong(work: Callable[[], object]) -> int | None:
    """The number of the OSError that `work` raises."""
    try:
        work()
    except OSError as error:
        return error.errno
    return 0


def test_files_folders_and_links(memory: Mounting) -> None:
    def work() -> tuple[Any, ...]:
        os.mkdir("d", 0o750)
        Path("d/f").write_bytes(b"one")
        os.symlink("d/f", "l")
        os.mkfifo("d/p")
        os.rename("d/f", "d/g")
        with open("d/g", "ab") as out:
            out.write(b"two")
        os.truncate("d/g", 4)
        os.chown("d/g", 7, 8)  # takes suid away, so it is first
        os.chmod("d/g", 0o4711)  # noqa: S103
        os.utime("d/g", ns=(0, 123_456_789_012))
        found = os.stat("d/g")
        link = os.readlink("l")
        names = sorted((each.name, each.is_dir()) for each in os.scandir("d"))
        os.unlink("d/p")
        os.unlink("d/g")
        os.rmdir("d")
        return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_size, link, names, os.listdir(".")

    found = memory().do(work)

    named = [("g", False), ("p", False)]
    assert found == (stat.S_IFREG | 0o4711, 7, 8, 123_456_789_012, 4, "d/f", named, ["l"])


def test_times_before_1970(memory: Mounting) -> None:
    def work() -> int:
        Path("f").touch()
        os.utime("f", ns=(0, -1_500_000_000))
        return os.stat("f").st_mtime_ns

    assert memory().do(work) == -1_500_000_000


def test_owners_and_modes_are_shown_as_the_settings_say(memory: Mounting) -> None:
    def look() -> list[tuple[str, int, int]]:
        os.umask(0o077)
        Path("f").touch()
        os.mkdir("d")
        found = [os.stat(each) for each in ("f", "d")]
        return [(oct(each.st_mode & 0o7777), each.st_uid, each.st_gid) for each in found]

    plain = memory(name="plain", uid=7, gid=8, file_mode=0o640, folder_mode=0o750)
    assert plain.do(look) == [("0o640", 7, 8), ("0o750", 7, 8)]
    group = memory(name="group", gid=8, group=9)
    assert group.do(look) == [("0o660", 0, 9), ("0o2770", 0, 9)]


def test_a_folder_of_thousands_is_listed_whole(memory: Mounting) -> None:
    def work() -> tuple[int, int]:
        for number in range(600):
            os.mkdir(f"{number:0200}")
        return len(set(os.listdir("."))), sum(each.stat().st_nlink for each in os.scandir("."))

    assert memory().do(work) == (600, 600)


def test_what_a_bucket_cannot_do_is_refused_cleanly(memory: Mounting) -> None:
    def work() -> dict[str, int | None]:
        Path("f").write_bytes(b"x" * 100)
        with open("f", "r+b") as file:
            return {
                "link": _wrong(lambda: os.link("f", "g")),
                "setxattr": _wrong(lambda: os.setxattr("f", "user.a", b"1")),
                "getxattr": _wrong(lambda: os.getxattr("f", "user.a")),
                "listxattr": _wrong(lambda: os.listxattr("f")),
                "ioctl": _wrong(lambda: fcntl.ioctl(file.fileno(), 0x5401, bytes(64))),
                "tmpfile": _wrong(lambda: os.open(".", os.O_TMPFILE | os.O_RDWR)),
                "exchange": _wrong(lambda: _exchange("f", "f2")),
            }

    assert memory().do(work) == {
        "link": errno.EPERM, "setxattr": errno.EOPNOTSUPP, "getxattr": errno.EOPNOTSUPP, "listxattr": errno.EOPNOTSUPP,
        "ioctl": errno.ENOTTY, "tmpfile": errno.EOPNOTSUPP, "exchange": errno.ENOENT,
    }  # fmt: skip


def _exchange(one: str, other: str) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, one.encode(), -100, other.encode(), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def test_what_the_kernel_does_itself_when_it_is_refused(memory: Mounting) -> None:
    def work() -> tuple[int, int, bytes, list[Any]]:
        import select

        Path("f").write_bytes(b"x" * 100)
        with open("f", "r+b") as file, open("g", "w+b") as other:
            end = os.lseek(file.fileno(), 0, os.SEEK_HOLE)
            copied = os.copy_file_range(file.fileno(), other.fileno(), 100, 0, 0)
            poll = select.poll()
            poll.register(file, select.POLLIN)
            ready = [event for _, event in poll.poll(0)]
        return end, copied, Path("g").read_bytes(), ready

    assert memory().do(work) == (100, 100, b"x" * 100, [1])


def test_a_mistake_in_the_program_is_eio_and_in_the_log(memory: Mounting) -> None:
    made = memory()

    assert made.do(lambda: _wrong(lambda: os.stat("broken"))) == errno.EIO
    assert made.do(lambda: _wrong(lambda: os.stat("odd"))) == errno.EIO
    assert made.do(lambda: os.listdir(".")) == []
    assert "ZeroDivisionError: a mistake" in made.log


def test_who_waits_stops_nobody_else(memory: Mounting) -> None:
    made = memory(threads=1)
    made.do(lambda: os.mkdir("elsewhere"))  # the kernel itself holds a folder while a name in it is looked up
    waiting = [made.begin(lambda: _wrong(lambda: os.stat("slow"))) for _ in range(20)]

    made.do(lambda: [Path("elsewhere/f").write_bytes(b"x"), os.listdir("elsewhere")])
    (made.cache / "go").touch()

    assert [each.result() for each in waiting] == [errno.ENOENT] * 20


def test_a_caller_that_is_killed_is_let_go_at_once(memory: Mounting) -> None:
    made = memory()
    waiting = made.begin(lambda: os.stat("slow"))
    while not made.waiting():
        time.sleep(0.01)

    waiting.kill()

    assert waiting.ended


def test_a_signal_that_kills_nobody_does_not_end_a_request(memory: Mounting) -> None:
    made = memory()

    def work() -> int | None:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        (made.cache / "handled").touch()
        return _wrong(lambda: os.stat("slow"))

    waiting = made.begin(work)
    _until((made.cache / "handled").exists)
    _until(lambda: made.ask("stats")["underWay"] == 1)
    for _ in range(5):
        os.kill(waiting.pid, signal.SIGUSR1)
        time.sleep(0.1)
    assert waiting.running
    (made.cache / "go").touch()

    assert waiting.result() == errno.ENOENT


def test_passthrough_is_seen_in_the_backing_file_and_goes_on_without_a_server(memory: Mounting) -> None:
    made = memory()
    assert made.ask("stats")["kernel"]["passthrough"]

    def work() -> bytes:
        with open("direct", "w+b", buffering=0) as file:
            file.write(b"before ")
            Path(made.cache / "opened").touch()
            while not (made.cache / "killed").exists():
                time.sleep(0.01)
            file.write(b"after")
            os.pread(file.fileno(), 100, 0)
            Path(made.cache / "written").touch()
            return os.pread(file.fileno(), 100, 0)

    writer = made.begin(work)
    _until((made.cache / "opened").exists)
    made.kill()
    (made.cache / "killed").touch()
    _until((made.cache / "written").exists)
    made.start(takeover=True)

    assert writer.result() == b"before after"
    (backing,) = made.cache.glob("*.data")
    assert backing.read_bytes() == b"before after"


def _until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("passthrough", [True, False])
def test_what_was_asked_while_nobody_served_is_answered_by_the_next(memory: Mounting, passthrough: bool) -> None:
    made = memory(passthrough=passthrough)
    made.do(lambda: Path("f").write_bytes(b"kept"))
    caught = made.begin(lambda: _wrong(lambda: os.stat("slow")))  # read by the server, unanswered when it dies
    _until(lambda: made.ask("stats")["underWay"] == 1)
    made.kill()
    later = made.begin(lambda: Path("f").read_bytes())

    (made.cache / "go").touch()
    made.start(takeover=True)

    assert later.result() == b"kept"
    assert caught.result() == errno.ENOENT


def test_open_files_and_folders_go_on_through_many_deaths(memory: Mounting) -> None:
    made = memory()

    def work() -> tuple[bytes, int]:
        with open("f", "w+b", buffering=0) as file:
            for number in range(300):
                file.write(b"%03d" % number)
                os.mkdir(f"d{number}")
                time.sleep(0.005)
        return Path("f").read_bytes(), len(os.listdir("."))

    writer = made.begin(work)
    for _ in range(4):
        time.sleep(0.25)
        made.replace()

    assert writer.result(60) == (b"".join(b"%03d" % each for each in range(300)), 301)


def test_a_kernel_without_resend_gives_no_takeover_and_callers_get_an_error(memory: Mounting) -> None:
    made = memory(resend=False, passthrough=False)
    caught = made.begin(lambda: _wrong(lambda: os.stat("slow")))
    _until(lambda: made.ask("stats")["underWay"] == 1)
    made.kill()
    made.start(takeover=True, ready=False)

    assert made.server.wait(60) == 3
    made.abort()
    assert caught.result() in (errno.ENOTCONN, errno.ECONNABORTED)


def test_a_handover_loses_nothing_even_without_resend(memory: Mounting) -> None:
    made = memory(resend=False, passthrough=False)

    def work() -> int:
        for number in range(400):
            os.mkdir(f"d{number}")
        return len(os.listdir("."))

    writer = made.begin(work)
    for _ in range(3):
        assert made.ask("handover")["finished"] is True
        assert made.server.wait(60) == 4
        made.start(takeover=True)

    assert writer.result(60) == 400


def test_a_lost_or_foreign_state_is_told(memory: Mounting) -> None:
    made = memory()
    made.kill()
    (made.cache / "connection.json").write_text("{}")
    made.start(takeover=True, ready=False)

    assert made.server.wait(60) == 3
    assert "takeover is impossible" in made.log


def test_a_process_that_died_before_init_was_answered_is_followed_by_one_that_answers_it(memory: Mounting) -> None:
    made = memory(start=False)
    caller = made.begin(lambda: os.listdir("."))
    os.set_blocking(made.fd, True)
    assert len(os.read(made.fd, 1 << 21)) > 40  # as a process that dies right now

    made.start(takeover=True)

    assert caller.result() == []


def test_what_is_remembered_of_another_connection_is_found_out(memory: Mounting) -> None:
    made = memory(start=False)
    made.cache.mkdir()
    (made.cache / "connection.json").write_text('{"version": 1, "minor": 45, "flags": 549755813888, "handed": false}')
    caller = made.begin(lambda: os.listdir("."))
    made.start(takeover=True, ready=False)
    assert made.server.wait(60) == 1

    made.start(takeover=True)

    assert caller.result() == []


def test_an_unmount_ends_the_process(memory: Mounting) -> None:
    made = memory()
    made.abort()

    assert made.server.wait(60) == 0


def test_the_control_socket(memory: Mounting) -> None:
    made = memory()
    made.do(lambda: [os.mkdir("d"), _wrong(lambda: os.mkdir("d"))])

    stats = made.ask("stats")
    assert stats["code"] == "OK"
    assert stats["operations"]["mkdir"]["count"] == 1
    assert stats["figures"] == {"nodes": 2}
    assert stats["kernel"]["resend"]
    text = made.ask("metrics")["text"]
    labels = 'namespace="tests",volume="volume",type="object"'
    assert f'moorage_volume_operations_total{{{labels},operation="mkdir"}} 1' in text
    assert f'moorage_volume_operation_duration_seconds_count{{{labels},operation="mkdir"}} 1' in text
    assert f"moorage_volume_nodes{{{labels}}} 2" in text
    assert made.ask("rekey") == {"code": "OK", "changed": True}
    assert made.ask("store", seconds=60) == {"code": "OK", "stored": True, "unsaved": []}
    assert made.ask("nonsense")["code"] == "UNIMPLEMENTED"
    assert stat.S_IMODE(os.stat(made.settings.socket).st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(made.settings.socket)
        rude.sendall(b"\xff\xff\xff\xff")
        assert b"INVALID_ARGUMENT" in rude.recv(1000)
    assert made.ask("shutdown") == {"code": "OK", "finished": True}
    assert made.server.wait(60) == 0


def test_a_process_that_is_idle_is_small_and_starts_fast(memory: Mounting) -> None:
    made = memory()

    assert made.ask("stats")["residentBytes"] < 40 << 20
    assert made.processor_seconds < 2  # some 0.1


def test_answers_that_nobody_takes_are_taken_back(memory: Mounting) -> None:
    made = memory()
    (made.cache / "go").touch()
    node = made.do(lambda: [os.mkdir("slow"), os.stat("slow").st_ino])[1]
    (made.cache / "go").unlink()
    time.sleep(1.1)  # as long as the kernel believes the name
    waiting = made.begin(lambda: os.stat("slow"))
    _until(lambda: made.ask("stats")["underWay"] == 1)
    waiting.kill()
    (made.cache / "go").touch()

    forgotten = made.cache / "forgotten"
    _until(lambda: forgotten.exists() and forgotten.read_text().endswith("\n"))
    assert forgotten.read_text() == f"{node} 1\n"
