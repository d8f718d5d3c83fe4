"""Keeps the FUSE mounts of a node: each has one process, which is started again when it dies.

A process that ends because its mount was taken away is forgotten. One that dies otherwise leaves a dead mount; that is
taken away and the volume mounted anew at the same path, with growing pauses.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from moorage.errors import AlreadyExists, DeadlineExceeded, MoorageError, NotFound, NotReady, Unauthenticated
from moorage_csi import mounts
from moorage_csi.mounter.process import Process
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_APPEAR_SECONDS = 30.0
_PROBE_SECONDS = 20.0
_SETTLE_SECONDS = 0.1  # s3fs checks the bucket after it has mounted, and ends when it is refused
_STORE_SECONDS = 30.0  # for a process to store what it holds after its mount is gone
_PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0)  # before the first, second, ... new start
# What s3fs says when it ends at once; whatever else it says may pass.
_MEANINGS: Mapping[str, type[MoorageError]] = {
    "bucket or key not found": NotFound,
    "invalid credentials": Unauthenticated,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make the mount, again and again. `argv` gets the credentials file; secrets are only in `credentials`."""

    volume_id: str
    target: str
    kind: str
    fstype: str
    parameters: Mapping[str, str]
    argv: Callable[[str], Sequence[str]] = field(compare=False)
    credentials: str = field(compare=False, repr=False)
    hidden: Sequence[str] = field(compare=False, repr=False)  # what must never appear in a log


@dataclass(slots=True)
class Kept:
    """A mount that the supervisor keeps."""

    recipe: Recipe
    process: Process | None = None
    restarts: int = 0
    leaving: bool = False
    reviver: asyncio.Task[None] | None = None


class Supervisor:
    def __init__(self, runner: Runner, run_directory: Path) -> None:
        """`run_directory` holds the credentials files, on a tmpfs."""
        self._runner = runner
        self._run = run_directory
        self._kept: dict[str, Kept] = {}

    @property
    def mounts(self) -> tuple[Kept, ...]:
        return tuple(self._kept.values())

    async def mount(self, recipe: Recipe) -> None:
        """The mount is there and has answered; raises AlreadyExists when it is there in another way."""
        kept = self._kept.get(recipe.target)
        if kept and self._alive(kept):
            if kept.recipe != recipe:
                raise AlreadyExists(f"{recipe.target} is mounted with other parameters: unmount it first")
            kept.recipe = recipe  # a newer key, for the next start
            return
        await self._forget(recipe.target)
        await mounts.ensure_unmounted(self._runner, recipe.target)  # a dead one of an earlier mounter
        kept = Kept(recipe)
        try:
            await self._start(kept)
        except BaseException:
            await self._stop(kept)
            raise
        self._kept[recipe.target] = kept

    async def unmount(self, target: str) -> None:
        """Nothing is mounted at `target`, and its process has stored what it held."""
        kept = self._kept.get(target)
        if kept:
            kept.leaving = True
        await mounts.ensure_unmounted(self._runner, target)
        if kept and kept.process and not await kept.process.wait(_STORE_SECONDS):
            log.warning("%s: the process goes on after the unmount and is stopped", target)
        await self._forget(target)

    async def close(self) -> None:
        """Stop every process; each has stored what was closed or synced."""
        await asyncio.gather(*(self._stop(kept) for kept in self._kept.values()))

    def _alive(self, kept: Kept) -> bool:
        mount = mounts.at(kept.recipe.target)
        return bool(kept.process and kept.process.running and mount and mount.fstype == kept.recipe.fstype)

    async def _forget(self, target: str) -> None:
        kept = self._kept.pop(target, None)
        if kept:
            await self._stop(kept)

    async def _stop(self, kept: Kept) -> None:
        kept.leaving = True
        if kept.reviver:
            kept.reviver.cancel()
        if kept.process:
            await kept.process.stop()
        await mounts.ensure_unmounted(self._runner, kept.recipe.target)
        self._credentials(kept.recipe).unlink(missing_ok=True)

    async def _start(self, kept: Kept) -> None:
        recipe = kept.recipe
        mounts.make_directory(recipe.target)
        argv = recipe.argv(str(self._write_credentials(recipe)))
        kept.process = Process(argv, recipe.hidden, lambda: self._ended(kept))
        await self._appear(recipe, kept.process)
        answered = await self._probe(recipe)
        if await kept.process.wait(_SETTLE_SECONDS) or not answered:
            raise _failure(recipe, kept.process.last_words)

    async def _probe(self, recipe: Recipe) -> bool:
        """Whether the mount can be looked at; s3fs lets nobody in before its server has answered."""
        argv = ("stat", "--format=%F", recipe.target)
        try:
            return (await self._runner.run(argv, _PROBE_SECONDS, about=recipe.target)).status == 0
        except DeadlineExceeded:
            server = recipe.parameters.get("endpoint", "its server")
            raise NotReady(f"{server} did not answer {recipe.kind} for {_PROBE_SECONDS:g} s: is it running?") from None

    async def _appear(self, recipe: Recipe, process: Process) -> None:
        """Wait until the mount is in the table; raises NotReady with the program's last words when it ends before."""
        deadline = asyncio.get_running_loop().time() + _APPEAR_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            mount = mounts.at(recipe.target)
            if mount and mount.fstype == recipe.fstype:
                return
            if await process.wait(0.02):
                break
        raise _failure(recipe, process.last_words)

    def _ended(self, kept: Kept) -> None:
        """Called when a process has ended: by our wish, by an unmount from outside, or by dying."""
        if kept.leaving or self._kept.get(kept.recipe.target) is not kept:
            return
        if kept.process and kept.process.status == 0 and mounts.at(kept.recipe.target) is None:
            log.info("%s was unmounted from outside", kept.recipe.target)
            self._kept.pop(kept.recipe.target)
            self._credentials(kept.recipe).unlink(missing_ok=True)
            return
        if kept.reviver is None or kept.reviver.done():
            kept.reviver = asyncio.ensure_future(self._revive(kept))

    async def _revive(self, kept: Kept) -> None:
        while not kept.leaving and not self._alive(kept):
            pause = _PAUSES[min(kept.restarts, len(_PAUSES) - 1)]
            kept.restarts += 1
            words = kept.process.last_words if kept.process else ""
            log.warning("%s died (%s): new start %d in %g s", kept.recipe.target, words, kept.restarts, pause)
            await asyncio.sleep(pause)
            try:
                if kept.process:
                    await kept.process.stop()
                await mounts.ensure_unmounted(self._runner, kept.recipe.target)
                await self._start(kept)
            except Exception as error:  # whatever it was, the next round tries again
                log.warning("%s could not be mounted again: %s", kept.recipe.target, error)

    def _credentials(self, recipe: Recipe) -> Path:
        return self._run / f"{hashlib.sha256(recipe.target.encode()).hexdigest()[:24]}.passwd"

    def _write_credentials(self, recipe: Recipe) -> Path:
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._credentials(recipe)
        with suppress(FileNotFoundError):
            file.unlink()
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(recipe.credentials)
        return file


def _failure(recipe: Recipe, words: str) -> MoorageError:
    """What the last words of a mounter that ended at once mean (CSI spec, Error Scheme)."""
    kind = next((error for said, error in _MEANINGS.items() if said in words), NotReady)
    return kind(f"{recipe.kind} could not mount {recipe.volume_id}: {words}")
