"""The control groups of a cluster: they hold every process of it, so that the last one can be found and ended.

Works with version 1 (each hierarchy apart), with the hybrid of both, and with version 2.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# Version 1: every process is in every hierarchy, so one of them is enough to find it by.
TRACKER = "pids"


class ProcessesLeft(RuntimeError):
    """Some process did not end although it was killed."""


@dataclass(frozen=True)
class Hierarchies:
    """Mount points of the control group file systems: `used` for new groups, `all` where runc may make some."""

    used: list[Path]
    all: list[Path]
    unified: bool


def hierarchies(mountinfo: str) -> Hierarchies:
    """Read /proc/self/mountinfo. In the hybrid layout the version 1 hierarchies hold the controllers and are used."""
    first: list[Path] = []
    second: list[Path] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point, kind = Path(before.split()[4]), after.split()[0]
        if kind == "cgroup" and point not in first:
            first.append(point)
        elif kind == "cgroup2" and point not in second:
            second.append(point)
    return Hierarchies(used=first or second[:1], all=first + second, unified=not first)


class Cgroup:
    """The group `name` and its children, in all hierarchies at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hierarchies = hierarchies(MOUNTS.read_text())

    @property
    def tracker(self) -> Path:
        """The hierarchy that processes are looked up in."""
        used = self.hierarchies.used
        return next((root for root in used if root.name == TRACKER), used[0])

    def joiner(self, child: str) -> Path:
        """The file to write a pid to, to put it into the child group (made if need be)."""
        group = self.tracker / self.name / child
        group.mkdir(parents=True, exist_ok=True)
        return group / "cgroup.procs"

    def path(self, child: str) -> str:
        """The child group as the kubelet's `cgroupRoot` names it."""
        return f"/{self.name}/{child}"

    def create(self, child: str) -> None:
        """Make the child group in every hierarchy."""
        for root in self.hierarchies.used:
            for group in (root / self.name, root / self.name / child):
                group.mkdir(exist_ok=True)
                if root.name == "cpuset":
                    self._inherit_cpuset(group)
                if self.hierarchies.unified:
                    self._pass_controllers(group.parent)

    @staticmethod
    def _inherit_cpuset(group: Path) -> None:
        for name in ("cpuset.cpus", "cpuset.mems"):
            (group / name).write_text((group.parent / name).read_text())

    @staticmethod
    def _pass_controllers(group: Path) -> None:
        for name in (group / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # one that cannot be passed on is one that the kubelet can do without, or will name
                (group / "cgroup.subtree_control").write_text(f"+{name}")

    def members(self, child: str = "") -> set[int]:
        """The pids of all processes in the group, its children included."""
        pids: set[int] = set()
        for directory, _, _ in os.walk(self.tracker / self.name / child):
            try:
                pids.update(int(pid) for pid in (Path(directory) / "cgroup.procs").read_text().split())
            except OSError:
                continue  # it was removed while we looked
        return pids - {os.getpid()}

    def kill(self, child: str = "", wait: float = 20.0) -> None:
        """Kill every process of the group until none is left (new ones born meanwhile too)."""
        deadline = time.monotonic() + wait
        while pids := self.members(child):
            if time.monotonic() > deadline:
                raise ProcessesLeft(f"processes {sorted(pids)} of {self.name}/{child} do not end")
            for pid in pids:
                self._kill_member(pid, child)
            time.sleep(0.05)

    def _kill_member(self, pid: int, child: str) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return
        try:
            if pid in self.members(child):  # the pid may have been given to another process since we listed it
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def directories(self, child: str = "") -> list[Path]:
        """The group's directories that exist, one per hierarchy."""
        return [path for root in self.hierarchies.all if (path := root / self.name / child).is_dir()]

    def remove(self, child: str = "") -> None:
        """Remove the empty groups, the deepest first."""
        for top in self.directories(child):
            for directory, _, _ in os.walk(top, topdown=False):
                os.rmdir(directory)
