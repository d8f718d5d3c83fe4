# ruff: noqa: ASYNC110, ASYNC240 - the loop of a test has nothing else to do
"""rclone as the mounter runs it, on a real S3 server: nothing that was closed is lost on the way."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3engine

from moorage.errors import InUse, MoorageError, NotFound, NotReady, Unauthenticated
from moorage_csi import mounts
from moorage_csi.mounter import kept as kept_module
from moorage_csi.mounter import keytold, programs, rc
from moorage_csi.mounter.backlog import Backlog

from .rclonebed import RcloneBed, eventually

MIB = 1 << 20


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[s3engine.Engine]:
    with s3engine.running(tmp_path / "engine") as found:
        yield found


@pytest.fixture
async def bed(tmp_path: Path, engine: s3engine.Engine, private_mounts: None) -> AsyncIterator[RcloneBed]:
    found = RcloneBed(tmp_path, engine, engine.bucket())
    yield found
    for kept in found.supervisor.mounts:  # what a test has left has nowhere to go
        if kept.process:
            kept.process.signal(signal.SIGKILL)
    await found.supervisor.close()


def _pid(bed: RcloneBed) -> int:
    process = bed.kept.process
    assert process is not None
    return process.pid


def _hang(engine: s3engine.Engine) -> None:
    """The server takes connections and says nothing."""
    assert engine.process
    engine.process.send_signal(signal.SIGSTOP)


def _go_on(engine: s3engine.Engine) -> None:
    assert engine.process
    engine.process.send_signal(signal.SIGCONT)


async def _queued(bed: RcloneBed, files: int) -> None:
    """So many closed files are in rclone's queue, and at least one of them is on its way."""
    async with asyncio.timeout(60):
        while True:
            queue: list[dict[str, Any]] = (await rc.ask(bed.kept.folder / "control", 10, "vfs/queue")).get("queue", [])
            if len(queue) == files and any(each["uploading"] for each in queue):
                return
            await asyncio.sleep(0.05)


async def test_what_was_closed_is_in_the_bucket_after_the_unmount_and_no_cache_is_left(bed: RcloneBed) -> None:
    files = {"a": b"", "deep/er/b": b"small", "big": os.urandom(12 * MIB)}
    await bed.supervisor.mount(bed.recipe())
    for name, data in files.items():
        await asyncio.to_thread(bed.write, name, data)

    await bed.supervisor.unmount(str(bed.target))

    assert {name: bed.stored(name) for name in files} == files
    assert mounts.at(str(bed.target)) is None
    assert not bed.cache.exists() and list((bed.home / "run").iterdir()) == []


async def test_objects_are_read_with_the_owner_and_mode_of_the_volume(bed: RcloneBed) -> None:
    bed.engine.s3.put_object(Bucket=bed.bucket, Key="run1/x", Body=b"by boto3")
    await bed.supervisor.mount(bed.recipe(prefix="run1", uid="1000", gid="2000", mode="0750"))

    found = await asyncio.to_thread((bed.target / "x").stat)

    assert await asyncio.to_thread((bed.target / "x").read_bytes) == b"by boto3"
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1000, 2000, 0o640)
    mount = mounts.at(str(bed.target))
    assert mount and (mount.fstype, mount.source) == ("fuse.rclone", f"{bed.bucket}:/run1")


async def test_a_read_only_mount_refuses_writes(bed: RcloneBed) -> None:
    await bed.supervisor.mount(bed.recipe(options="ro"))

    with pytest.raises(OSError, match="Read-only file system"):
        await asyncio.to_thread(bed.write, "a", b"x")


async def test_an_unmount_is_refused_as_long_as_the_bucket_has_not_everything(
    bed: RcloneBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_STORE_SECONDS", 1.0)
    await bed.supervisor.mount(bed.recipe())
    await asyncio.to_thread(bed.write_while, bed.engine.stop, {"a": b"12345"})

    with pytest.raises(InUse, match=r"1 file \(5 bytes\) of team/models/abcd2345 are on this node only"):
        await bed.supervisor.unmount(str(bed.target))

    assert mounts.at(str(bed.target)) is not None
    bed.engine.start()
    await _unmounted(bed)
    assert bed.stored("a") == b"12345"


async def _unmounted(bed: RcloneBed) -> None:
    """As the kubelet does: again until it is."""
    async with asyncio.timeout(180):
        while True:
            try:
                return await bed.supervisor.unmount(str(bed.target))
            except InUse:
                await asyncio.sleep(0.2)


async def test_after_some_patience_the_mount_goes_and_the_files_wait_for_the_next_one(
    bed: RcloneBed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kept_module, "_STORE_SECONDS", 1.0)
    monkeypatch.setattr(kept_module, "_PATIENCE", 0.0)
    await bed.supervisor.mount(bed.recipe())
    await asyncio.to_thread(bed.write_while, bed.engine.stop, {"a": b"12345"})

    await bed.supervisor.unmount(str(bed.target))

    assert mounts.at(str(bed.target)) is None and bed.cache.exists()
    assert "they stay in" in caplog.text
    (item,) = await Backlog(bed.home / "run", bed.home / "cache").items()
    assert (item.volume, item.record["key"], item.record["size"]) == ("team/models", "a", 5)
    bed.engine.start()
    assert bed.stored("a") is None
    await bed.supervisor.mount(bed.recipe())
    await eventually(lambda: bed.stored("a") == b"12345")
    assert await Backlog(bed.home / "run", bed.home / "cache").items() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_an_end_in_the_middle_of_an_upload_loses_nothing_that_was_closed(bed: RcloneBed, number: int) -> None:
    data = {"one": os.urandom(8 * MIB), "folder/two": b"small"}
    await bed.supervisor.mount(bed.recipe())
    await asyncio.to_thread((bed.target / "folder").mkdir)
    await asyncio.to_thread(bed.write_while, lambda: _hang(bed.engine), data)
    await _queued(bed, 2)
    pid = _pid(bed)

    os.kill(pid, number)
    _go_on(bed.engine)

    await eventually(lambda: all(bed.stored(name) == each for name, each in data.items()))
    assert _pid(bed) != pid and bed.kept.restarts >= 1
    assert await asyncio.to_thread((bed.target / "folder/two").read_bytes) == b"small"


async def test_the_mounter_ends_with_everything_stored(bed: RcloneBed) -> None:
    await bed.supervisor.mount(bed.recipe())
    await asyncio.to_thread(bed.write, "a", os.urandom(5 * MIB))

    await bed.supervisor.close()

    found = bed.stored("a")
    assert found is not None and len(found) == 5 * MIB


async def test_what_one_mounter_could_not_store_the_next_one_does(
    bed: RcloneBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_STORE_SECONDS", 1.0)
    await bed.supervisor.mount(bed.recipe())
    await asyncio.to_thread(bed.write_while, bed.engine.stop, {"a": b"12345"})
    await bed.supervisor.close()

    bed.supervisor = bed.fresh()
    await bed.supervisor.restore(bed.recipe(), None, "")
    bed.engine.start()

    await eventually(lambda: bed.stored("a") == b"12345")
    await eventually(lambda: (bed.target / "a").is_file())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"secret": "another-secret-key"}, Unauthenticated, "SignatureDoesNotMatch"),
        ({"bucket": "nobody-has-it"}, NotFound, "NoSuchBucket"),
        ({"endpoint": "http://127.0.0.1:9"}, NotReady, "cannot be reached"),
    ],
)
async def test_what_cannot_work_is_not_mounted_and_says_why(
    bed: RcloneBed, change: dict[str, str], error: type[MoorageError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        await bed.supervisor.mount(bed.recipe(**change))

    assert mounts.at(str(bed.target)) is None and bed.supervisor.mounts == ()
    assert "another-secret-key" not in str(caught.value)


async def test_files_that_the_bucket_refuses_are_told(bed: RcloneBed) -> None:
    await bed.supervisor.mount(bed.recipe())
    assert await bed.kept.trouble() == ""
    await asyncio.to_thread(bed.write_while, lambda: bed.engine.s3.delete_bucket(Bucket=bed.bucket), {"a": b"12345"})

    async with asyncio.timeout(180):
        while not (trouble := await bed.kept.trouble()):
            await asyncio.sleep(0.1)

    assert trouble == "1 file (5 bytes) are on this node only: the bucket did not take them yet"
    labels = 'namespace="team",volume="models",type="object"'
    assert f"moorage_volume_unsaved_files{{{labels}}} 1" in await bed.kept.metrics(10)


async def test_the_key_is_in_files_for_the_owner_and_nowhere_else(
    bed: RcloneBed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        await bed.supervisor.mount(bed.recipe())
        await asyncio.to_thread(bed.write, "a", b"x")
        await bed.supervisor.unmount(str(bed.target))
        await bed.supervisor.mount(bed.recipe())
    folder = bed.kept.folder
    said = "".join(Path(f"/proc/{_pid(bed)}/{name}").read_text() for name in ("cmdline", "environ"))

    assert bed.engine.secret not in said + caplog.text + repr(bed.kept)
    holding = {path.name for path in folder.iterdir() if path.is_file() and bed.engine.secret in path.read_text()}
    assert holding == {"key.json"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()} == {0o600}


async def test_a_key_that_was_rotated_and_revoked_is_followed_by_the_running_rclone(
    bed: RcloneBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_BELIEVED", 1)
    for access in ("first", "second"):
        bed.admin("/create-user", f"<Account><Access>{access}</Access><Secret>secret-of-{access}</Secret>"
                  "<Role>admin</Role></Account>")  # fmt: skip
    await bed.supervisor.mount(bed.recipe(access="first", secret="secret-of-first"))
    pid = _pid(bed)

    await bed.supervisor.rekey(bed.recipe(access="second", secret="secret-of-second"))
    bed.admin("/delete-user?access=first")
    await eventually(lambda: _listed(bed.target))
    await asyncio.to_thread(bed.write, "a", b"by the second key")
    same = _pid(bed) == pid
    await bed.supervisor.unmount(str(bed.target))

    assert same and bed.stored("a") == b"by the second key"


def _listed(folder: Path) -> bool:
    try:
        return os.listdir(folder) == []
    except OSError:
        return False


def test_who_asks_for_the_key_is_told_the_newest_for_a_minute(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    for secret in ("old", "new"):
        key.write_text(json.dumps({"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": secret}))
        argv = [sys.executable, "-I", "-S", keytold.__file__, str(key), "60"]
        told = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
        assert (told["Version"], told["AccessKeyId"], told["SecretAccessKey"]) == (1, "id", secret)
        assert told["Expiration"].endswith("Z")


async def test_over_tls_the_given_authority_is_trusted(tmp_path: Path, private_mounts: None) -> None:
    with s3engine.running(tmp_path / "engine", secure=True, more=()) as engine:
        bed = RcloneBed(tmp_path, engine, engine.bucket())
        await bed.supervisor.mount(bed.recipe())
        await asyncio.to_thread(bed.write, "a", b"over tls")

        await bed.supervisor.unmount(str(bed.target))

        assert bed.stored("a") == b"over tls"
