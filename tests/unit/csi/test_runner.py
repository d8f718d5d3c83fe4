# ruff: noqa: ASYNC110, ASYNC220 - the loop of a test has nothing else to do
"""Outside commands end in time, whatever they do."""

import asyncio
import os

import pytest

from moorage.errors import DeadlineExceeded, MoorageError
from moorage_csi.runner import Output, Processes


async def _all_gone(runner: Processes) -> None:
    async with asyncio.timeout(60):
        while runner.abandoned:
            await asyncio.sleep(0.01)


async def test_output_and_status_come_back() -> None:
    output = await Processes().run(("sh", "-c", "echo out; echo bad news >&2; exit 3"), 5)
    assert (output, output.complaint) == (Output(3, "out\n", "bad news\n"), "bad news")


async def test_a_silent_failure_tells_its_status() -> None:
    assert (await Processes().run(("false",), 5)).complaint == "exit status 1"


async def test_a_command_that_hangs_is_killed_with_its_children() -> None:
    runner = Processes()
    nap = f"sleep {7_000_000 + os.getpid()}"
    with pytest.raises(DeadlineExceeded, match="`sh` took longer than"):
        await runner.run(("sh", "-c", f"echo $$; {nap} & wait"), 0.2)
    await _all_gone(runner)
    assert nap not in os.popen("ps -eo args").read()  # noqa: S605


async def test_no_second_command_is_started_on_what_hangs() -> None:
    runner = Processes()
    with pytest.raises(DeadlineExceeded):
        await runner.run(("sleep", "60"), 0.05, about="/mnt/dead")
    with pytest.raises(DeadlineExceeded, match="/mnt/dead does not answer"):
        await runner.run(("true",), 5, about="/mnt/dead")
    assert (await runner.run(("true",), 5, about="/mnt/good")).status == 0
    await _all_gone(runner)
    assert (await runner.run(("true",), 5, about="/mnt/dead")).status == 0


async def test_a_caller_that_gives_up_takes_the_command_with_it() -> None:
    runner = Processes()
    task = asyncio.ensure_future(runner.run(("sleep", "62"), 60))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _all_gone(runner)
    assert "sleep 62" not in os.popen("ps -eo args").read()  # noqa: S605


async def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(MoorageError, match="`no-such-program` is not in this image"):
        await Processes().run(("no-such-program",), 5)


async def test_the_environment_of_the_driver_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert "hunter2" not in (await Processes().run(("env",), 5)).stdout
