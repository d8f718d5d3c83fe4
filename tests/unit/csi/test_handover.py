# ruff: noqa: ASYNC110, ASYNC221, ASYNC240 - the loop of a test has nothing else to do
"""A mount of moorfs outlives its process and its mounter: the node plugin keeps the connection meanwhile."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from moorage.errors import Retry
from moorage.unsaved import Unsaved
from moorage_csi import mounts
from moorage_csi.mounter import handover, packets
from moorage_csi.mounter.client import MounterClient
from moorage_csi.mounter.handover import Handover
from moorage_csi.mounter.healing import Healing
from moorage_csi.mounter.keeper import Keeper
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.programs import Programs
from moorage_csi.mounter.recipe import Recipe
from moorage_csi.mounter.supervisor import Supervisor
from moorage_csi.runner import Processes

PARAMETERS = {"endpoint": "http://s3:7070", "bucket": "models", "prefix": "", "region": "eu-1", "options": ""}
TINY = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tinyfuse.py")))


def secrets(access: str = "first") -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": "hunter2"}


class Bed:
    """A node with a place to mount, and what its programs noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = str(folder / "volume")
        self.programs = Programs(folder, moorfs=TINY)
        (folder / "cache").mkdir()

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def recipe(self, access: str = "first") -> Recipe:
        return self.programs.recipe("team/models/abc", self.target, "moorfs", PARAMETERS, secrets(access))

    @asynccontextmanager
    async def mounter(self) -> AsyncIterator[Supervisor]:
        supervisor = Supervisor(Processes(), self.folder / "run", Healing(Processes()).heal)
        ours = Handover(supervisor, self.programs)
        supervisor.told = ours.tell
        listener = ours.listen(self.folder / "keeper.sock")
        try:
            yield supervisor
        finally:
            await ours.close()
            listener.close()
            await supervisor.close()
            for kept in supervisor.mounts:
                kept.give_up_connection()

    @asynccontextmanager
    async def mounted(self) -> AsyncIterator[Kept]:
        """What a mounter keeps of the one volume that it has mounted."""
        async with self.mounter() as supervisor:
            await supervisor.mount(self.recipe())
            (kept,) = supervisor.mounts
            yield kept

    async def leave_to(self, keeper: Keeper) -> None:
        """A mounter mounts, and ends when the keeper has the connection."""
        async with self.mounted():
            await eventually(lambda: self.target in keeper.targets)

    def looks(self, path: str = "") -> bool:
        """Whether the mount answers; never waits long."""
        return subprocess.run(["timeout", "2", "stat", path or self.target], capture_output=True).returncode == 0

    def show(self) -> str:
        """Another place that shows the mount, as a container does."""
        (self.folder / "shown").mkdir()
        subprocess.run(["mount", "--bind", "-c", self.target, self.folder / "shown"], check=True)
        return str(self.folder / "shown")


@pytest.fixture
def bed(tmp_path: Path, private_mounts: None) -> Bed:
    return Bed(tmp_path)


@pytest.fixture
async def keeper(bed: Bed) -> AsyncIterator[Keeper]:
    keeper = Keeper(bed.folder / "keeper.sock")
    task = asyncio.ensure_future(keeper.keep())
    yield keeper
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await mounts.ensure_unmounted(Processes(), bed.target)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


def kill(kept: Kept) -> None:
    assert kept.process is not None
    os.kill(kept.process.pid, signal.SIGKILL)


async def test_a_killed_process_is_replaced_on_the_same_connection(bed: Bed, keeper: Keeper) -> None:
    async with bed.mounted() as kept:
        before = mounts.at(bed.target)
        kill(kept)
        await eventually(lambda: len(bed.log) == 2 and kept.alive)

        assert bed.log == ["fresh first", "takeover first"]
        assert mounts.at(bed.target) == before and bed.looks()


async def test_the_next_mounter_takes_over_what_the_node_plugin_kept(bed: Bed, keeper: Keeper) -> None:
    await bed.leave_to(keeper)
    before = mounts.at(bed.target)

    async with bed.mounter():
        await eventually(lambda: len(bed.log) == 2)

        assert bed.log == ["fresh first", "takeover first"]
        assert mounts.at(bed.target) == before and before is not None and bed.looks()


async def test_a_new_node_plugin_is_told_and_keeps_it_for_the_next_mounter(bed: Bed) -> None:
    async with bed.mounter() as first:
        await first.mount(bed.recipe())
        keeper = Keeper(bed.folder / "keeper.sock")
        task = asyncio.ensure_future(keeper.keep())
        await eventually(lambda: bed.target in keeper.targets)
    async with bed.mounter() as second:
        await eventually(lambda: len(bed.log) == 2)

        assert bed.log == ["fresh first", "takeover first"] and bed.looks()
        await second.unmount(bed.target)
    task.cancel()


async def test_what_is_unmounted_is_kept_by_nobody(bed: Bed, keeper: Keeper) -> None:
    async with bed.mounter() as supervisor:
        await supervisor.mount(bed.recipe())
        await eventually(lambda: bed.target in keeper.targets)
        await supervisor.unmount(bed.target)
        await eventually(lambda: not keeper.targets)

    assert mounts.at(bed.target) is None


async def test_three_deaths_at_the_start_give_the_connection_up_and_it_is_mounted_anew(
    bed: Bed, keeper: Keeper
) -> None:
    async with bed.mounted() as kept:
        (bed.folder / "die").touch()
        kill(kept)
        await eventually(lambda: "fresh first" in bed.log[1:])
        (bed.folder / "die").unlink()
        await eventually(lambda: kept.alive and bed.looks())

        assert bed.log[:4] == ["fresh first", "takeover first", "takeover first", "fresh first"]


async def test_on_a_kernel_that_cannot_send_again_it_is_mounted_anew_at_once_and_shown_in_containers(
    bed: Bed, keeper: Keeper
) -> None:
    async with bed.mounted() as kept:
        (bed.folder / "old").touch()
        dead = mounts.at(bed.target)
        assert dead is not None
        kill(kept)
        await eventually(lambda: len(bed.log) == 3 and kept.alive and bed.looks())

        fresh = mounts.at(bed.target)
        assert bed.log == ["fresh first", "takeover first", "fresh first"]
        assert kept.restarts == 2 and fresh is not None
        await eventually(lambda: not kept.dead)


async def test_a_newer_key_is_for_the_next_process(bed: Bed, keeper: Keeper) -> None:
    async with bed.mounter() as supervisor:
        await supervisor.mount(bed.recipe())
        (kept,) = supervisor.mounts
        await supervisor.rekey(bed.recipe("second"))
        kill(kept)
        await eventually(lambda: len(bed.log) == 2)

        assert bed.log[1] == "takeover second"
        assert (bed.folder / "run" / kept.recipe.name / "key.json").stat().st_mode & 0o777 == 0o600


async def test_without_a_mounter_those_who_wait_get_an_error_in_the_end(bed: Bed) -> None:
    keeper = Keeper(bed.folder / "keeper.sock", patience=0.5)
    task = asyncio.ensure_future(keeper.keep())
    async with bed.mounter() as supervisor:
        await supervisor.mount(bed.recipe())
        await eventually(lambda: bed.target in keeper.targets)
    waiting = await asyncio.create_subprocess_exec("stat", bed.target, stderr=asyncio.subprocess.PIPE)

    _, said = await asyncio.wait_for(waiting.communicate(), 10)

    assert waiting.returncode == 1
    assert b"not connected" in said or b"abort" in said
    task.cancel()
    await mounts.ensure_unmounted(Processes(), bed.target)


async def test_deaths_after_some_time_of_service_never_give_the_connection_up(bed: Bed, keeper: Keeper) -> None:
    async with bed.mounted() as kept:
        before = mounts.at(bed.target)
        for kills in range(1, 5):
            kept.ready = 0.0  # as if it had served for long
            kill(kept)
            await eventually(lambda kills=kills: len(bed.log) == 1 + kills and kept.alive and kept.served > 0)

        assert bed.log == ["fresh first", *["takeover first"] * 4]
        assert mounts.at(bed.target) == before and bed.looks()


async def test_a_mount_that_was_unmounted_on_the_host_is_shown_there_again_when_its_process_is_replaced(
    bed: Bed, keeper: Keeper
) -> None:
    async with bed.mounted() as kept:
        shown, before = bed.show(), mounts.at(bed.target)
        subprocess.run(["umount", "-c", bed.target], check=True)
        kill(kept)
        await eventually(lambda: len(bed.log) == 2 and kept.alive and kept.served > 0)

        assert bed.log == ["fresh first", "takeover first"]
        assert mounts.at(bed.target) == before and bed.looks() and bed.looks(shown)
        subprocess.run(["umount", shown], check=True)


async def test_the_next_mounter_shows_again_what_was_unmounted_on_the_host_meanwhile(bed: Bed, keeper: Keeper) -> None:
    await bed.leave_to(keeper)
    shown, before = bed.show(), mounts.at(bed.target)
    subprocess.run(["umount", "-c", bed.target], check=True)

    async with bed.mounter() as second:
        await eventually(lambda: any(kept.served > 0 for kept in second.mounts))

        assert bed.log == ["fresh first", "takeover first"]
        assert mounts.at(bed.target) == before and bed.looks() and bed.looks(shown)
        subprocess.run(["umount", shown], check=True)


async def test_what_nobody_shows_any_more_is_told_once_and_not_mounted_again(
    bed: Bed, keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    await bed.leave_to(keeper)
    subprocess.run(["umount", "-c", bed.target], check=True)

    async with bed.mounter() as second:
        await eventually(lambda: not keeper.targets)

        assert (bed.log, second.mounts, mounts.at(bed.target)) == (["fresh first"], (), None)
        assert caplog.text.count("was unmounted from outside") == 1


async def test_an_aborted_connection_is_given_up_at_once_and_mounted_anew(bed: Bed, keeper: Keeper) -> None:
    async with bed.mounted() as kept:
        before = mounts.at(bed.target)
        assert before is not None
        connection = Path("/sys/fs/fuse/connections", before.device.partition(":")[2], "abort")
        if not connection.exists():
            subprocess.run(["mount", "-t", "fusectl", "none", "/sys/fs/fuse/connections"], check=True)
        connection.write_text("1")
        await eventually(lambda: len(bed.log) == 2 and kept.alive and kept.served > 0)

        assert bed.log == ["fresh first"] * 2 and bed.looks()


async def test_a_mounter_that_takes_no_connections_never_holds_up_the_node_plugin(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "keeper.sock"))
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        with suppress(BlockingIOError):
            for each in waiting:
                each.setblocking(False)
                each.connect(str(tmp_path / "keeper.sock"))
        rescue = threading.Timer(20, listener.shutdown, (socket.SHUT_RDWR,))  # ends a connect(2) that waits
        rescue.start()
        task = asyncio.ensure_future(Keeper(tmp_path / "keeper.sock").keep())
        await asyncio.sleep(0.05)

        assert not rescue.finished.is_set(), "the event loop stood still"
        rescue.cancel()
        task.cancel()
        for each in waiting:
            each.close()


async def test_a_node_plugin_that_hands_over_nothing_is_not_waited_for(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_TAKE_SECONDS", 0.1)
    async with bed.mounter():
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
            silent.settimeout(15)
            silent.connect(str(bed.folder / "keeper.sock"))

            assert await asyncio.to_thread(silent.recv, 1) == b""


async def test_a_mounter_that_takes_no_packets_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "_SEND_SECONDS", 0.1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        sender = packets.Packets(ours)
        with pytest.raises(packets.Closed):
            async with asyncio.timeout(60):
                while True:
                    await sender.send({"text": "x" * 10_000})
        sender.close()


async def test_what_is_unmounted_without_a_mounter_is_not_handed_to_the_next_one(bed: Bed, keeper: Keeper) -> None:
    await bed.leave_to(keeper)
    client = MounterClient(f"unix://{bed.folder}/mounter.sock", keeper.forget)
    with pytest.raises(Retry, match="does not answer"):
        await client.unmount(bed.target)
    await mounts.ensure_unmounted(Processes(), bed.target)

    async with bed.mounter() as second:
        assert keeper.targets == frozenset()
        assert second.mounts == () and bed.log == ["fresh first"]


async def test_the_health_of_a_mount_tells_what_others_of_its_volume_left_on_the_node(bed: Bed, keeper: Keeper) -> None:
    left = Unsaved("lost-1", "run/model", 7, "", {}, 5, 0, 1_700_000_000.0, "Permission denied", 13)
    async with bed.mounted() as kept:
        assert await kept.trouble() == ""
        assert "1 files (5 bytes)" in (told := await kept.trouble([left]))
        assert "since 2023-11-14T22:13Z: run/model (Permission denied)" in told
