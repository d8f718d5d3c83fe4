# ruff: noqa: ASYNC110 - the loop of a test has nothing else to do
"""The real s3fs as the mounter runs it, on a real S3 server: who shows its mount, and what becomes of them."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import s3engine

from moorage_csi import mounts
from moorage_csi.mounter.healing import Healing
from moorage_csi.mounter.hostages import Hostages
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.programs import Programs
from moorage_csi.mounter.recipe import Place
from moorage_csi.mounter.supervisor import Supervisor
from moorage_csi.runner import Processes
from moorage_csi.stuck import Kernel

A, B = "0a1b2c3d-1111-2222-3333-444455556666", "0a1b2c3d-7777-8888-9999-000011112222"
SECONDS = 90.0  # for what comes sooner or later


class Container:
    """A shell in a mount namespace of its own that shows the volume at `data`, of which it sees what was there when it
    began. It writes for ever once it is told to."""

    def __init__(self, home: Path, staging: str) -> None:
        self.data = home / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        write = f"dd if=/dev/zero of={self.data}/big bs=64k count=64 conv=fsync"
        script = f"mount --bind -c {staging} {self.data} && echo begun && read -r _ && exec {write}"
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "begun\n"

    def sees(self, *argv: str) -> tuple[int, str]:
        argv = ("nsenter", "--mount", f"--target={self.process.pid}", *argv)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS)
        return done.returncode, done.stdout + done.stderr

    def write(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    @property
    def state(self) -> str:
        """What it runs, and the kernel's letter of what that does."""
        _, _, rest = Path(f"/proc/{self.process.pid}/stat").read_text().partition(" (")
        return rest.replace(")", "")[:4].strip()

    @property
    def asks(self) -> bool:
        """Whether it writes, and waits for the answer of a FUSE program."""
        waits = Path(f"/proc/{self.process.pid}/wchan").read_text()
        return self.state == "dd S" and waits == "request_wait_answer"


def known(argv: Sequence[str]) -> list[str]:
    """Without what an s3fs of Debian 12 does not know yet."""
    said = subprocess.run([argv[0], "--help"], capture_output=True, text=True, check=False).stdout
    newer = {"compat_dir", "disable_noobj_cache"} if "notsup_compat_dir" in said else set[str]()
    options = [each for each in argv[4:] if each != "-o" and each not in newer]
    return [*argv[:4], *(word for option in options for word in ("-o", option))]


class Bed:
    """A mounter with one volume at `target`, containers, and the part of /proc that tells of them and of us."""

    def __init__(self, home: Path, engine: s3engine.Engine) -> None:
        program = shutil.which("s3fs")
        assert program, "install s3fs: the image has it"
        self.home, self.engine, self.bucket = home, engine, engine.bucket()
        self.target = str(home / "plugins" / "csi.moorage.dev" / "mnt")
        self.proc = home / "proc"
        self._containers: list[Container] = []
        self.supervisor = Supervisor(Processes(), home / "run", Healing(Processes()).heal)
        given = {"endpoint": engine.endpoint, "bucket": self.bucket, "prefix": "", "options": ""}
        key = {"AWS_ACCESS_KEY_ID": engine.access, "AWS_SECRET_ACCESS_KEY": engine.secret}
        made = Programs(home / "cache", s3fs=program).recipe("team/m/abcd2345", self.target, "s3fs", given, key)

        def argv(place: Place) -> Sequence[str]:
            return known(made.argv(place))

        self.recipe = replace(made, argv=argv)
        self._told(os.getpid(), "")

    @property
    def kept(self) -> Kept:
        (found,) = self.supervisor.mounts
        return found

    @property
    def pid(self) -> int:
        assert self.kept.process
        return self.kept.process.pid

    def container(self, uid: str) -> Container:
        found = Container(self.home / uid, self.target)
        self._containers.append(found)
        self._told(found.process.pid, uid)
        return found

    def _told(self, pid: int, uid: str) -> None:
        home = self.proc / str(pid)
        home.mkdir(parents=True)
        for name in ("stat", "status", "task", "ns", "mountinfo"):
            (home / name).symlink_to(f"/proc/{pid}/{name}")
        (home / "cgroup").write_text(f"0::/kubepods/pod{uid}/x\n" if uid else "0::/\n")

    def hostages(self) -> Hostages:
        return Hostages(lambda: self.supervisor.mounts, Kernel(self.proc), patience=0)

    async def close(self) -> None:
        for container in self._containers:
            container.process.kill()
        if self.engine.process:
            self.engine.process.send_signal(signal.SIGCONT)
        await self.supervisor.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[s3engine.Engine]:
    with s3engine.running(tmp_path / "engine") as found:
        yield found


@pytest.fixture
async def bed(tmp_path: Path, engine: s3engine.Engine, private_mounts: None) -> AsyncIterator[Bed]:
    found = Bed(tmp_path, engine)
    await found.supervisor.mount(found.recipe)
    yield found
    await found.close()


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_an_s3fs_that_somebody_ends_comes_back_in_running_containers(bed: Bed, number: int) -> None:
    container, pid = bed.container(A), bed.pid
    written = await asyncio.to_thread(container.sees, "sh", "-c", f"echo before > {container.data}/file")

    os.kill(pid, number)

    await eventually(lambda: container.sees("cat", f"{container.data}/file") == (0, "before\n"))
    assert written == (0, "") and bed.pid != pid
    assert await asyncio.to_thread(container.sees, "sh", "-c", f"echo after > {container.data}/file") == (0, "")
    stored = bed.engine.s3.get_object(Bucket=bed.bucket, Key="file")["Body"].read()
    assert stored == b"after\n"


async def test_nobody_sees_a_bare_folder_while_s3fs_comes_back(bed: Bed) -> None:
    """Whatever is written meanwhile is in the bucket, or its writer got an error."""
    container = bed.container(A)
    script = f"i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i > {container.data}/$i && echo $i; done 2>/dev/null"
    writer = asyncio.create_task(asyncio.to_thread(container.sees, "sh", "-c", script))
    await eventually(lambda: "Contents" in bed.engine.s3.list_objects_v2(Bucket=bed.bucket))

    os.kill(bed.pid, signal.SIGTERM)

    _, said = await writer
    await eventually(lambda: container.sees("ls", str(container.data))[0] == 0)
    pages = bed.engine.s3.get_paginator("list_objects_v2").paginate(Bucket=bed.bucket)
    stored = {each["Key"] for page in pages for each in page.get("Contents", [])}
    assert set(said.split()) - stored == set()
    assert os.listdir(container.data) == []  # in our namespace: what lies beneath


async def killed(bed: Bed) -> Container:
    """A container that was killed while its writer waits for an engine that takes connections and says nothing."""
    container = bed.container(A)
    assert bed.engine.process
    bed.engine.process.send_signal(signal.SIGSTOP)
    container.write()
    await eventually(lambda: container.asks)
    await asyncio.sleep(3)  # s3fs has read what it is asked: before that a killed caller simply goes
    container.process.kill()
    await eventually(lambda: container.state == "dd D")
    return container


async def test_a_killed_writer_that_waits_for_the_engine_is_let_go(bed: Bed) -> None:
    hostages, pid = bed.hostages(), bed.pid
    container = await killed(bed)

    await hostages.look()

    await eventually(lambda: container.process.poll() == -signal.SIGKILL)
    assert bed.engine.process
    bed.engine.process.send_signal(signal.SIGCONT)
    await eventually(lambda: bed.pid != pid and mounts.at(bed.target) is not None)


async def test_for_another_pod_of_the_node_its_mount_lives(bed: Bed) -> None:
    hostages, pid, other = bed.hostages(), bed.pid, bed.container(B)
    container = await killed(bed)

    await hostages.look()

    assert bed.engine.process
    bed.engine.process.send_signal(signal.SIGCONT)
    await eventually(lambda: container.process.poll() == -signal.SIGKILL)
    assert bed.pid == pid and bed.kept.restarts == 0
    assert (await asyncio.to_thread(other.sees, "ls", str(other.data)))[0] == 0


async def test_so_it_does_until_who_was_killed_has_had_some_time(bed: Bed) -> None:
    hostages, pid = Hostages(lambda: bed.supervisor.mounts, Kernel(bed.proc)), bed.pid
    container = await killed(bed)

    await hostages.look()

    assert bed.engine.process
    bed.engine.process.send_signal(signal.SIGCONT)
    await eventually(lambda: container.process.poll() == -signal.SIGKILL)
    assert bed.pid == pid
