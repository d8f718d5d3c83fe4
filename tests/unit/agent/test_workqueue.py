"""Keys: one worker each at a time, again when asked meanwhile, later when wanted."""

import asyncio

from moorage_operator.agent.workqueue import WorkQueue


async def test_a_key_asked_for_while_it_is_worked_on_runs_once_more_and_never_twice_at_once() -> None:
    running, most, runs = 0, 0, 0
    done = asyncio.Event()

    async def work(_key: str) -> float | None:
        nonlocal running, most, runs
        running += 1
        most = max(most, running)
        if runs == 0:
            queue.add("a")
            queue.add("a")
        await asyncio.sleep(0)
        running, runs = running - 1, runs + 1
        if runs == 2:
            done.set()
        return None

    queue = WorkQueue(work, 4)
    queue.add("a")
    async with asyncio.timeout(60):
        task = asyncio.create_task(queue.run())
        await done.wait()
    task.cancel()

    assert (most, runs) == (1, 2)


async def test_a_key_that_asks_for_it_comes_back() -> None:
    seen: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> float | None:
        seen.append(key)
        if len(seen) == 3:
            done.set()
            return None
        return 0.001

    queue = WorkQueue(work, 1)
    queue.add("a")
    async with asyncio.timeout(60):
        task = asyncio.create_task(queue.run())
        await done.wait()
    task.cancel()

    assert seen == ["a", "a", "a"]
