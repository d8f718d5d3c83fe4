"""Room of deleted files, given back to a pool that promises more than it holds: fstrim of its sparse images."""

import asyncio
import contextlib
import logging
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable

from moorage import imagesize
from moorage.errors import MoorageError
from moorage_operator.agent.longwork import in_long_thread
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.pool import Pool

log = logging.getLogger(__name__)

_LOOK_EVERY = 60.0
_REST = 3600.0  # seconds between two trims of one image: what its files free in between may be in use again
_REST_IF_FULL = 120.0
_DEADLINE = 120.0
_SMALLEST = 2**20  # bytes: smaller holes are not worth their extents in the pool's file system


class Trimmer:
    """One image at a time, the one with the most to give. An image that was reserved is never touched."""

    def __init__(self, pool: Pool, mounts: Mounts, overfull: Callable[[], bool]) -> None:
        self._pool = pool
        self._mounts = mounts
        self._overfull = overfull
        self._tried: dict[str, float] = {}
        self._at_work: tuple[str, Process] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await self._reserve()
            worst = await asyncio.to_thread(self._worst)
            if worst:
                await self.trim(worst)

    async def _reserve(self) -> None:
        try:
            await in_long_thread(self._pool.ensure_spare)
            await in_long_thread(self._pool.ensure_reserved)
        except (MoorageError, OSError) as error:
            log.error(
                "a volume that was reserved was trimmed from outside, and its room is not there any more: %s", error
            )

    async def trim(self, volume_id: str) -> None:
        """Bounded by a deadline; what was trimmed until then stays so."""
        self._tried[volume_id] = time.monotonic()
        command = ("fstrim", "--minimum", str(_SMALLEST), str(self._mounts.point(volume_id)))
        child = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        self._at_work = volume_id, child
        try:
            _, words = await asyncio.wait_for(child.communicate(), _DEADLINE)
            if child.returncode and words:
                log.warning("share %s: %s", volume_id, words.decode(errors="replace").strip())
        except TimeoutError:
            log.warning("share %s: fstrim did not end within %.0f s", volume_id, _DEADLINE)
        finally:
            _kill(child)
            self._at_work = None

    async def let_go(self, volume_id: str) -> None:
        """Before an unmount: a trim under way would keep the mount busy."""
        if self._at_work and self._at_work[0] == volume_id:
            child = self._at_work[1]
            _kill(child)
            await child.wait()

    def _worst(self) -> str | None:
        """Blocking. The sparse, mounted image with the most waste of those that are due."""
        rest = _REST_IF_FULL if self._overfull() else _REST
        now = time.monotonic()
        found = [
            (self._waste(record.id), record.id)
            for record in self._pool.records()
            if record.sparse and now - self._tried.get(record.id, -_REST) >= rest
        ]
        most, volume_id = max(found, default=(0, ""))
        return volume_id if most >= imagesize.WASTE else None

    def _waste(self, volume_id: str) -> int:
        try:
            if not self._mounts.mounted(volume_id) or self._mounts.down(volume_id):
                return 0
            used = self._mounts.figures(volume_id).usage.used_bytes
            return imagesize.waste(self._pool.allocated_bytes(volume_id), used)
        except OSError:
            return 0


def _kill(child: Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
