"""The whole mount on a real engine: what calls cost, renames of folders under kill -9, a bucket that s3fs wrote."""

import errno
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from s3engine import Engine

Mounting = Callable[..., Any]
TTL = 1.0  # seconds that names are believed
TRIES = 8


def calls(made: Any) -> dict[str, int]:
    """S3 calls by kind so far."""
    return {kind: found["calls"] for kind, found in made.ask("stats")["s3"].items()}


def cost(made: Any, work: Callable[[int], Any]) -> dict[str, int]:
    """S3 calls of a piece of work, when names are not believed any more; it gets the number of the attempt.

    On a machine with much else to do it may take so long that what it has just learned is asked again: then once more.
    """
    for attempt in range(TRIES):
        time.sleep(TTL + 0.1)
        before, began = calls(made), time.monotonic()
        made.do(lambda attempt=attempt: work(attempt))
        after = calls(made)
        if time.monotonic() - began < TTL:
            return {kind: n - before.get(kind, 0) for kind, n in after.items() if n != before.get(kind, 0)}
    pytest.fail(f"this took longer than {TTL} s, {TRIES} times")


def test_what_calls_cost(mount: Mounting) -> None:
    made = mount(ttl=TTL)
    made.do(lambda: [Path(f"{name}{number}").touch() for name in ("a", "b", "c") for number in range(TRIES)])

    def touch(number: int) -> None:
        subprocess.run(["touch", f"new{number}"], check=True)

    assert cost(made, touch) == {"list": 1, "put": 1}
    assert cost(made, lambda number: os.path.exists(f"nobody{number}")) == {"list": 1}
    assert cost(made, lambda number: os.mkdir(f"d{number}")) == {"list": 1, "put": 1}
    assert sum(cost(made, lambda number: os.unlink(f"a{number}")).values()) == 2
    assert sum(cost(made, lambda number: os.chmod(f"b{number}", 0o600)).values()) == 2
    assert sum(cost(made, lambda number: os.rename(f"c{number}", f"e{number}")).values()) <= 4
    assert cost(made, lambda number: os.listdir(".")) == {"list": 1}


def test_a_folder_is_renamed_whole_while_the_server_is_killed(mount: Mounting, engine: Engine, bucket: str) -> None:
    for number in range(300):
        engine.s3.put_object(Bucket=bucket, Key=f"a/{number % 3}/f{number:03d}", Body=b"%d" % number)
    made = mount()

    def move() -> int:
        for turn in range(6):
            os.rename("ab"[turn % 2], "ba"[turn % 2])
        return len([name for _, _, names in os.walk("a") for name in names])

    mover = made.begin(move)
    deaths = 0
    while mover.running and deaths < 12:
        time.sleep(0.4)
        made.replace()
        deaths += 1

    assert mover.result(300) == 300
    keys = [k["Key"] for k in engine.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len([key for key in keys if not key.endswith("/")]) == 300
    assert {key[0] for key in keys} == {"a"}


def test_a_folder_with_too_many_objects_is_copied_by_mv(mount: Mounting, engine: Engine, bucket: str) -> None:
    for number in range(12):
        engine.s3.put_object(Bucket=bucket, Key=f"a/f{number}", Body=b"x")
    made = mount(rename_limit=10)

    def refused() -> int:
        try:
            os.rename("a", "b")
        except OSError as error:
            return error.errno or 0
        return 0

    def move() -> list[str]:
        subprocess.run(["mv", "a", "b"], check=True)
        return sorted(os.listdir("."))

    assert made.do(refused) == errno.EXDEV
    assert made.do(move) == ["b"]
    assert {k["Key"][0] for k in engine.s3.list_objects_v2(Bucket=bucket)["Contents"]} == {"b"}


def test_a_folder_of_three_thousand_names_is_read_whole(mount: Mounting, engine: Engine, bucket: str) -> None:
    made = mount(attributes="list")
    data = engine.home / "data" / bucket / "d"
    data.mkdir()
    for number in range(3000):
        (data / f"f{number:04d}").write_bytes(b"x")

    def look() -> tuple[list[str], bool, bool]:
        return sorted(os.listdir("d")), os.path.exists("d/f2999"), os.path.exists("d/g")

    assert made.do(look) == ([f"f{number:04d}" for number in range(3000)], True, False)


# What s3fs wrote


@pytest.fixture
def s3fs(engine: Engine, bucket: str, tmp_path: Path) -> Iterator[Path]:
    """A mount of the bucket by s3fs, in a mount namespace of its own."""
    program = shutil.which("s3fs")
    assert program, "install s3fs (it is in requirements of the image): the comparison needs the real one"
    home = tmp_path / "s3fs"
    (home / "mnt").mkdir(parents=True)
    key = home / "key"
    key.touch(0o600)
    key.write_text(f"{engine.access}:{engine.secret}")
    options = f"passwd_file={key},url={engine.endpoint},use_path_request_style,allow_other"
    argv = ["unshare", "--mount", "--propagation", "private", program, bucket, str(home / "mnt"), "-f", "-o", options]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    seen = Path(f"/proc/{server.pid}/root{home / 'mnt'}")
    try:
        end = time.monotonic() + 60
        while not seen.is_mount():
            assert time.monotonic() < end and server.poll() is None, (home / "log").read_text()
            time.sleep(0.05)
        yield seen
    finally:
        server.terminate()
        server.wait(30)


def _shown(path: str) -> tuple[Any, ...]:
    found = os.lstat(path)
    target = os.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return (oct(found.st_mode), found.st_uid, found.st_gid, size, found.st_mtime_ns, target)


def test_moorfs_and_s3fs_show_each_others_files_alike(mount: Mounting, s3fs: Path) -> None:
    names = ("d", "d/f", "d/l", "d/p", "d/empty")

    def make() -> None:
        os.umask(0)
        os.mkdir("d")
        os.chmod("d", 0o2750)  # noqa: S103 - shown is what counts
        Path("d/f").write_bytes(b"0123456789")
        Path("d/empty").touch()
        os.chmod("d/f", 0o4640)
        os.chown("d/f", 11, 12)
        os.symlink("../some/where", "d/l")
        os.mkfifo("d/p", 0o620)
        for name in ("d/f", "d"):
            os.utime(name, ns=(0, 1_234_567_890_987_654_321))

    def look(folder: str) -> dict[str, Any]:
        return {name: _shown(f"{folder}/{name}") for name in ("d/f", "d/l", "d/p", "d/empty", "d")}

    def elsewhere(work: Callable[[], Any]) -> Any:
        return made.do(lambda: (os.chdir(s3fs), work())[1])

    made = mount()
    elsewhere(lambda: (os.mkdir("theirs"), os.chdir("theirs"), make()))
    made.do(lambda: (os.mkdir("ours"), os.chdir("ours"), make()))
    time.sleep(1.1)

    theirs_here, theirs_there = made.do(lambda: look("theirs")), elsewhere(lambda: look("theirs"))
    ours_here, ours_there = made.do(lambda: look("ours")), elsewhere(lambda: look("ours"))

    assert theirs_here == theirs_there
    assert ours_here == ours_there
    assert len(theirs_here) == len(names)
