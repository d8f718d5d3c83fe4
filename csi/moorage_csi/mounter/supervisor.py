"""Keeps the FUSE mounts of a node: each has one process, which is started again when it dies.

A process with a connection of ours (moorfs) is started anew on the same connection: open files go on. Where that cannot
be, and for programs that hold their connection themselves, the dead mount is taken away, the volume mounted anew at the
same path with growing pauses, and the dead mounts that containers still show are replaced (`heal`).
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from moorage.errors import AlreadyExists, NotReady, Pending
from moorage_csi import mounts
from moorage_csi.mounter.cages import Cages
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.process import Process
from moorage_csi.mounter.recipe import Recipe
from moorage_csi.mounter.revival import Healer, Revival
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_END_SECONDS = 30.0  # for a process to store what it holds after its mount is gone, and to end
_NO_CAGES = Cages(0)

Told = Callable[[str, Kept | None], None]


class Supervisor:
    def __init__(
        self, runner: Runner, run_directory: Path, heal: Healer | None = None, cages: Cages = _NO_CAGES
    ) -> None:
        """`run_directory` holds the programs' files with their keys, on a tmpfs; `cages` their processes."""
        self._cages = cages
        self._runner = runner
        self._run = run_directory
        self._revival = Revival(runner, self._start, lambda kept: self.told(kept.recipe.target, kept), heal)
        self._kept: dict[str, Kept] = {}
        self._begun: set[str] = set()  # targets that are being mounted
        self._unmounted: set[str] = set()  # in this life: what others still keep of them is old
        self._undead: dict[str, Process] = {}  # by target: killed, and yet not ended
        self.told: Told = lambda target, kept: None  # who else keeps what we keep, in case we die

    @property
    def mounts(self) -> tuple[Kept, ...]:
        return tuple(self._kept.values())

    @property
    def targets(self) -> frozenset[str]:
        """Where something is mounted, or is about to be."""
        return frozenset(self._kept) | self._begun

    def at(self, target: str) -> Kept | None:
        return self._kept.get(target)

    async def mount(self, recipe: Recipe) -> None:
        """The mount is there and has answered; raises AlreadyExists when it is there in another way."""
        kept = self._kept.get(recipe.target)
        if kept and kept.alive:
            if kept.recipe != recipe:
                raise AlreadyExists(f"{recipe.target} is mounted with other parameters: unmount it first")
            kept.leaving, kept.refused = False, None  # an unmount that did not end
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
        shown = self._shown(recipe.target)
        await self._forget(recipe.target)
        self._check_dead(recipe.target)
        await mounts.ensure_unmounted(self._runner, recipe.target)
        kept = self._new(recipe)
        try:
            await self._start(kept)
        except BaseException:
            await self._stop(kept)
            raise
        self._unmounted.discard(recipe.target)
        self._keep(kept)
        await self._revival.mend(shown, recipe.target)

    def _shown(self, target: str) -> set[str]:
        """File systems that containers may still show of what was mounted there: by us, or by an earlier mounter."""
        kept, found = self._kept.get(target), mounts.at(target)
        shown = {found.device} if found else set[str]()
        if kept:
            shown |= {kept.filesystem, *kept.dead}
        return shown - {""}

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
            await self._store(kept)
        await mounts.ensure_unmounted(self._runner, target)
        if kept and kept.process and not await kept.process.wait(_END_SECONDS):
            log.warning("%s: the process goes on after the unmount and is stopped", target)
        self._unmounted.add(target)
        await self._forget(target)
        if kept and kept.writeback:
            await asyncio.to_thread(kept.writeback.clear)

    async def _store(self, kept: Kept) -> None:
        """Before an unmount. When it must not be yet, everything goes on as if nothing had been asked."""
        kept.leaving = True
        try:
            await kept.store()
        except BaseException:
            kept.leaving = False
            if not kept.alive:
                self._revive_soon(kept)
            raise

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
        if kept.process and not await kept.process.stop():
            self._undead[kept.recipe.target] = kept.process
        await mounts.ensure_unmounted(self._runner, kept.recipe.target)
        kept.give_up_connection()
        kept.tidy()

    def _check_dead(self, target: str) -> None:
        """Raises NotReady while an earlier process has not ended: two at once would write to one cache."""
        undead = self._undead.get(target)
        if undead and undead.running:
            raise NotReady(f"process {undead.pid} had {target} before and does not end, though killed (state D)")
        self._undead.pop(target, None)

    async def _start(self, kept: Kept, taking_over: bool = False) -> None:
        await kept.start(self._runner, lambda: self._ended(kept), taking_over)

    # What died comes back.

    def _ended(self, kept: Kept) -> None:
        """Called when a process has ended: by our wish, or however else. A program that somebody else asks to end takes
        its mount away and says that all went well: who shows it misses it as much as after a crash."""
        if not kept.leaving and self._kept.get(kept.recipe.target) is kept:
            self._revive_soon(kept)

    def _let_go(self, kept: Kept) -> None:
        """Nobody has it mounted any more."""
        log.warning("%s was unmounted from outside, and is not mounted again until somebody asks", kept.recipe.target)
        kept.leaving = True
        self._kept.pop(kept.recipe.target)
        self.told(kept.recipe.target, None)
        kept.give_up_connection()
        kept.tidy()

    def _revive_soon(self, kept: Kept) -> None:
        if kept.reviver is None or kept.reviver.done():
            kept.reviver = asyncio.ensure_future(self._revive(kept))

    async def _revive(self, kept: Kept) -> None:
        if not await self._revival.revive(kept) and self.at(kept.recipe.target) is kept:
            self._let_go(kept)
