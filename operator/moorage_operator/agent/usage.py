"""`status.usage` of the shares that are served: looked at often, written seldom."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from moorage import usage
from moorage.errors import MoorageError
from moorage.model import Usage
from moorage_operator.agent.catalogue import Entry
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.report import VolumeReport

log = logging.getLogger(__name__)

_LOOK_EVERY = 10.0
_LOOK_DEADLINE = 20.0
_SPACING = 0.05  # seconds between two writes: 20 a second for all volumes together


class UsageWatch:
    """`entries` gives the volumes placed here, by id; `down` is told of one whose file system has shut down."""

    def __init__(
        self,
        mounts: Mounts,
        report: VolumeReport,
        entries: Callable[[], Mapping[str, Entry]],
        down: Callable[[str], None],
    ) -> None:
        self._mounts = mounts
        self._report = report
        self._entries = entries
        self._down = down
        self._told: dict[str, tuple[float, Usage]] = {}  # id -> when and what
        self._looking: asyncio.Task[dict[str, Usage | None]] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self.look()
            except TimeoutError:
                log.warning("the pool does not say how full its shares are: is its disk hanging?")

    async def look(self) -> None:
        """One look at all, in one thread; raises TimeoutError. One that hangs is waited for, not joined by more."""
        served = [key for key, entry in self._entries().items() if entry.is_served]
        self._looking = self._looking or asyncio.create_task(asyncio.to_thread(self._figures, served))
        seen = await asyncio.wait_for(asyncio.shield(self._looking), _LOOK_DEADLINE)
        self._looking = None
        for volume_id in [each for each, now in seen.items() if now is None]:
            self._down(volume_id)
        found = {volume_id: now for volume_id, now in seen.items() if now}
        self._told = {key: told for key, told in self._told.items() if key in found}
        for volume_id, now in found.items():
            entry = self._entries().get(volume_id)
            if entry and entry.is_served and self._is_due(entry, now):
                await self._write(entry, now)
                await asyncio.sleep(_SPACING)

    def _is_due(self, entry: Entry, now: Usage) -> bool:
        at, told = self._told.get(entry.wanted.id, (None, entry.usage))
        age = usage.SMALL_EVERY if at is None else time.monotonic() - at
        return age >= usage.AT_MOST_EVERY and usage.is_worth_telling(told, now, age)

    async def _write(self, entry: Entry, now: Usage) -> None:
        try:
            await self._report.write_usage(entry, now)
        except MoorageError as error:
            log.debug("usage of share %s: %s", entry.wanted.id, error)
            return
        self._told[entry.wanted.id] = (time.monotonic(), now)

    def _figures(self, ids: Iterable[str]) -> dict[str, Usage | None]:
        """Blocking. None: its file system has shut down."""
        found: dict[str, Usage | None] = {}
        for volume_id in ids:
            try:
                if self._mounts.down(volume_id):
                    found[volume_id] = None
                elif self._mounts.mounted(volume_id):
                    found[volume_id] = self._mounts.figures(volume_id).usage
            except OSError as error:  # unmounted just now
                log.debug("share %s: %s", volume_id, error)
        return found
