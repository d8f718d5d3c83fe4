"""What mounts of moorfs and rclone that are over have left in the cache of this node, a folder for each.

A folder with nothing unsaved is removed after a while. One with files that their bucket does not have is kept, counted
in the metrics, and handed to the next mount of its volume on this node. `moorfs.cache` tells what is in a folder, and
`moorfs.homes` of its lock: whoever serves a mount has it. An rclone has no lock: where it may run is the mounter's to
know (`rclonecache` tells what is in its folder).
"""

import asyncio
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from moorage import volumemetrics
from moorage.errors import InUse
from moorage.unsaved import Unsaved, parsed
from moorage.volumemetrics import Labels, Page
from moorage_csi.mounter import rclonecache
from moorage_csi.mounter.recipe import digest

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds between two looks
GRACE = 600.0  # seconds that a folder is idle before it goes: who mounts it again finds its place
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_GONE = ".gone-"  # begins the name of a folder that is being removed
_LOST = "lost-"  # begins the name of a record whose bytes lie beside it (`moorfs.restoring`)


@dataclass(frozen=True, slots=True)
class Left:
    """A folder that nobody serves, and what is unsaved in it, the oldest first."""

    folder: Path
    records: tuple[Unsaved, ...]

    @property
    def volume(self) -> str:
        """<namespace>/<name>: names of Kubernetes have no underscore (`programs` makes the folder's)."""
        return "/".join(self.folder.name.split("_")[:2])


class Leftovers:
    def __init__(
        self,
        cache: Path,
        targets: Callable[[], Collection[str] | None],
        grace: float = GRACE,
        run: Path | None = None,
    ) -> None:
        """`targets`: of the mounts that there are or that come back; None while that is not known yet. `run`: for who
        never knows, where the mounter keeps the files of its programs."""
        self._cache = cache
        self._run = run
        self._targets = targets
        self._grace = grace
        self._idle: dict[str, float] = {}
        self._boot = _BOOT.read_text(encoding="ascii").strip()
        self._found: tuple[Left, ...] = ()

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.look)
            except OSError as error:
                log.warning("the cache %s cannot be looked over: %s", self._cache, error)
            await asyncio.sleep(EVERY)

    def look(self) -> None:
        """Remove what is of no use to anybody, and note what is unsaved."""
        targets, found = self._targets(), list[Left]()
        for folder in self._folders():
            left = self._left(folder, targets or ())
            if left is None:
                self._idle.pop(folder.name, None)
            elif left.records:
                found.append(left)
            elif targets is not None and self._is_old(folder.name):
                self._remove(folder)
        for gone in self._cache.glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        self._found = tuple(found)

    def all(self) -> tuple[Left, ...]:
        """What is unsaved in folders that nobody serves, now."""
        return tuple(each for each in self._found if self._is_free(each.folder))

    def of(self, volume: str) -> list[Unsaved]:
        """All that is unsaved of a volume (<namespace>/<name>) and nobody serves; the oldest first."""
        records = [record for left in self.all() if left.volume == volume for record in left.records]
        return sorted(records, key=lambda record: record.since)

    def folders(self, volume_id: str) -> list[str]:
        """Those with unsaved files of the volume, for a new mount of it: of mounts that are over for good."""
        targets = self._targets()
        if targets is None:
            return []
        own = f"{volume_id.replace('/', '_')}-"
        found = (folder for folder in self._folders() if folder.name.startswith(own) and not _is_rclones(folder))
        lefts = (self._left(folder, targets) for folder in found)
        return [str(left.folder) for left in lefts if left and left.records]

    def text(self) -> str:
        """In Prometheus' format, by the names that moorfs has for what it tells itself."""
        page = Page()
        for left in self.all():
            figures = {
                "unsaved_files": len(left.records),
                "unsaved_bytes": sum(record.size for record in left.records),
            }
            volumemetrics.figures(page, Labels.of(left.volume, volumemetrics.OBJECT), figures)
        return page.text()

    def discard(self, folder: Path, record: Unsaved) -> None:
        """Give the bytes of a record up. Raises InUse when the volume is mounted meanwhile."""
        with self._alone(folder) as ours:
            if not ours:
                raise InUse(f"{folder.name} is mounted now: look again")
            if _is_rclones(folder):
                rclonecache.discard(folder, record.name)
                return
            own = f"unsaved/{record.name}" if record.name.startswith(_LOST) else f"data/{record.node:x}"
            for path in (f"unsaved/{record.name}.json", own, f"{own}.map"):
                (folder / path).unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(each for each in self._cache.iterdir() if _is_ours(each))
        return []

    def _left(self, folder: Path, targets: Collection[str]) -> Left | None:
        """None: somebody serves it, or will."""
        if any(_digest(folder) == digest(target)[:8] for target in targets):
            return None
        with self._alone(folder) as ours:
            return Left(folder, self._records(folder)) if ours else None

    @contextmanager
    def _alone(self, folder: Path) -> Generator[bool]:
        """Whether nobody serves the folder; of moorfs' nobody begins to meanwhile."""
        if not _is_rclones(folder):
            with _locked(folder) as ours:
                yield ours
        elif self._run:
            yield folder.is_dir() and not any(self._run.glob(f"{_digest(folder)}*"))
        else:
            targets = self._targets()
            known = targets is not None and _digest(folder) not in {digest(target)[:8] for target in targets}
            yield known and folder.is_dir()

    def _is_free(self, folder: Path) -> bool:
        with self._alone(folder) as ours:
            return ours

    def _records(self, folder: Path) -> tuple[Unsaved, ...]:
        if _is_rclones(folder):
            return rclonecache.unsaved(folder)
        found = (parsed(path.read_bytes(), self._boot) for path in (folder / "unsaved").glob("*.json"))
        return tuple(sorted((record for record in found if record), key=lambda record: record.since))

    def _is_old(self, name: str) -> bool:
        now = time.monotonic()
        return now - self._idle.setdefault(name, now) >= self._grace

    def _remove(self, folder: Path) -> None:
        gone = self._cache / f"{_GONE}{folder.name}"
        with self._alone(folder) as ours:
            if not ours or self._records(folder):
                return
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)  # who waits for its lock sees that the folder is another one now
        self._idle.pop(folder.name, None)
        log.info("%s is removed: nothing unsaved is in it, and nobody has mounted it for %g s", folder, self._grace)


def _is_ours(folder: Path) -> bool:
    """Whether a moorfs or an rclone has made it: what other programs keep beside is theirs."""
    if folder.name.startswith("."):
        return False
    return _is_rclones(folder) or ((folder / "lock").is_file() and (folder / "unsaved").is_dir())


def _is_rclones(folder: Path) -> bool:
    return folder.name.endswith(rclonecache.SUFFIX) and (folder / "vfsMeta").is_dir()


def _digest(folder: Path) -> str:
    """The beginning of that of its mount's target (see `Programs`)."""
    return folder.name.removesuffix(rclonecache.SUFFIX).rpartition("-")[2]


@contextmanager
def _locked(folder: Path) -> Generator[bool]:
    """Whether nobody serves the folder; then nobody begins to meanwhile."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _flocked(lock)
    finally:
        os.close(lock)


def _flocked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
