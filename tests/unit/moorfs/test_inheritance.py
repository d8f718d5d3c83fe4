"""Unsaved bytes of mounts that are over: a later mount of the volume stores them, wherever it has its cache."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from datafakes import MIB, Rig, until

from moorfs import homes, restoring
from moorfs.ports import FileError, StoreError
from moorfs.unsaved import Ledger

DATA = bytes(range(256)) * 4096  # 1 MiB


def left_unsaved(home: Path, size: int) -> tuple[Rig, bytes]:
    """A mount that is over, of a bucket that did not take the file "a", and the bytes that it should have."""
    rig = Rig(home)
    data = bytearray(DATA * (size // MIB) + DATA[: size % MIB])
    rig.store.make("a", bytes(data))
    file = rig.cache.of(rig.node("a"))
    opened = file.open(os.O_WRONLY)
    file.write(opened.handle, 3, memoryview(b"mine"))
    data[3:7] = b"mine"
    rig.store.failing = lambda: StoreError(errno.EACCES, "Access Denied")
    with pytest.raises(FileError):
        file.flush(opened.handle)
    rig.cache.close()
    (Path(rig.settings.cache) / "lock").touch()
    return rig, bytes(data)


def mounted_elsewhere(old: Rig, home: Path) -> Rig:
    """Another mount of the same bucket, whose cache is at another place."""
    rig = Rig(home)
    rig.cache.close()
    rig.store = old.store
    rig.settings = replace(rig.settings, inherits=f"{old.settings.cache}\n{rig.settings.cache}")
    rig.remount()
    return rig


@pytest.mark.parametrize("size", [9, 9 * MIB], ids=["whole", "some blocks"])
def test_another_mount_of_the_volume_stores_what_one_that_is_over_left(tmp_path: Path, size: int) -> None:
    old, data = left_unsaved(tmp_path / "old", size)
    old.store.failing = None

    rig = mounted_elsewhere(old, tmp_path / "new")

    until(lambda: not rig.cache.unsaved())
    assert rig.store.body("a") == data
    assert os.listdir(f"{old.settings.cache}/unsaved") == []
    rig.cache.close()


def test_what_the_bucket_refuses_still_is_kept_by_the_later_mount(tmp_path: Path) -> None:
    old, data = left_unsaved(tmp_path / "old", 9)

    rig = mounted_elsewhere(old, tmp_path / "new")

    (record,) = rig.cache.unsaved()
    assert (record.key, record.size) == ("a", 9)
    assert Path(rig.settings.cache, "unsaved", record.name).read_bytes() == data
    rig.cache.close()


def test_a_mount_that_somebody_serves_loses_nothing(tmp_path: Path) -> None:
    old, _ = left_unsaved(tmp_path / "old", 9)
    lock = os.open(f"{old.settings.cache}/lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    rig = mounted_elsewhere(old, tmp_path / "new")

    assert rig.cache.unsaved() == []
    assert len(Ledger(f"{old.settings.cache}/unsaved").all()) == 1
    rig.cache.close()
    os.close(lock)


@pytest.mark.parametrize("call", ["link", "rename"])
@pytest.mark.parametrize("size", [9, 9 * MIB], ids=["whole", "some blocks"])
def test_a_crash_while_bytes_find_their_new_place_loses_none(
    tmp_path: Path, size: int, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, data = left_unsaved(tmp_path, size)

    class CrashError(Exception):
        pass

    def crash(source: str, target: str) -> None:
        raise CrashError

    home, ledger = rig.settings.cache, Ledger(f"{rig.settings.cache}/unsaved")
    (record,) = ledger.all()
    with monkeypatch.context() as patch:
        patch.setattr(restoring.os, call, crash)
        with contextlib.suppress(CrashError):
            restoring.adopt(home, ledger, record)
    rig.store.failing = None
    rig.remount()

    until(lambda: not rig.cache.unsaved())
    assert rig.store.body("a") == data
    rig.cache.close()


def test_a_home_has_one_owner_at_a_time(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    script = "import sys; from moorfs import homes; print(homes.taken(sys.argv[1], 0), flush=True); sys.stdin.read()"
    argv = (sys.executable, "-c", script, home)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdin is not None
        assert first.stdout.readline() == "True\n"
        assert homes.held(home) is None
        assert subprocess.run(argv, input="", capture_output=True, text=True, check=True).stdout == "False\n"
        first.stdin.close()
    with homes.held(home) or pytest.fail("nobody has it"):
        assert homes.held(home) is None


def test_who_waits_for_a_home_that_is_removed_meanwhile_gets_a_new_one(tmp_path: Path) -> None:
    home, lock = tmp_path / "home", os.open
    home.mkdir()
    (home / "lock").touch()
    held = lock(home / "lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(homes.taken(str(home), 30)))
    waiter.start()
    home.rename(tmp_path / "gone")
    os.close(held)
    waiter.join()

    assert answers == [True]
    assert homes.held(str(home)) is None and homes.held(str(tmp_path / "gone")) is not None
