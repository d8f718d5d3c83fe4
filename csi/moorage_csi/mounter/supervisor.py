"""Keeps the FUSE mounts of a node: each has one process, which is started again when it dies.

A process with a connection of ours (moorfs) is started anew on the same connection: open files go on. Where that cannot
be, and for programs that hold their connection themselves, the dead mount is taken away, the volume mounted anew at the
same path with growing pauses, and the dead mounts that containers still show are replaced (`heal`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from moorage.errors import AlreadyExists, MoorageError, Pending
from moorage_csi import mounts
from moorage_csi.mounter.cages import Cages
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.recipe import Recipe
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_STORE_SECONDS = 30.0  # for a process to store what it holds after its mount is gone
_PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0)  # before the first, second, ... new mount
_QUICK_SECONDS = 2.0  # a process that answered no longer died at its start
_MOST_TAKEOVERS = 5  # failures in a row, whatever their reason
_QUICK_DEATHS = 3  # in a row, after which its connection is given up: nobody shall wait for it for ever
_NO_CAGES = Cages(0)
CANNOT_TAKE_OVER = 3  # exit status of moorfs (`moorfs.settings`)


class Healer(Protocol):
    """Replaces what containers show of a dead file system (`device`, major:minor) by what is mounted at `target`."""

    async def __call__(self, device: str, target: str) -> None: ...


Told = Callable[[str, Kept | None], None]


class Supervisor:
    def __init__(
        self, runner: Runner, run_directory: Path, heal: Healer | None = None, cages: Cages = _NO_CAGES
    ) -> None:
        """`run_directory` holds the programs' files with their keys, on a tmpfs; `cages` their processes."""
        self._cages = cages
        self._runner = runner
        self._run = run_directory
        self._heal = heal
        self._kept: dict[str, Kept] = {}
        self._begun: set[str] = set()  # targets that are being mounted
        self._unmounted: set[str] = set()  # in this life: what others still keep of them is old
        self.told: Told = lambda target, kept: None  # who else keeps what we keep, in case we die

    @property
    def mounts(self) -> tuple[Kept, ...]:
        return tuple(self._kept.values())

    def at(self, target: str) -> Kept | None:
        return self._kept.get(target)

    async def mount(self, recipe: Recipe) -> None:
        """The mount is there and has answered; raises AlreadyExists when it is there in another way."""
        kept = self._kept.get(recipe.target)
        if kept and kept.alive:
            if kept.recipe != recipe:
                raise AlreadyExists(f"{recipe.target} is mounted with other parameters: unmount it first")
            kept.leaving = False  # an unmount that did not end
            await self.rekey(recipe)
            return
        if kept and kept.reviver and not kept.reviver.done():
            raise Pending(f"{recipe.target} is being brought back; call again")
        self._begun.add(recipe.target)
        try:
            await self._mount(recipe)
        finally:
            self._begun.discard(recipe.target)

    async def _mount(self, recipe: Recipe) -> None:
        await self._forget(recipe.target)
        found = mounts.at(recipe.target)  # of an earlier mounter
        await mounts.ensure_unmounted(self._runner, recipe.target)
        kept = self._new(recipe)
        try:
            await self._start(kept)
        except BaseException:
            await self._stop(kept)
            raise
        self._unmounted.discard(recipe.target)
        self._keep(kept)
        await self._mend({found.device} if found else set(), recipe.target)

    def is_ours(self, target: str) -> bool:
        """Whether we know better than an earlier mounter what shall be at `target`."""
        return target in self._kept or target in self._begun or target in self._unmounted

    async def restore(self, recipe: Recipe, device: int | None, filesystem: str) -> None:
        """A mount that an earlier mounter kept: its connection is taken over, or it is mounted anew and mended.

        `filesystem`: what containers were shown of it.
        """
        kept = self._kept[recipe.target] = self._new(recipe, device)
        kept.filesystem = filesystem
        self._keep(kept)
        self._revive_soon(kept)

    async def rekey(self, recipe: Recipe) -> None:
        """A newer key: for the running process, where it can change its key, and for the next start."""
        kept = self._kept.get(recipe.target)
        if kept is None or dict(kept.recipe.secrets) == dict(recipe.secrets):
            return
        kept.recipe = recipe
        await kept.rewrite()
        self.told(recipe.target, kept)
        log.info("%s has a newer key", recipe.target)

    async def unmount(self, target: str) -> None:
        """Nothing is mounted at `target`, and its process has stored what it held."""
        kept = self._kept.get(target)
        if kept:
            kept.leaving = True
            await kept.store()
        await mounts.ensure_unmounted(self._runner, target)
        if kept and kept.process and not await kept.process.wait(_STORE_SECONDS):
            log.warning("%s: the process goes on after the unmount and is stopped", target)
        self._unmounted.add(target)
        await self._forget(target)

    async def close(self) -> None:
        """Stop every process; each has stored what was closed or synced. The mounts stay, for the next mounter."""
        for kept in self._kept.values():
            kept.leaving = True
            if kept.reviver:
                kept.reviver.cancel()
        await asyncio.gather(*(kept.hand_over() for kept in self._kept.values()))

    def _new(self, recipe: Recipe, device: int | None = None) -> Kept:
        return Kept(recipe, self._run / recipe.name, self._cages, device)

    def _keep(self, kept: Kept) -> None:
        self._kept[kept.recipe.target] = kept
        self.told(kept.recipe.target, kept)

    async def _forget(self, target: str) -> None:
        kept = self._kept.pop(target, None)
        if kept:
            self.told(target, None)
            await self._stop(kept)

    async def _stop(self, kept: Kept) -> None:
        kept.leaving = True
        if kept.reviver:
            kept.reviver.cancel()
        if kept.process:
            await kept.process.stop()
        await mounts.ensure_unmounted(self._runner, kept.recipe.target)
        kept.give_up_connection()
        kept.tidy()

    async def _start(self, kept: Kept, taking_over: bool = False) -> None:
        await kept.start(self._runner, lambda: self._ended(kept), taking_over)

    # What died comes back.

    def _ended(self, kept: Kept) -> None:
        """Called when a process has ended: by our wish, by an unmount from outside, or by dying."""
        if kept.leaving or self._kept.get(kept.recipe.target) is not kept:
            return
        if kept.process and kept.process.status == 0 and mounts.at(kept.recipe.target) is None:
            log.info("%s was unmounted from outside", kept.recipe.target)
            kept.leaving = True
            self._kept.pop(kept.recipe.target)
            self.told(kept.recipe.target, None)
            kept.give_up_connection()
            kept.tidy()
            return
        self._revive_soon(kept)

    def _revive_soon(self, kept: Kept) -> None:
        if kept.reviver is None or kept.reviver.done():
            kept.reviver = asyncio.ensure_future(self._revive(kept))

    async def _revive(self, kept: Kept) -> None:
        failures = 0
        while not kept.leaving and not kept.alive:
            takes_over = kept.device is not None and failures < _MOST_TAKEOVERS and not self._hopeless(kept)
            if kept.device is not None and not takes_over:
                kept.give_up_connection()
                self.told(kept.recipe.target, kept)  # the node plugin lets go too: those who wait get an error
            if failures or not takes_over:
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            try:
                await (self._take_over(kept) if takes_over else self._mount_anew(kept))
            except Exception as error:  # whatever it was, the next round tries again
                failures += 1
                log.warning("%s could not be brought back: %s", kept.recipe.target, error)

    def _hopeless(self, kept: Kept) -> bool:
        """Whether its connection is to be given up: those who wait on it get an error, and it is mounted anew."""
        if kept.process is None:
            return False
        kept.quick_deaths = kept.quick_deaths + 1 if kept.served < _QUICK_SECONDS else 1
        if kept.quick_deaths < _QUICK_DEATHS and kept.process.status != CANNOT_TAKE_OVER:
            return False
        log.error("%s: its connection is given up (%s)", kept.recipe.target, kept.process.last_words)
        kept.quick_deaths = 0
        return True

    async def _take_over(self, kept: Kept) -> None:
        self._tell_death(kept)
        if kept.process:
            await kept.process.stop()
        await self._start(kept, taking_over=True)

    async def _mount_anew(self, kept: Kept) -> None:
        self._tell_death(kept)
        if kept.process:
            await kept.process.stop()
        if kept.filesystem:
            kept.dead.add(kept.filesystem)
        await mounts.ensure_unmounted(self._runner, kept.recipe.target)
        try:
            await self._start(kept)
        except BaseException:
            if kept.process:
                await kept.process.stop()
            raise
        self.told(kept.recipe.target, kept)
        await self._mend(kept.dead, kept.recipe.target)
        kept.dead.clear()

    def _tell_death(self, kept: Kept) -> None:
        if kept.process is None:
            log.info("%s is taken over from an earlier mounter", kept.recipe.target)
            return
        kept.restarts += 1
        log.warning("%s died (%s): new start %d", kept.recipe.target, kept.process.last_words, kept.restarts)

    async def _mend(self, dead: Iterable[str], target: str) -> None:
        """The mount itself is well: what fails here concerns containers that run already."""
        if self._heal is None:
            return
        for device in tuple(dead):
            try:
                await self._heal(device, target)
            except MoorageError as error:
                log.warning("what showed %s before is not replaced everywhere: %s", target, error)
