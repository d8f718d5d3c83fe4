"""One mount that the supervisor keeps: its process, its connection, and how they are started and ended."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moorage import rclonemount, unsaved
from moorage.errors import DeadlineExceeded, InUse, MoorageError, NotFound, NotReady, Unauthenticated
from moorage.unsaved import Unsaved
from moorage_csi import mounts
from moorage_csi.mounter import connection, control, wire
from moorage_csi.mounter.cages import Cages
from moorage_csi.mounter.process import Process
from moorage_csi.mounter.programs import CONTROL
from moorage_csi.mounter.recipe import Place, Recipe
from moorage_csi.mounter.writeback import Writeback
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_APPEAR_SECONDS = 30.0
_PROBE_SECONDS = 20.0
_STORE_SECONDS = 20.0  # for what moorfs or rclone has not stored yet
_PATIENCE = 900.0  # seconds for which an unmount is refused because of files that are not stored
_TELL_SECONDS = 5.0  # for an answer
_SETTLE_SECONDS = 0.1  # s3fs checks the bucket after it has mounted, and ends when it is refused
# What a program says when it ends at once; whatever else it says may pass.
_MEANINGS: Mapping[str, type[MoorageError]] = {
    "bucket or key not found": NotFound,
    "invalid credentials": Unauthenticated,
}


@dataclass(slots=True)
class Kept:
    """A mount. `folder`: of its files, on a tmpfs. `device`: the connection, where it is ours. `filesystem`: what it
    shows, or showed last (major:minor); `dead`: those that containers may still show. `restarts`: how often its
    process was started again.
    """

    recipe: Recipe
    folder: Path
    cages: Cages
    device: int | None = None
    filesystem: str = ""
    dead: set[str] = field(default_factory=set[str])
    process: Process | None = None
    ready: float | None = None
    restarts: int = 0
    quick_deaths: int = 0
    leaving: bool = False
    refused: float | None = None  # since when its unmount is refused
    reviver: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Its process runs and its mount is in the table."""
        mount = mounts.at(self.recipe.target)
        return bool(self.process and self.process.running and mount and mount.fstype == self.recipe.fstype)

    @property
    def served(self) -> float:
        """Seconds since its process began to answer; 0 when it never did."""
        return 0.0 if self.ready is None else time.monotonic() - self.ready

    async def start(self, runner: Runner, on_exit: Callable[[], None], taking_over: bool = False) -> None:
        """Mounted and answering when this returns; raises the program's last words as an error when it ends."""
        recipe = self.recipe
        if recipe.check:
            await recipe.check()
        mounts.make_directory(recipe.target)
        if recipe.connection:
            self._connect()
        place = Place(self.folder, self.device, taking_over)
        self.write(recipe.files(place))
        if self.writeback:
            self.writeback.forget_old()
        handed = () if self.device is None else (self.device,)
        self.process = Process(recipe.argv(place), recipe.hidden, on_exit, handed, recipe.environment(place))
        self.cages.hold(recipe.name, self.process.pid)
        self.ready = None
        await self._until(self.process, self._appears)
        if recipe.connection or recipe.writeback:
            await self._until(self.process, self._serves)
        self.ready = time.monotonic()
        # Who takes over serves callers that wait already: one more would prove nothing.
        answered = taking_over or await self._probe(runner)
        if await self.process.wait(_SETTLE_SECONDS) or not answered:
            raise self.failure()

    def _connect(self) -> None:
        """A connection, mounted. Raises EndedError when an old one is shown nowhere any more."""
        recipe, found = self.recipe, mounts.at(self.recipe.target)
        if self.device is None:
            self.device = connection.open_mounted(recipe.target, recipe.fstype, recipe.source, recipe.flags)
        elif found is None or found.fstype != recipe.fstype:  # somebody has unmounted it; containers may show it still
            connection.show_again(self.device, recipe.target, recipe.fstype, recipe.source, recipe.flags)
            log.warning("%s was unmounted from outside: the same file system is mounted there again", recipe.target)

    async def end(self) -> None:
        """Its process has ended. Raises NotReady when it does not: there are never two at once."""
        if self.process and not await self.process.stop():
            raise NotReady(
                f"process {self.process.pid} of {self.recipe.target} does not end, not even when killed: the kernel "
                "holds it (state D); if that lasts, restart the node"
            )

    def write(self, files: Mapping[str, str]) -> None:
        """The program's files, each written whole and moved into place: it may read one again at any time."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in files.items():
            fresh = self.folder / f".{name}"
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            fresh.rename(self.folder / name)

    async def rewrite(self) -> None:
        """The files anew, for a newer key; moorfs takes it at once."""
        if self.process:
            self.process.hide(self.recipe.hidden)
        self.write(self.recipe.files(Place(self.folder, self.device)))
        await self._tell("rekey")

    @property
    def writeback(self) -> Writeback | None:
        """What it holds back, where the program stores after close()."""
        return self.recipe.writeback(self.folder) if self.recipe.writeback else None

    async def store(self) -> None:
        """What it holds is stored, or stays in its cache on this node until it is mounted here again. An rclone that
        still has something to upload is not unmounted so soon: raises InUse.
        """
        if self.writeback:
            return await self._store_all(self.writeback)
        answer = await self._tell("store", seconds=_STORE_SECONDS)
        if answer.get("stored") is False:
            log.error("%s: not stored yet, kept on this node: %s", self.recipe.target, answer.get("unsaved"))

    async def _store_all(self, writeback: Writeback) -> None:
        left = await writeback.drain(_STORE_SECONDS)
        if not left:
            return
        now = time.monotonic()
        self.refused = self.refused or now
        where = (
            f"{left} of {self.recipe.volume_id} are on this node only, bucket {self.recipe.source} has not taken them"
        )
        if now - self.refused < _PATIENCE:
            raise InUse(f"{where} yet: rclone goes on with them and the unmount is tried again")
        log.error("%s: they stay in %s until the volume is mounted on this node again", where, writeback.cache)

    async def hand_over(self) -> None:
        """The process ends; the mount waits for the next mounter, and so does what rclone could not store in time."""
        if self.writeback and (left := await self.writeback.drain(_STORE_SECONDS)):
            log.error("%s: %s are not stored yet, the next mounter goes on with them", self.recipe.target, left)
        await self._tell("handover")
        if self.process:
            await self.process.stop()

    async def metrics(self, deadline: float) -> str:
        """What its program tells of this volume, in Prometheus' text format."""
        if self.writeback:
            volume = "/".join(self.recipe.volume_id.split("/")[:2])
            return rclonemount.metrics(volume, await self.writeback.refused(deadline))
        return str((await self._tell("metrics", deadline)).get("text", ""))

    async def trouble(self, left: Sequence[Unsaved] = ()) -> str:
        """What its users should know, in a sentence: files that the bucket did not take. Empty when all is well.

        `left`: what other mounts of the volume that are over have left on this node.
        """
        if not self.recipe.connection and not self.recipe.writeback:
            return ""
        if not self.process or not self.process.running:
            return f"its {self.recipe.kind} has died and is being started again"
        if self.writeback:
            refused = await self.writeback.refused(_TELL_SECONDS)
            return f"{refused} are on this node only: the bucket did not take them yet" if refused else ""
        found = await self._tell("stats")
        figures, listed = found.get("figures", {}), list(found.get("unsaved", ()))
        count, size = int(figures.get("unsaved_files", 0)), int(figures.get("unsaved_bytes", 0))
        listed += [unsaved.told(record) for record in left]
        return unsaved.sentence(count + len(left), size + sum(record.size for record in left), listed)

    async def _tell(
        self, method: str, deadline: float = _STORE_SECONDS + _TELL_SECONDS, **fields: object
    ) -> wire.Fields:
        if not self.recipe.connection or not self.process or not self.process.running:
            return {}
        return await control.tell(self.folder / CONTROL, deadline, method, **fields)

    def give_up_connection(self) -> None:
        """Who waits for an answer gets an error, once no other process holds the connection either."""
        if self.device is not None:
            os.close(self.device)
            self.device = None

    def tidy(self) -> None:
        """No file of it stays, its key least of all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.cages.release(self.recipe.name)

    def failure(self) -> MoorageError:
        """What the last words of a program that ended at once mean (CSI spec, Error Scheme)."""
        words = self.process.last_words if self.process else ""
        kind = next((error for said, error in _MEANINGS.items() if said in words), NotReady)
        return kind(f"{self.recipe.kind} could not mount {self.recipe.volume_id}: {words}")

    async def _probe(self, runner: Runner) -> bool:
        """Whether the mount can be looked at; s3fs lets nobody in before its server has answered."""
        argv = ("stat", "--format=%F", self.recipe.target)
        try:
            return (await runner.run(argv, _PROBE_SECONDS, about=self.recipe.target)).status == 0
        except DeadlineExceeded:
            server = self.recipe.parameters.get("endpoint", "its server")
            kind = self.recipe.kind
            raise NotReady(f"{server} did not answer {kind} for {_PROBE_SECONDS:g} s: is it running?") from None

    async def _until(self, process: Process, done: Callable[[], Awaitable[bool]]) -> None:
        """Look until `done`; raises with the program's last words when it ends before, or takes too long."""
        deadline = asyncio.get_running_loop().time() + _APPEAR_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if await done():
                return
            if await process.wait(0.02):
                break
        raise self.failure()

    async def _appears(self) -> bool:
        """Whether the mount is in the table."""
        mount = mounts.at(self.recipe.target)
        if mount is None or mount.fstype != self.recipe.fstype:
            return False
        self.filesystem = mount.device
        return True

    async def _serves(self) -> bool:
        """Whether it answers on its control socket."""
        if self.writeback:
            return await self.writeback.serves()
        return bool(await control.tell(self.folder / CONTROL, _TELL_SECONDS, "stats"))
