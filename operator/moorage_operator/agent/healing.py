"""Shares whose file system has shut down, until they are served again."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from moorage import shutdown
from moorage.errors import MoorageError
from moorage.model import Phase, ShareState
from moorage.share import Wanted
from moorage.shutdown import Attempts
from moorage_operator.agent.catalogue import Entry
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.report import Site, VolumeReport, share_state

log = logging.getLogger(__name__)

_HEARD = 10.0  # seconds for the operator to make a phase and an Event of it: healing takes a tenth of one
_LOOK_EVERY = 0.05


class Healing:
    """When each may be tried again, and what is said of it meanwhile. Holds nothing that a restart would miss."""

    def __init__(
        self,
        mounts: Mounts,
        site: Site,
        report: VolumeReport,
        entries: Callable[[], Mapping[str, Entry]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mounts = mounts
        self._site = site
        self._report = report
        self._entries = entries
        self._clock = clock
        self._attempts: dict[str, Attempts] = {}
        self._broken: set[str] = set()

    async def pause(self, volume_id: str, entry: Entry | None, wanted: Wanted | None) -> float:
        """Seconds that this share must be left alone; 0.0 for all that are well, and when an attempt is due.

        That it is down is told before it is brought back, which takes a moment. What shall not be served any more is
        taken down at once.
        """
        if await asyncio.to_thread(self._mounts.down, volume_id):
            await self._note(volume_id, entry)
        if volume_id not in self._broken or not wanted or wanted.released:
            return 0.0
        now, before = self._clock(), self._attempts.get(volume_id, Attempts())
        wait = before.wait(now)
        if not wait:
            self._attempts[volume_id] = before.another(now)
        return wait

    def words(self, volume_id: str, reason: str, message: str) -> tuple[str, str]:
        """What is said of trouble: for a share that does not come back, why it went."""
        if volume_id not in self._broken or not message:
            return reason, message
        return shutdown.REASON, shutdown.failed(message)

    def settled(self, volume_id: str, trouble: bool, retry: float) -> float | None:
        """Seconds until the share is looked at again, after work on it: with trouble, not before `retry`."""
        if volume_id not in self._broken:
            return retry if trouble else None
        if not trouble:
            log.info("share %s is back", volume_id)
            self._broken.discard(volume_id)
            return None
        return max(retry, self._attempts.get(volume_id, Attempts()).wait(self._clock()))

    def forget(self, volume_id: str) -> None:
        """Its volume is gone."""
        self._broken.discard(volume_id)
        self._attempts.pop(volume_id, None)

    async def _note(self, volume_id: str, entry: Entry | None) -> None:
        if volume_id not in self._broken:
            log.error("share %s: %s", volume_id, shutdown.TEXT)
            self._broken.add(volume_id)
        told = entry and entry.reported and entry.reported.reason == shutdown.REASON
        if entry and not entry.wanted.released and not told:
            down = share_state(self._site, entry.wanted, ShareState.Failed, shutdown.REASON, shutdown.TEXT)
            try:
                await self._report.write(entry, down)
                await self._heard(volume_id)
            except MoorageError as error:  # what heals it must not wait for the API server
                log.warning("share %s: %s", volume_id, error)

    async def _heard(self, volume_id: str) -> None:
        """Until the operator has judged it so, for a while: one that is away does not hold up what heals."""
        ends = time.monotonic() + _HEARD
        while time.monotonic() < ends:
            entry = self._entries().get(volume_id)
            if not entry or entry.phase == Phase.FAILED:
                return
            await asyncio.sleep(_LOOK_EVERY)
