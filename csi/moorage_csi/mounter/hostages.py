"""Killed pods that cannot end, because s3fs or rclone waits for an engine that is gone: their mount is given up.

The kernel lets nobody go, not even by SIGKILL, before the FUSE program has answered. moorfs answers those who are being
killed (`moorfs.interrupts`); s3fs and rclone go on trying, each call for itself, and the pod stays Terminating. So when
all that show a mount on this node were killed or have ended some time ago and still wait, and the engine does not
answer, the mount's program is killed: the connection ends with it, and so do they. What was closed is in the bucket by
then, or in rclone's cache. While anybody alive shows the mount, or the engine answers, nothing is done: what is on its
way arrives.

Needs to see the node's processes (hostPID).
"""

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from moorage.errors import MoorageError, NotReady
from moorage_csi import mounts
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounts import Mount
from moorage_csi.stuck import Kernel, dying, pod

log = logging.getLogger(__name__)

PAUSE = 5.0  # seconds between two looks
PATIENCE = 25.0  # seconds after which who was killed and waits is stuck: the engine may be only starting anew
_ANSWER_SECONDS = 5.0
# Mounts of the kubelet and of ours for it, in whichever directory of a namespace the node's files are seen.
_STAGED = re.compile(r"/plugins/(kubernetes\.io/csi/|csi\.moorage\.dev/)")
_PUBLISHED = re.compile(r"/pods/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/volume")


class Hostages:
    """Looks again and again; remembers since when each process is stuck."""

    def __init__(
        self, mounts: Callable[[], Iterable[Kept]], kernel: Kernel | None = None, patience: float = PATIENCE
    ) -> None:
        self._mounts = mounts
        self._kernel = kernel or Kernel()
        self._patience = patience
        self._since: dict[tuple[str, str], float] = {}

    async def keep(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self.look()
            except Exception as error:  # whatever it was, the next look may see it
                log.warning("whether killed pods are stuck cannot be seen: %s", error)

    async def look(self) -> None:
        """Kill the programs of the mounts that only stuck pods show."""
        held = [kept for kept in self._mounts() if not kept.recipe.connection and kept.process and kept.process.running]
        now = time.monotonic()
        self._since = {each: self._since.get(each, now) for each in (self._kernel.stuck(exiting=True) if held else ())}
        stuck = {uid for (_, uid), since in self._since.items() if now - since >= self._patience}
        if not stuck:
            return
        users = self._users({kept.filesystem for kept in held})
        for kept in held:
            pods = users[kept.filesystem]
            if pods and pods <= stuck and await _has_no_engine(kept):
                _give_up(kept, pods)

    def _users(self, devices: Collection[str]) -> Mapping[str, set[str]]:
        """Of each of these file systems the pods (UIDs) that show it; "" stands for somebody alive."""
        shown: dict[str, list[Mount]] = {}  # by mount namespace
        found: dict[str, set[str]] = {device: set() for device in devices}
        processes = tuple(self._kernel.processes())
        ending = dying(processes)
        for process in processes:
            try:
                namespace = os.readlink(process / "ns" / "mnt")
                if namespace not in shown:
                    shown[namespace] = _shown(process, devices)
            except OSError:  # it has ended, all but for its number: it shows nothing any more
                continue
            for mount in shown[namespace]:
                published = _PUBLISHED.search(mount.target)
                found[mount.device].add(published.group(1) if published else pod(process) if process in ending else "")
        return found


async def _has_no_engine(kept: Kept) -> bool:
    """Whether nobody answers for the bucket. A key or a bucket that is refused holds nobody: calls fail at once."""
    if kept.recipe.look is None:
        return False
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await kept.recipe.look()
    except (NotReady, TimeoutError):
        return True
    except MoorageError:
        return False
    return False


def _give_up(kept: Kept, pods: Iterable[str]) -> None:
    recipe = kept.recipe
    log.warning(
        "%s at %s is shown by pods only that were killed and do not end (%s): its %s is killed",
        recipe.volume_id, recipe.target, ", ".join(sorted(pods)), recipe.kind,
    )  # fmt: skip
    if kept.process:
        kept.process.signal(signal.SIGKILL)


def _shown(process: Path, devices: Collection[str]) -> list[Mount]:
    """What it sees of these file systems, but where they are staged."""
    table = mounts.parse((process / "mountinfo").read_bytes().decode("latin-1"))
    return [mount for mount in table if mount.device in devices and not _STAGED.search(mount.target)]
