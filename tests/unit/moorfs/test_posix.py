"""The POSIX table, on all roads of the data: passthrough; reads and writes by the server; kernels before 6.9."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fusemount
import pytest
from posixchecks import CHECKS
from s3engine import Engine

ROADS: dict[str, dict[str, bool]] = {
    "passthrough": {},
    "server": {"passthrough": False},
    "old": {"passthrough": False, "resend": False},
}


@pytest.fixture(scope="module", params=ROADS)
def posix(request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One mount for all checks of a road."""
    home = tmp_path_factory.mktemp("posix")
    made = fusemount.Mount(home, fusemount.make(home, engine, engine.bucket(), **ROADS[request.param]))
    try:
        made.mount()
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", CHECKS)
def test_posix(posix: fusemount.Mount, name: str) -> None:
    def work() -> None:
        os.mkdir(name)
        os.chdir(name)
        CHECKS[name]()

    logged = len(posix.log)
    try:
        posix.do(work, seconds=60)
    finally:
        print(posix.log[logged:][-4000:])  # shown when the test fails
    assert "Traceback" not in posix.log[logged:]


def test_what_one_mount_makes_another_sees(mount: Callable[..., Any]) -> None:
    def make() -> None:
        os.umask(0)
        os.mkdir("d")
        Path("d/f").write_bytes(b"0123456789")
        os.chown("d/f", 11, 12)
        os.chmod("d/f", 0o4640)
        os.utime("d/f", ns=(12_345_678_901, 1_234_567_890_987_654_321))
        os.symlink("f", "d/l")
        os.mkfifo("d/p", 0o620)
        os.chown("d", 21, 22)
        os.chmod("d", 0o2750)  # noqa: S103 - mkdir(2) takes no set-group-id
        os.utime("d", ns=(0, 77_000_000_000))

    def look() -> list[Any]:
        found = [os.lstat(each) for each in ("d", "d/f", "d/l", "d/p")]
        shown = [(oct(each.st_mode), each.st_uid, each.st_gid, each.st_size) for each in found[1:]]
        folder = (oct(found[0].st_mode), found[0].st_uid, found[0].st_gid)
        return [folder, *shown, os.readlink("d/l"), found[1].st_mtime_ns, found[0].st_mtime, sorted(os.listdir("d")),
            found[1].st_atime_ns, found[1].st_ctime > time.time() - 600]  # fmt: skip

    mount("one").do(make)

    assert mount("other").do(look) == [
        (oct(stat.S_IFDIR | 0o2750), 21, 22), (oct(stat.S_IFREG | 0o4640), 11, 12, 10),
        (oct(stat.S_IFLNK | 0o777), 0, 0, 1), (oct(stat.S_IFIFO | 0o620), 0, 0, 0),
        "f", 1_234_567_890_987_654_321, 77, ["f", "l", "p"], 12_345_678_901, True,
    ]  # fmt: skip
