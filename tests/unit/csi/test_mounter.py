# ruff: noqa: ASYNC110, ASYNC221, ASYNC240 - the loop of a test has nothing else to do
"""The mounter over its real socket, with a shell script that mounts a tmpfs in place of s3fs."""

import asyncio
import json
import logging
import re
import stat
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from moorage import errors, objectmount
from moorage_csi import mounts
from moorage_csi.metrics import Metrics
from moorage_csi.mounter import server as server_module
from moorage_csi.mounter import wire
from moorage_csi.mounter.client import MounterClient
from moorage_csi.mounter.programs import Programs
from moorage_csi.mounter.server import MounterServer
from moorage_csi.mounter.supervisor import Supervisor
from moorage_csi.runner import Processes

PARAMETERS = {"endpoint": "http://s3:7070", "bucket": "models", "prefix": "", "region": "eu-1", "options": ""}
SECRETS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2"}
ID = "team/models/abcd2345"
# s3fs BUCKET TARGET ...: the bucket `slow` takes its time, `gone` does not exist.
S3FS = """#!/bin/sh
case $1 in slow) sleep 30;; gone) echo "bucket or key not found(host=http://s3)"; exit 1;; esac
mount -t tmpfs s3fs "$2" || exit 1
trap 'umount "$2"; exit 0' TERM
while grep -q " $2 " /proc/self/mountinfo; do sleep 0.02; done
"""


class Bed:
    """A mounter, its socket, and a place to mount."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "mounter.sock"
        self.target = str(directory / "volume")
        self.metrics = Metrics()
        self.supervisor = Supervisor(Processes(), directory / "run")
        program = directory / "s3fs"
        program.write_text(S3FS)
        program.chmod(0o755)
        self.service = MounterServer(self.metrics, self.supervisor, Programs(directory / "cache", str(program)))
        self.client = MounterClient(f"unix://{self.socket}")

    async def mount(self, bucket: str = "models", **more: Any) -> None:
        given = {"volume_id": ID, "target": self.target, "kind": "s3fs", "secrets": SECRETS} | more
        await self.client.mount(parameters=PARAMETERS | {"bucket": bucket}, **given)

    async def raw(self, data: bytes) -> dict[str, Any]:
        """What the mounter answers to these bytes."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(data)
        answer = await wire.receive(reader)
        writer.close()
        return dict(answer)

    async def ask(self, **request: Any) -> dict[str, Any]:
        data = json.dumps(request).encode()
        return await self.raw(struct.pack(">I", len(data)) + data)


@pytest.fixture
async def bed(tmp_path: Path, private_mounts: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bed]:
    monkeypatch.setitem(cast("dict[str, str]", objectmount.FSTYPES), "s3fs", "tmpfs")
    found = Bed(tmp_path)
    server = await found.service.listen(f"unix://{found.socket}")
    yield found
    server.close()
    await found.supervisor.close()


async def test_a_bucket_is_mounted_listed_and_unmounted(bed: Bed) -> None:
    for _ in range(2):
        await bed.mount()
    (listed,) = (await bed.ask(method="List"))["volumes"]
    assert (listed["volume_id"], listed["target"], listed["running"], listed["restarts"]) == (ID, bed.target, True, 0)
    for _ in range(2):
        await bed.client.unmount(bed.target)
    assert mounts.at(bed.target) is None and (await bed.ask(method="List"))["volumes"] == []


async def test_an_error_comes_back_as_its_class_with_its_sentence(bed: Bed) -> None:
    with pytest.raises(errors.NotFound, match="s3fs could not mount team/models/abcd2345: bucket or key not found"):
        await bed.mount("gone")
    await bed.mount()
    with pytest.raises(errors.AlreadyExists, match="other parameters"):
        await bed.mount("others")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"target": "relative"}, "target 'relative' must be an absolute path"),
        ({"target": ""}, "target is required"),
        ({"volume_id": ""}, "volume_id is required"),
        ({"secrets": {}}, "the bucket's Secret needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"secrets": SECRETS | {"AWS_ACCESS_KEY_ID": "a:b"}}, "the bucket's Secret needs"),
        ({"secrets": {"AWS_ACCESS_KEY_ID": 1}}, "secrets is not a map of strings"),
        ({"bucket": "x,passwd_file=/etc/shadow"}, "bucket"),
    ],
)
async def test_a_bad_request_is_refused_with_a_sentence(bed: Bed, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(errors.InvalidInput, match=sentence):
        await bed.mount(**more)
    assert not Path(bed.target).exists()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (struct.pack(">I", 2) + b"[]", "INVALID_ARGUMENT"),
        (struct.pack(">I", 3) + b"{x}", "INVALID_ARGUMENT"),
        (struct.pack(">I", 2**31), "INVALID_ARGUMENT"),
        (b"PRI * HTTP/2.0", "INVALID_ARGUMENT"),
        (struct.pack(">I", 2) + b"{}", "UNIMPLEMENTED"),
        (struct.pack(">I", 19) + b'{"method": "Format"}'[:19], "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_no_request_is_refused(bed: Bed, data: bytes, code: str) -> None:
    assert (await bed.raw(data))["code"] == code
    await bed.mount()


async def test_a_caller_that_says_nothing_is_sent_away(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_REQUEST_SECONDS", 0.05)
    assert (await bed.raw(b""))["code"] == "DEADLINE_EXCEEDED"


async def test_a_second_request_for_the_same_target_is_aborted_and_others_go_on(bed: Bed) -> None:
    first = asyncio.ensure_future(bed.mount("slow"))
    async with asyncio.timeout(60):
        while not Path(bed.target).exists():
            await asyncio.sleep(0.01)
    with pytest.raises(errors.Pending, match=f"an operation on {bed.target} is under way"):
        await bed.mount()
    await bed.mount(target=f"{bed.target}-2")
    first.cancel()


async def test_a_caller_that_gives_up_takes_its_request_back(bed: Bed) -> None:
    first = asyncio.ensure_future(bed.mount("slow"))
    async with asyncio.timeout(60):
        while not Path(bed.target).exists():
            await asyncio.sleep(0.01)
    first.cancel()
    async with asyncio.timeout(60):
        while True:
            try:
                await bed.mount()
                break
            except errors.Pending:
                await asyncio.sleep(0.01)
    assert mounts.at(bed.target) is not None


async def test_what_the_system_refuses_the_mounter_is_told_to_the_caller(bed: Bed, tmp_path: Path) -> None:
    """Not that the mounter does not answer: it does, and its pod is in order."""
    run = tmp_path / "run"
    run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "full", str(run)], check=True)
    for _ in range(2):
        with pytest.raises(errors.MoorageError) as caught:
            await bed.mount()
        assert caught.value.code == "INTERNAL"
        assert re.fullmatch(
            rf"the mounter failed \(No space left on device: {run}/[0-9a-f]+\); its log says where",
            str(caught.value),
        )
    subprocess.run(["umount", str(run)], check=True)
    await bed.mount()
    assert 'moorage_csi_operations_total{method="Mount",code="INTERNAL"} 2' in bed.metrics.text()


@pytest.mark.parametrize("error", [BrokenPipeError("a pipe of the work"), ConnectionResetError(104, "reset")])
async def test_an_error_of_the_work_is_never_taken_for_one_of_the_connection(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    async def fail(target: str) -> None:
        raise error

    monkeypatch.setattr(bed.supervisor, "unmount", fail)
    answer = await bed.ask(method="Unmount", target=bed.target)
    assert answer["code"] == "INTERNAL" and answer["message"].startswith("the mounter failed (")


async def test_the_secret_is_never_logged(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await bed.mount()
        with pytest.raises(errors.AlreadyExists):
            await bed.mount("others")
    assert "hunter2" not in caplog.text and "Mount OK" in caplog.text


async def test_only_the_owner_can_open_the_socket(bed: Bed) -> None:
    assert stat.S_IMODE(bed.socket.stat().st_mode) == 0o600


async def test_another_user_is_refused_even_when_the_socket_lets_it_in(bed: Bed) -> None:
    bed.socket.chmod(0o666)
    for directory in (bed.socket.parent, *bed.socket.parent.parents):
        if directory != Path("/") and directory != Path("/tmp"):
            directory.chmod(directory.stat().st_mode | 0o055)
    program = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); print(s.recv(4096)[4:].decode())"
    )
    process = await asyncio.create_subprocess_exec(
        "python3", "-c", program, str(bed.socket), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert json.loads(said) == {"code": "PERMISSION_DENIED", "message": "user 65534 may not speak to the mounter"}


async def test_requests_are_counted_by_code(bed: Bed) -> None:
    await bed.mount()
    await bed.ask(method="Format")
    text = bed.metrics.text()
    assert 'moorage_csi_operations_total{method="Mount",code="OK"} 1' in text
    assert 'moorage_csi_operations_total{method="?",code="UNIMPLEMENTED"} 1' in text


async def test_when_nobody_listens_the_caller_is_told_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(errors.Retry, match="DaemonSet moorage-mounter"):
        await MounterClient(f"unix://{tmp_path}/none.sock").unmount("/x")


async def test_a_mounter_that_ends_in_the_middle_is_reported_as_gone(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "m.sock")
    with pytest.raises(errors.Retry, match="DaemonSet moorage-mounter"):
        await MounterClient(f"unix://{tmp_path}/m.sock").unmount("/x")
    server.close()
