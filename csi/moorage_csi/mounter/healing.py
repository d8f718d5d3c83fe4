"""Dead mounts inside running containers are replaced by living ones, with no change to their pods.

A container has mounts of its own, copied when it began: mounting the volume anew on the node does not reach it. So each
mount namespace of the node that still shows the dead file system is entered, and the same folder of the new mount is
put on top, read-only where the old one was (`hand`). It needs the node's processes in /proc (hostPID).
"""

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from moorage.errors import MoorageError
from moorage_csi import hand, mounts
from moorage_csi.mounts import Mount
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_SECONDS = 10.0
_HAND = (sys.executable, "-I", "-S", hand.__file__, "heal")


@dataclass(frozen=True, slots=True)
class Dead:
    """A place where a process of the node still sees the dead file system."""

    pid: int
    mount: Mount


class Healing:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def heal(self, device: str, target: str) -> None:
        """Every place that shows file system `device`, an older life of what is mounted at `target`, shows that; raises
        for what does not."""
        mount = mounts.at(target)
        if mount is None or mount.device == device:  # the number of a dead one that nobody shows any more is used again
            return
        failures: list[str] = []
        for pid in namespaces():
            for dead in showing(pid, device, mount):
                if dead.mount.target == mounts.canonical(target) and pid == os.getpid():
                    continue
                failures += await self._replace(dead, target)
        if failures:
            raise MoorageError("; ".join(failures[:5]))

    async def _replace(self, dead: Dead, target: str) -> list[str]:
        mount = dead.mount
        folder = mount.root.removesuffix("//deleted")
        flags = ",".join(("ro" if mount.readonly else "rw", *mount.flags))
        argv = (*_HAND, str(dead.pid), target, folder, mount.target, flags)
        try:
            output = await self._runner.run(argv, _SECONDS)
        except MoorageError as error:
            return [f"{mount.target} of process {dead.pid}: {error}"]
        if output.status:
            return [f"{mount.target} of process {dead.pid}: {output.complaint}"]
        log.info("%s of process %d shows %s again", mount.target, dead.pid, target)
        return []


def namespaces() -> Iterator[int]:
    """One process of each mount namespace that is seen from here, our own first: what is mended there may reach others
    by propagation."""
    seen = {_namespace(os.getpid())}
    yield os.getpid()
    for name in os.listdir("/proc"):
        if name.isdecimal() and (found := _namespace(int(name))) and found not in seen:
            seen.add(found)
            yield int(name)


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:  # it has ended
        return ""


def showing(pid: int, device: str, successor: Mount) -> list[Dead]:
    """Where the process sees file system `device` and nothing on top of it. Numbers are used again: what has another
    type or source than its successor is another volume's."""
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            table = mounts.parse(file.read().decode("latin-1"))
    except OSError:
        return []
    topmost = {mount.target: mount for mount in table}
    wanted = (device, successor.fstype, successor.source)
    return [Dead(pid, each) for each in topmost.values() if (each.device, each.fstype, each.source) == wanted]
