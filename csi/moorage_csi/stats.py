"""Space and inodes of a mounted volume, looked at in a child process: a dead server makes statfs(2) hang."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from moorage.errors import DeadlineExceeded, MoorageError
from moorage_csi import mounts
from moorage_csi.runner import Runner

SECONDS = 5.0
_KEPT = 1000  # volumes whose last figures are remembered
_MOST = 2**62  # s3fs says 16 EiB, which is more than the int64 of the CSI message holds
FORMAT = "%S %b %f %a %c %d"  # stat(1): block size, blocks, free, available to users, inodes, free inodes


@dataclass(frozen=True, slots=True)
class Stats:
    """Bytes and inodes."""

    total: int
    used: int
    available: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class Health:
    abnormal: bool
    message: str


class Watcher:
    """Looks at volumes and remembers the last answer of each, for when one hangs.

    However many pods show a volume, and however often somebody asks, at most one child looks at it at a time: when a
    server is dead for hours, hours of questions do not fill the node with children that cannot die.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._known: OrderedDict[str, Stats] = OrderedDict()
        self._looks: dict[str, asyncio.Task[Health]] = {}

    async def look(self, path: str) -> tuple[Stats | None, Health]:
        """The newest figures known, and whether the volume answers; takes 5 s at most."""
        volume = name(path)
        look = self._looks.get(volume)
        if look is None:
            look = self._looks[volume] = asyncio.create_task(self._look(path, volume))
            look.add_done_callback(lambda _: self._looks.pop(volume, None))
        health = await asyncio.shield(look)  # others may wait for it too
        return self._known.get(volume), health

    async def _look(self, path: str, volume: str) -> Health:
        argv = ("stat", "--file-system", f"--format={FORMAT}", path)
        try:
            output = await self._runner.run(argv, SECONDS, about=volume)
            if output.status:
                raise MoorageError(output.complaint)
        except DeadlineExceeded as error:
            return Health(True, f"the volume does not answer, its server may be down: {error}")
        except MoorageError as error:
            return Health(True, f"the mount is broken: {error}")
        self._remember(volume, parse(output.stdout))
        return Health(False, "the volume answers")

    def _remember(self, volume: str, stats: Stats) -> None:
        self._known[volume] = stats
        self._known.move_to_end(volume)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    async def answers(self, path: str) -> bool:
        """Whether something is mounted at `path` and answers; by statfs(2), which nothing caches."""
        return mounts.at(path) is not None and not (await self.look(path))[1].abnormal


def name(path: str) -> str:
    """Stands for the file system mounted at `path`, which may be mounted at others too."""
    mount = mounts.at(path)
    return mount.name if mount else path


def parse(text: str) -> Stats:
    """Read the answer of stat(1) in FORMAT."""
    block, blocks, free, available, inodes, inodes_free = (int(word) for word in text.split())
    used = blocks - free
    return Stats(*(min(n, _MOST) for n in (block * blocks, block * used, block * available, inodes, inodes_free)))
