"""What an rclone holds that its bucket has not yet: how much it is, and how to have it stored.

rclone answers close() before it uploads. So nothing of it is ended before its queue is empty and no record in its cache
says that a file is dirty; and what cannot be stored in time stays in the cache, for the next rclone of the volume.
"""

import asyncio
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from moorage import rclonemount
from moorage.errors import MoorageError, NotReady
from moorage.rclonemount import Unsaved
from moorage_csi.mounter import rc, rclonecache

log = logging.getLogger(__name__)

_CALL_SECONDS = 10.0
_LOOK_SECONDS = 0.2  # between two looks at the queue
_MOST_HURRIED = 1000  # calls in one round; the others follow in the next


@dataclass(frozen=True, slots=True)
class Writeback:
    """One rclone: the socket of its remote control, and its cache."""

    socket: Path
    cache: Path

    def forget_old(self) -> None:
        """No socket of an rclone that was killed is left: another one would not start."""
        self.socket.unlink(missing_ok=True)

    async def serves(self) -> bool:
        """Whether it answers."""
        try:
            await rc.ask(self.socket, _CALL_SECONDS, "vfs/stats")
        except MoorageError:
            return False
        return True

    async def refused(self, deadline: float) -> Unsaved:
        """Files that the bucket did not take yet; none when rclone does not answer within `deadline` seconds."""
        try:
            return Unsaved.refused(await rc.ask(self.socket, deadline, "vfs/queue"))
        except MoorageError as error:
            log.warning("%s", error)
            return Unsaved()

    async def drain(self, seconds: float) -> Unsaved:
        """Have everything uploaded now; what is left after `seconds`, or when rclone does not answer (any more).

        Both are asked, queue and records: a file comes into the queue some time after its last close() has returned.
        """
        end = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                left = await self._hurried() or await self.left()
            except NotReady:  # it has died: nothing more comes of waiting
                return await self.left()
            if not left or asyncio.get_running_loop().time() >= end:
                return left
            await asyncio.sleep(_LOOK_SECONDS)

    async def left(self) -> Unsaved:
        """What the cache says is not in the bucket, whether an rclone runs or not."""
        return await asyncio.to_thread(self._dirty)

    def clear(self) -> None:
        """The cache goes, unless something in it is not in the bucket."""
        if left := self._dirty():
            log.error("%s is kept: %s of it are not in the bucket", self.cache, left)
        else:
            shutil.rmtree(self.cache, ignore_errors=True)

    async def _hurried(self) -> Unsaved:
        """What is queued, and all of it is due now: also what waits for its next try after a failure."""
        answer = await rc.ask(self.socket, _CALL_SECONDS, "vfs/queue")
        for fields in rclonemount.hurry(answer)[:_MOST_HURRIED]:
            try:
                await rc.ask(self.socket, _CALL_SECONDS, "vfs/queue-set-expiry", **fields)
            except MoorageError as error:  # it has been uploaded meanwhile
                log.debug("%s", error)
        return Unsaved.queued(answer)

    def _dirty(self) -> Unsaved:
        left = rclonecache.unsaved(self.cache)
        return Unsaved(len(left), sum(record.size for record in left))
