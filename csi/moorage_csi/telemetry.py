"""Metrics of this node's shared and local volumes, out of what the kernel counts of them anyway.

Neither /proc/self/mountstats nor /sys asks a server, so nothing here waits for one that is dead. Each volume is told
once, however many pods show it. (The mounter tells of object volumes.)
"""

import asyncio
import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from moorage import blockstats, mountstats
from moorage import volumemetrics as metrics
from moorage.mount import Nfs
from moorage.objectmount import is_fuse
from moorage.volumemetrics import Labels, Page
from moorage_csi import mounts
from moorage_csi.mounts import Mount
from moorage_csi.state import Store

log = logging.getLogger(__name__)

_SECONDS = 3.0
_MOST_LINES = 2_000_000  # of mountstats, some 80 for each mount of an NFS volume


@dataclass(frozen=True, slots=True)
class Kernel:
    """Where the kernel tells."""

    mountstats: Path = Path("/proc/self/mountstats")
    block: Path = Path("/sys/dev/block")


class Telemetry:
    """One thread looks at a time, however often somebody asks."""

    def __init__(self, store: Store, kernel: Kernel | None = None) -> None:
        self._store = store
        self._kernel = kernel or Kernel()
        self._look: asyncio.Future[str] | None = None

    async def text(self) -> str:
        """In Prometheus' text format; nothing when it takes more than 3 s."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(asyncio.to_thread(self.read))
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                return await asyncio.shield(self._look)
        return ""

    def read(self) -> str:
        """As `text`, at once."""
        page, nfs = Page(), dict[str, Labels]()
        for name, mount in self._volumes():
            if mount.fstype in Nfs.fstypes:
                nfs[mounts.escaped(mount.target)] = Labels.of(name, metrics.SHARED)
            elif not is_fuse(mount.fstype):
                self._tell_block(page, Labels.of(name, metrics.LOCAL), mount)
        self._tell_nfs(page, nfs)
        return page.text()

    def _volumes(self) -> Iterator[tuple[str, Mount]]:
        """<namespace>/<name> and a mount of each volume; a claim and an inline volume of it show one file system."""
        table = {mount.target: mount for mount in mounts.table()}
        seen = set[str]()
        for volume in self._store.all():
            mount = table.get(mounts.canonical(volume.staging))
            if mount and volume.full_name and mount.device not in seen:
                seen.add(mount.device)
                yield volume.full_name, mount

    def _tell_nfs(self, page: Page, wanted: Mapping[str, Labels]) -> None:
        if not wanted:
            return
        try:
            with self._kernel.mountstats.open(encoding="utf-8", errors="surrogateescape") as lines:
                found = mountstats.parse(itertools.islice(lines, _MOST_LINES), wanted)
        except OSError as error:
            log.warning("the kernel does not tell of NFS mounts: %s", error)
            return
        for target, stats in found.items():
            mountstats.tell(page, wanted[target], stats)

    def _tell_block(self, page: Page, labels: Labels, mount: Mount) -> None:
        with suppress(OSError):  # it has gone meanwhile
            blockstats.tell(page, labels, (self._kernel.block / mount.device / "stat").read_text(encoding="ascii"))
