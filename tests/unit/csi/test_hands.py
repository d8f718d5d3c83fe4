# ruff: noqa: ASYNC110 - the loop of a test has nothing else to do
"""Helpers at hand: used again, replaced when they hang or die, gone when nothing happens."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from moorage.errors import DeadlineExceeded
from moorage_csi import hand, mounts, stats
from moorage_csi import hands as module
from moorage_csi.hands import Hands
from moorage_csi.runner import Processes

STAT = ("stat", "--file-system", f"--format={stats.FORMAT}")


PATIENCE = 60.0  # seconds, more than a loaded machine ever needs

_strangers: set[int] = set()  # helpers that earlier tests have left behind, dying or not


@pytest.fixture(autouse=True)
def alone() -> None:
    _strangers.clear()
    _strangers.update(_helpers())


@pytest.fixture
async def hands(alone: None) -> AsyncIterator[Hands]:
    found = Hands()
    await found.warm()
    await _until(lambda: len(_pids()) == 1)  # a process that has just been started has no command line for a moment
    yield found
    await found.close()


def _pids() -> set[int]:
    """The helpers that this test has started."""
    return _helpers() - _strangers


def _helpers() -> set[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in children if "hand.py" in _command(pid)}


def _command(pid: str) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


async def _until_gone(pids: set[int]) -> None:
    await _until(lambda: not pids & _pids())


async def test_a_helper_answers_as_the_command_does(hands: Hands) -> None:
    by_helper = await hands.run((*STAT, "/proc"), PATIENCE)
    by_command = await Processes().run((*STAT, "/proc"), PATIENCE)
    assert stats.parse(by_helper.stdout) == stats.parse(by_command.stdout)
    missing = await hands.run((*STAT, "/no/such"), PATIENCE)
    assert (missing.status, missing.complaint) == (1, "stat: /no/such: No such file or directory")


async def test_one_helper_does_one_task_after_another(hands: Hands) -> None:
    before = _pids()
    for _ in range(5):
        await hands.run((*STAT, "/"), PATIENCE)
    assert _pids() == before and len(before) == 1


async def test_tasks_at_once_never_wait_for_each_other_and_helpers_are_few(hands: Hands) -> None:
    outputs = await asyncio.gather(*(hands.run((*STAT, "/"), PATIENCE) for _ in range(20)))
    assert {output.status for output in outputs} == {0}
    await hands.run((*STAT, "/"), PATIENCE)
    assert 1 <= len(_pids()) <= 4


@pytest.mark.parametrize(
    "argv",
    [
        ("mount", "-t", "nfs4", "-o", "hard", "s:/v", "/t"),
        ("getent", "ahosts", "localhost"),
        ("umount", "-c", "-i", "-r", "/t"),
        ("umount", "-c", "-i", "-f", "-l", "/t"),
        ("stat", "--format=%F", "/t"),
    ],
)
def test_every_other_command_is_run_as_it_is(argv: tuple[str, ...]) -> None:
    assert module.task(argv) is None


async def test_a_helper_that_hangs_is_killed_and_replaced(hands: Hands, tmp_path: Path) -> None:
    (stuck,) = _pids()
    os.kill(stuck, 19)  # SIGSTOP stands for a server that does not answer
    with pytest.raises(DeadlineExceeded, match="`stat` took longer than"):
        await hands.run((*STAT, "/"), 0.2, about="/")
    with pytest.raises(DeadlineExceeded, match="an earlier `stat` on it still hangs"):
        await hands.run((*STAT, "/"), PATIENCE, about="/")
    await _until(lambda: hands.abandoned == 0)
    assert stuck not in _pids() and (await hands.run((*STAT, "/"), PATIENCE, about="/")).status == 0


async def test_no_helper_is_lost_to_a_path_that_hangs(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    (helper,) = _pids()

    def hangs(self: Processes, name: str, about: str) -> None:
        raise DeadlineExceeded(f"{name} {about}")

    with monkeypatch.context() as patch:
        patch.setattr(Processes, "check_stuck", hangs)
        for _ in range(5):
            with pytest.raises(DeadlineExceeded):
                await hands.run((*STAT, "/dead"), PATIENCE, about="/dead")
    assert (await hands.run((*STAT, "/"), PATIENCE)).status == 0
    assert _pids() == {helper}


async def test_a_helper_that_died_is_not_missed(hands: Hands) -> None:
    (first,) = _pids()
    os.kill(first, 9)
    assert (await hands.run((*STAT, "/"), PATIENCE)).status == 0
    await _until_gone({first})
    assert (await hands.run((*STAT, "/"), PATIENCE)).status == 0


async def test_a_caller_that_gives_up_leaves_no_answer_for_the_next(hands: Hands) -> None:
    (first,) = _pids()
    os.kill(first, 19)
    call = asyncio.ensure_future(hands.run((*STAT, "/"), PATIENCE))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert (await hands.run((*STAT, "/no/such"), PATIENCE)).status == 1


async def test_helpers_go_when_nothing_happens() -> None:
    hands = Hands(idle_seconds=0.05)
    await hands.warm()
    await hands.run((*STAT, "/"), PATIENCE)
    await _until_gone(_pids())
    assert (await hands.run((*STAT, "/"), PATIENCE)).status == 0
    await hands.close()


async def test_no_handle_stays_open_in_a_helper(hands: Hands) -> None:
    (pid,) = _pids()
    await hands.run((*STAT, "/"), PATIENCE)  # it has read its own program
    open_before = len(os.listdir(f"/proc/{pid}/fd"))
    for target in ("/no/such", "/etc/hostname"):
        await hands.run((*module.SCRIPT, "bind", "/proc", "/", target, "rw"), PATIENCE)
        await hands.run((*module.SCRIPT, "bind", "/proc", "/self", target, "ro", "new"), PATIENCE)
    assert len(os.listdir(f"/proc/{pid}/fd")) == open_before


@pytest.mark.parametrize(
    ("listed", "error"), [(OSError(errno.EIO, "Input/output error"), OSError), (["precious"], hand.OccupiedError)]
)
def test_no_handle_stays_open_on_a_directory_that_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: list[str] | OSError, error: type[Exception]
) -> None:
    def listdir(place: int) -> list[str]:
        if isinstance(listed, OSError):
            raise listed
        return listed

    def open_on_it() -> list[str]:
        links = (os.path.join("/proc/self/fd", each) for each in real("/proc/self/fd"))
        return [link for link in links if os.path.lexists(link) and os.readlink(link) == str(target)]

    real, target = os.listdir, tmp_path / "target"
    monkeypatch.setattr(hand.os, "listdir", listdir)
    with pytest.raises(error):
        hand.open_empty(str(target))
    assert open_on_it() == []


async def test_what_an_old_kernel_lacks_is_done_by_the_command(
    tmp_path: Path, private_mounts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = tmp_path / "hand.py"
    lacking.write_text(f'for line in open(0):\n    print(\'[{hand.UNKNOWN}, "", ""]\', flush=True)\n')
    monkeypatch.setattr(module, "SCRIPT", ("python3", str(lacking)))
    hands = Hands()
    await hands.warm()
    (tmp_path / "target").mkdir()
    argv = ("mount", "-c", "-n", "--bind", "-o", "ro", "/proc", str(tmp_path / "target"))
    assert (await hands.run(argv, 5)).status == 0
    found = mounts.at(str(tmp_path / "target"))
    assert found is not None and found.fstype == "proc" and found.readonly
    await hands.close()
