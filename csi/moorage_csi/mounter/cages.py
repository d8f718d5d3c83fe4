"""Each mount's process in a control group of its own, with a limit of memory: one that grows takes no other along.

Source: linux/Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. The groups are made beneath the
container's own. In version 2 a group with processes can have no groups with limits beneath it, so the mounter first
moves itself into one.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
_OWN = "mounter"


@dataclass(frozen=True, slots=True)
class Cages:
    """`limit`: bytes of memory for each process, page cache of what it writes included; 0: no groups are made."""

    limit: int
    root: Path = ROOT

    def hold(self, name: str, pid: int) -> None:
        """Put a process into group `name`. Where that cannot be, it runs without a limit, and the log says so."""
        if not self.limit:
            return
        try:
            unified = (self.root / "cgroup.controllers").exists()
            group = self._unified(name) if unified else self._first(name)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            log.warning("%s runs without a limit of memory: %s", name, error)

    def release(self, name: str) -> None:
        """Take the group away once its process has ended."""
        for group in (self.root / name, self.root / "memory" / name):
            with suppress(OSError):
                group.rmdir()

    def _unified(self, name: str) -> Path:
        if "memory" not in (self.root / "cgroup.subtree_control").read_text().split():
            own = self.root / _OWN
            own.mkdir(exist_ok=True)
            for pid in (self.root / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    (own / "cgroup.procs").write_text(pid)
            (self.root / "cgroup.subtree_control").write_text("+memory")
        group = self.root / name
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(self.limit))
        return group

    def _first(self, name: str) -> Path:
        group = self.root / "memory" / name
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(self.limit))
        return group
