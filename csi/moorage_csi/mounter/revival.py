"""How a mount whose process died comes back: on the same connection where that can be, else mounted anew and mended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from moorage.errors import MoorageError
from moorage_csi import mounts
from moorage_csi.mounter.connection import EndedError
from moorage_csi.mounter.kept import Kept
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0)  # before the first, second, ... new mount
_QUICK_SECONDS = 2.0  # a process that answered no longer died at its start
_MOST_TAKEOVERS = 5  # failures in a row, whatever their reason
_QUICK_DEATHS = 3  # in a row, after which its connection is given up: nobody shall wait for it for ever
CONNECTION_ENDED, CANNOT_TAKE_OVER = 0, 3  # exit statuses of moorfs (`moorfs.settings`)


class Healer(Protocol):
    """Replaces what containers show of a dead file system (`device`, major:minor) by what is mounted at `target`."""

    async def __call__(self, device: str, target: str) -> None: ...


class Revival:
    def __init__(
        self,
        runner: Runner,
        start: Callable[[Kept, bool], Awaitable[None]],
        told: Callable[[Kept], None],
        heal: Healer | None,
    ) -> None:
        """`start`: of its process, which takes over or not; `told`: its connection is another one, or given up."""
        self._runner = runner
        self._start = start
        self._told = told
        self._heal = heal

    async def revive(self, kept: Kept) -> bool:
        """Until it lives, or shall not. False: nobody shows it any more, so nobody misses it."""
        failures = 0
        while not kept.leaving and not kept.alive:
            takes_over = kept.device is not None and failures < _MOST_TAKEOVERS and not _hopeless(kept)
            if kept.device is not None and not takes_over:
                kept.give_up_connection()
                self._told(kept)  # the node plugin lets go too: those who wait get an error
            if failures or not takes_over:
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            try:
                await (self._take_over(kept) if takes_over else self._mount_anew(kept))
            except EndedError:
                return False
            except Exception as error:  # whatever it was, the next round tries again
                failures += 1
                log.warning("%s could not be brought back: %s", kept.recipe.target, error)
        return True

    async def mend(self, dead: Iterable[str], target: str) -> None:
        """The mount itself is well: what fails here concerns containers that run already."""
        if self._heal is None:
            return
        for device in tuple(dead):
            try:
                await self._heal(device, target)
            except MoorageError as error:
                log.warning("what showed %s before is not replaced everywhere: %s", target, error)

    async def _take_over(self, kept: Kept) -> None:
        _tell_death(kept)
        await kept.end()
        await self._start(kept, True)

    async def _mount_anew(self, kept: Kept) -> None:
        _tell_death(kept)
        await kept.end()
        if kept.filesystem:
            kept.dead.add(kept.filesystem)
        await mounts.ensure_unmounted(self._runner, kept.recipe.target)
        try:
            await self._start(kept, False)
        except BaseException:
            if kept.process:
                await kept.process.stop()
            raise
        self._told(kept)
        await self.mend(kept.dead, kept.recipe.target)
        kept.dead.clear()


def _hopeless(kept: Kept) -> bool:
    """Whether its connection is to be given up: those who wait on it get an error, and it is mounted anew."""
    if kept.process is None:
        return False
    kept.quick_deaths = kept.quick_deaths + 1 if kept.served < _QUICK_SECONDS else 1
    said = not kept.process.running and kept.process.status in (CONNECTION_ENDED, CANNOT_TAKE_OVER)
    if kept.quick_deaths < _QUICK_DEATHS and not said:
        return False
    log.error("%s: its connection is given up (%s)", kept.recipe.target, kept.process.last_words)
    kept.quick_deaths = 0
    return True


def _tell_death(kept: Kept) -> None:
    if kept.process is None:
        log.info("%s is taken over from an earlier mounter", kept.recipe.target)
        return
    kept.restarts += 1
    log.warning("%s died (%s): new start %d", kept.recipe.target, kept.process.last_words, kept.restarts)
