import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from moorage.errors import NotReady
from moorage_operator import queue
from moorage_operator.queue import WorkQueue


@asynccontextmanager
async def running(work: Callable[[str], Awaitable[float | None]], workers: int = 4) -> AsyncIterator[WorkQueue[str]]:
    line = WorkQueue[str](work, workers)
    task = asyncio.create_task(line.run())
    yield line
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def reached(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110 - a test looks from outside
            await asyncio.sleep(0.001)


async def test_a_key_asked_for_often_is_worked_on_once() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    line = WorkQueue[str](work)
    for key in ("a", "a", "b", "a"):
        line.add(key)
    task = asyncio.create_task(line.run())
    await reached(lambda: len(seen) >= 2)
    task.cancel()

    assert sorted(seen) == ["a", "b"]


async def test_a_key_is_never_worked_on_twice_at_a_time_and_a_change_meanwhile_is_not_lost() -> None:
    gate = asyncio.Event()
    busy, most, done = 0, 0, 0

    async def work(_: str) -> None:
        nonlocal busy, most, done
        busy += 1
        most = max(most, busy)
        await gate.wait()
        busy -= 1
        done += 1

    async with running(work) as line:
        line.add("a")
        await reached(lambda: busy == 1)
        line.add("a")
        line.add("a")
        gate.set()
        await reached(lambda: done == 2)

    assert (most, done) == (1, 2)


async def test_no_more_keys_at_a_time_than_workers() -> None:
    busy, most, done = 0, 0, 0

    async def work(_: str) -> None:
        nonlocal busy, most, done
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        done += 1

    async with running(work, workers=3) as line:
        for number in range(20):
            line.add(str(number))
        await reached(lambda: done == 20)

    assert most == 3


async def test_a_failing_key_is_tried_again_and_does_not_stop_the_others() -> None:
    tries: list[str] = []

    async def work(key: str) -> None:
        tries.append(key)
        if key == "bad" and tries.count("bad") == 1:
            raise ValueError("wrong object")

    async with running(work, workers=1) as line:
        line.add("bad")
        line.add("good")
        await reached(lambda: tries.count("bad") == 2 and "good" in tries)

    assert tries[:2] == ["bad", "good"]


def test_pauses_grow_to_a_limit() -> None:
    async def work(_: str) -> None:
        raise NotReady("not yet")

    line = WorkQueue[str](work)
    pauses = [line._pause("a") for _ in range(12)]

    assert pauses[0] <= queue.FIRST_PAUSE * 1.25
    assert queue.LONGEST_PAUSE * 0.75 <= pauses[-1] <= queue.LONGEST_PAUSE * 1.25


async def test_a_later_look_never_delays_an_earlier_one() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    async with running(work) as line:
        line.add_after("a", 0.01)
        line.add_after("a", 100)
        await reached(lambda: seen == ["a"])
