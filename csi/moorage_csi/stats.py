"""Space and inodes of a mounted volume, looked at in a child process: a dead server makes statfs(2) hang."""

from dataclasses import dataclass

from moorage.errors import DeadlineExceeded, MoorageError
from moorage_csi import mounts
from moorage_csi.runner import Runner

_SECONDS = 5.0
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
    """Looks at volumes and remembers the last answer of each, for when one hangs."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._known: dict[str, Stats] = {}

    async def look(self, path: str) -> tuple[Stats | None, Health]:
        """The newest figures known, and whether the volume answers."""
        try:
            output = await self._runner.run(("stat", "--file-system", f"--format={FORMAT}", path), _SECONDS, about=path)
            if output.status:
                raise MoorageError(output.complaint)
        except DeadlineExceeded as error:
            return self._known.get(path), Health(True, f"the volume does not answer, its server may be down: {error}")
        except MoorageError as error:
            return self._known.get(path), Health(True, f"the mount is broken: {error}")
        self._known[path] = parse(output.stdout)
        return self._known[path], Health(False, "the volume answers")

    async def answers(self, path: str) -> bool:
        """Whether something is mounted at `path` and answers; by statfs(2), which nothing caches."""
        if mounts.at(path) is None:
            return False
        try:
            return (
                await self._runner.run(("stat", "--file-system", "--format=%T", path), _SECONDS, about=path)
            ).status == 0
        except DeadlineExceeded:
            return False

    def forget(self, path: str) -> None:
        self._known.pop(path, None)


def parse(text: str) -> Stats:
    """Read the answer of stat(1) in FORMAT."""
    block, blocks, free, available, inodes, inodes_free = (int(word) for word in text.split())
    used = blocks - free
    return Stats(*(min(n, _MOST) for n in (block * blocks, block * used, block * available, inodes, inodes_free)))
