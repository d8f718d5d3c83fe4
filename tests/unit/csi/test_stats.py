# ruff: noqa: ASYNC110 - the loop of a test has nothing else to do
"""Looks at volumes whose server may be dead: bounded in time and in number."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from moorage.errors import DeadlineExceeded
from moorage_csi import stats
from moorage_csi.runner import Output, Processes
from moorage_csi.stats import Watcher


class Server:
    """A runner whose looks end when the test says so."""

    abandoned = 0

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.up = asyncio.Event()
        self.dead = False

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        self.looks.append(argv[-1])
        await self.up.wait()
        if self.dead:
            raise DeadlineExceeded("`stat` took longer than 5 s and was killed")
        return Output(0, "4096 100 60 50 1000 900", "")


@pytest.fixture
def volume(tmp_path: Path, private_mounts: None) -> list[str]:
    """Three paths of one mounted volume, and one of another."""
    found = [str(tmp_path / name) for name in ("stage", "a", "b", "other")]
    for path in found:
        Path(path).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "volume", found[0]], check=True)
    subprocess.run(["mount", "--bind", found[0], found[1]], check=True)
    subprocess.run(["mount", "--bind", found[0], found[2]], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "volume", found[3]], check=True)
    return found


async def test_all_who_ask_at_once_about_a_volume_wait_for_one_look(volume: list[str]) -> None:
    server = Server()
    watcher = Watcher(server)
    asked = [asyncio.create_task(watcher.look(path)) for path in volume[:3] * 5]
    await asyncio.sleep(0)
    server.up.set()

    answers = await asyncio.gather(*asked)

    assert len(server.looks) == 1
    assert {stats.total for stats, _ in answers if stats} == {409600}
    assert not any(health.abnormal for _, health in answers)


async def test_a_volume_is_looked_at_although_another_hangs(volume: list[str]) -> None:
    server = Server()
    watcher = Watcher(server)
    asked = [asyncio.create_task(watcher.look(path)) for path in (volume[0], volume[3])]
    await asyncio.sleep(0.01)
    assert sorted(server.looks) == sorted((volume[0], volume[3]))
    server.up.set()
    await asyncio.gather(*asked)


async def test_when_it_hangs_the_last_figures_are_told_at_every_path_of_the_volume(volume: list[str]) -> None:
    server = Server()
    server.up.set()
    watcher = Watcher(server)
    before, _ = await watcher.look(volume[0])
    server.dead = True

    found, health = await watcher.look(volume[1])

    assert found == before and health.abnormal and "its server may be down" in health.message
    assert await watcher.answers(volume[2]) is False


async def test_who_gives_up_takes_the_look_from_nobody(volume: list[str]) -> None:
    server = Server()
    watcher = Watcher(server)
    first, second = (asyncio.create_task(watcher.look(volume[0])) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    server.up.set()
    found, _ = await second
    assert found is not None and len(server.looks) == 1


async def test_while_a_killed_look_still_hangs_none_other_is_begun(
    volume: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child in D state: it is killed, counted, and does not die."""
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    runner = Processes()
    with pytest.raises(DeadlineExceeded):
        await runner.run(("sleep", "1"), 0.05, about=stats.name(volume[0]))

    _, health = await Watcher(runner).look(volume[1])

    assert health.abnormal and "an earlier `stat` on it still hangs" in health.message
    assert runner.abandoned == 1
    async with asyncio.timeout(60):
        while runner.abandoned:
            await asyncio.sleep(0.01)
    assert await Watcher(runner).answers(volume[1])


async def test_of_what_is_not_mounted_nothing_answers(tmp_path: Path) -> None:
    assert await Watcher(Processes()).answers(str(tmp_path)) is False
