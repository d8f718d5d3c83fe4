"""Pods that were killed and cannot die, because a process of theirs waits for a dead NFS server.

The kubelet unmounts a pod's volumes only after its processes have ended, and a process that waits for written pages
(fsync) ends only when the server has answered, SIGKILL or not. `umount -f` does not help it: what it waits for is sent
again. So when all pods of this node that show a volume are killed and stuck, and the volume does not answer, its mount
is shut down: whatever waits for the server ends with an I/O error, which only the dead can see. While anybody alive
shows the volume on this node, nothing is done: for the living, writes wait for the server to come back.

Needs to see the node's processes (hostPID).
"""

import asyncio
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from moorage.errors import MoorageError
from moorage.mount import Nfs
from moorage_csi import mounts
from moorage_csi.mounts import Mount
from moorage_csi.runner import Runner
from moorage_csi.stats import Watcher

log = logging.getLogger(__name__)

PAUSE = 5.0  # seconds; who is found stuck twice is stuck
_KILLED = 1 << (9 - 1)  # SIGKILL in a mask of pending signals (proc(5), status)
_FIRST = re.compile(r"^NSpid:.*\s1$", re.MULTILINE)
_EXITING = 0x4  # PF_EXITING among the kernel's flags of a thread (proc(5), stat): it closes its files, for example
_PENDING = re.compile(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$", re.MULTILINE)
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
_UMOUNT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Kernel:
    """Where the kernel tells of processes and NFS mounts."""

    proc: Path = Path("/proc")
    nfs: Path = Path("/sys/fs/nfs")

    def processes(self) -> Iterator[Path]:
        return (process for process in self.proc.iterdir() if process.name.isdigit())

    def stuck(self, exiting: bool = False) -> frozenset[tuple[str, str]]:
        """Threads that are killed and wait uninterruptibly: their process and its pod's UID. `exiting`: those too that
        end by themselves, of which nobody can tell whether their pod is meant to end.
        """
        found = (each for each in self.processes() if _is_stuck(each, exiting))
        return frozenset((each.name, uid) for each in found if (uid := pod(each)))

    def is_shut(self, mount: Mount) -> bool:
        """Whether the file system was shut down: it answers everybody with an error, for good."""
        return _read(self._shutdown(mount)).strip() == "1"

    def shut(self, mount: Mount) -> bool:
        """Shut it down; False where the kernel cannot (before 6.5)."""
        try:
            self._shutdown(mount).write_text("1\n")
        except OSError:
            return False
        return True

    def _shutdown(self, mount: Mount) -> Path:
        return self.nfs / mount.device / "shutdown"


def users(table: Iterable[Mount], kubelet: Path) -> Mapping[str, Mapping[str, Mount]]:
    """By device, the pods (UIDs) that show an NFS file system, and where; "" for a mount that is no pod's."""
    pods, plugins = (f"{mounts.canonical(str(kubelet / name))}/" for name in ("pods", "plugins"))
    found = defaultdict[str, dict[str, Mount]](dict)
    for mount in table:
        if mount.fstype in Nfs.fstypes and not mount.target.startswith(plugins):
            inside = mount.target.startswith(pods)
            found[mount.device][mount.target.removeprefix(pods).split("/")[0] if inside else ""] = mount
    return found


class Stuck:
    """Looks again and again; remembers who was stuck the last time."""

    def __init__(self, runner: Runner, watcher: Watcher, kubelet: Path, kernel: Kernel | None = None) -> None:
        self._runner = runner
        self._watcher = watcher
        self._kubelet = kubelet
        self._kernel = kernel or Kernel()
        self._before: frozenset[tuple[str, str]] = frozenset()

    async def look(self) -> None:
        """Shut down the mounts that only stuck pods show."""
        now = self._kernel.stuck()
        pods = {uid for _, uid in now & self._before}
        self._before = now
        if not pods:
            return
        for shown in users(mounts.table(), self._kubelet).values():
            mount = next(iter(shown.values()))
            if set(shown) <= pods and not self._kernel.is_shut(mount) and not await self._watcher.answers(mount.target):
                await self._give_up(mount, shown)

    async def _give_up(self, mount: Mount, shown: Mapping[str, Mount]) -> None:
        log.warning("%s does not answer and only killed pods show it (%s): given up", mount.name, ", ".join(shown))
        if not self._kernel.shut(mount):
            with suppress(MoorageError):  # it is tried again
                await self._runner.run(("umount", "-c", "-i", "-f", mount.target), _UMOUNT_SECONDS)

    async def keep(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self.look()
            except (OSError, MoorageError) as error:
                log.warning("whether killed pods are stuck cannot be seen: %s", error)


def dying(processes: Iterable[Path]) -> frozenset[Path]:
    """Those of which no thread will ever run a program again, and those that the kernel kills as soon as the first
    process of their process namespace has ended, which is dying (pid_namespaces(7))."""
    known = tuple(processes)
    ended = frozenset(filter(_is_dying, known))
    doomed = {namespace for each in ended if _is_first(each) and (namespace := _namespace(each))}
    return ended | frozenset(each for each in known if _namespace(each) in doomed)


def _is_dying(process: Path) -> bool:
    with suppress(OSError):
        return all(_dying(thread) or _state(thread) in ("Z", "X") for thread in (process / "task").iterdir())
    return True


def _is_first(process: Path) -> bool:
    return _FIRST.search(_read(process / "status")) is not None


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "pid")
    except OSError:  # it has ended
        return ""


def pod(process: Path) -> str:
    """The UID of the process's pod; "" when it is in none."""
    found = _POD.search(_read(process / "cgroup"))
    return found.group(1).replace("_", "-") if found else ""


def _is_stuck(process: Path, exiting: bool) -> bool:
    if _state(process) not in ("D", "Z") and not (exiting and _exits(process)):  # Z: another thread of it may wait
        return False
    with suppress(OSError):
        return any(_waits(thread, exiting) for thread in (process / "task").iterdir())
    return False


def _waits(thread: Path, exiting: bool) -> bool:
    """One that ends takes no signal any more, and may sleep as if one could wake it."""
    state = _state(thread)
    return (state == "D" and _killed(thread)) or (exiting and state in ("D", "S") and _exits(thread))


def _killed(thread: Path) -> bool:
    return any(int(mask, 16) & _KILLED for mask in _PENDING.findall(_read(thread / "status")))


def _dying(thread: Path) -> bool:
    return _killed(thread) or _exits(thread)


def _state(thread: Path) -> str:
    return "".join(_stat(thread)[:1])


def _exits(thread: Path) -> bool:
    flags = "".join(_stat(thread)[6:7])
    return flags.isdecimal() and bool(int(flags) & _EXITING)


def _stat(thread: Path) -> list[str]:
    """What follows the command's name, which is in parentheses and may hold some (proc(5), stat)."""
    return _read(thread / "stat").rpartition(") ")[2].split()


def _read(file: Path) -> str:
    """Empty for what has ended meanwhile."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
