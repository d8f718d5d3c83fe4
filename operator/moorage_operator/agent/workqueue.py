"""Keys to work on: each once at a time, again when it was asked for meanwhile, later when it failed."""

import asyncio
from collections.abc import Awaitable, Callable


class WorkQueue:
    """`work(key)` returns seconds until it must be tried again, or None."""

    def __init__(self, work: Callable[[str], Awaitable[float | None]], workers: int) -> None:
        self._work = work
        self._workers = workers
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._running: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def busy(self) -> bool:
        """Whether a key is worked on or waits for its turn; those that wait for their time do not count."""
        return bool(self._waiting or self._running)

    def add(self, key: str) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._running:
            self._queue.put_nowait(key)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._queue.get()
            self._waiting.discard(key)
            self._running.add(key)
            try:
                self._again_in(key, await self._work(key))
            finally:
                self._running.discard(key)
                if key in self._waiting:
                    self._queue.put_nowait(key)

    def _again_in(self, key: str, seconds: float | None) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if seconds is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)
