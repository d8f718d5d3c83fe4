"""The work queue: each key at most once in line, never worked on twice at a time, tried again with growing pauses."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from moorage.errors import MoorageError

Key = TypeVar("Key", bound=Hashable)

FIRST_PAUSE = 0.5  # seconds; doubles with each failure in a row
LONGEST_PAUSE = 60.0

log = logging.getLogger(__name__)


class WorkQueue(Generic[Key]):
    """`work(key)` gives the seconds after which the key wants another look, or None."""

    def __init__(self, work: Callable[[Key], Awaitable[float | None]], workers: int = 16) -> None:
        self._work = work
        self._workers = workers
        self._line: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    @property
    def depth(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> int:
        return len(self._busy)

    def add(self, key: Key) -> None:
        """Ask for a look at once (or right after the one under way)."""
        self._forget_timer(key)
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._line.put_nowait(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Ask for a look in `delay` seconds; an earlier one asked for stands."""
        if delay <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        planned = self._later.get(key)
        if planned and planned.when() <= loop.time() + delay:
            return
        self._forget_timer(key)
        self._later[key] = loop.call_later(delay, self.add, key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._serve())
        finally:
            for timer in self._later.values():
                timer.cancel()
            self._later.clear()

    async def _serve(self) -> None:
        while True:
            key = await self._line.get()
            self._waiting.discard(key)
            self._busy.add(key)
            try:
                delay = await self._try(key)
            finally:
                self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif delay is not None:
                self.add_after(key, delay)

    async def _try(self, key: Key) -> float | None:
        try:
            delay = await self._work(key)
        except MoorageError as error:
            pause = max(self._pause(key), error.retry_after or 0)
            log.warning("%s: %s (again in %.1f s)", key, error, pause)
            return pause
        except Exception:  # one wrong object must not stop the others
            pause = self._pause(key)
            log.exception("%s: unexpected (again in %.1f s)", key, pause)
            return pause
        self._failures.pop(key, None)
        return delay

    def _pause(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
        return pause * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, guards nothing

    def _forget_timer(self, key: Key) -> None:
        timer = self._later.pop(key, None)
        if timer:
            timer.cancel()
