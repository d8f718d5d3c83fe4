"""Long-running processes of a cluster: started in a control group, known by pid and start time, ended for certain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .cgroup import Cgroup

PROC = Path("/proc")
ENTER = Path(__file__).parent / "init" / "enter.sh"


@dataclass(frozen=True)
class Identity:
    """A process told apart from any later one with the same pid: `start` is in clock ticks since boot `boot`."""

    pid: int
    start: int
    boot: str


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat (proc(5)) that matter here."""

    state: str
    parent: int
    start: int


def parse_stat(text: str) -> Stat:
    """Read a line of /proc/PID/stat; the command's name may hold blanks and brackets, so count from its end."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(state=fields[0], parent=int(fields[1]), start=int(fields[19]))


def stat(pid: int) -> Stat | None:
    """The state of a process, None when there is none."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text())
    except (OSError, ValueError):
        return None


def boot_id() -> str:
    """Changes when the machine boots."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """The identity of a running process."""
    found = stat(pid)
    return Identity(pid, found.start, boot_id()) if found else None


def alive(who: Identity) -> bool:
    """Whether that very process runs still (a zombie does not, a later process with its pid is another)."""
    found = stat(who.pid)
    return found is not None and found.state not in "ZX" and found.start == who.start and boot_id() == who.boot


def kill(who: Identity, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal that very process; a recycled pid gets nothing (the pidfd is taken first, the identity checked after)."""
    try:
        descriptor = os.pidfd_open(who.pid)
    except OSError:
        return
    try:
        if alive(who):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [child for child in pids if (found := stat(child)) is not None and found.parent == pid]


class Processes:
    """The recorded processes of one cluster: one JSON file each, written right after the start."""

    def __init__(self, records: Path, logs: Path, cgroup: Cgroup) -> None:
        self.records, self.logs, self.cgroup = records, logs, cgroup

    def spawn(self, name: str, group: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start `argv` in a session and in the control group `group` of its own, its words going to `logs/name.log`.

        It joins the group before it becomes the program, so even if we die right here, `down` finds it there.
        """
        self.records.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        launch = ["/bin/sh", str(ENTER), str(self.cgroup.joiner(group)), *(str(word) for word in argv)]
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                launch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
                cwd="/",
            )
        who = identify(child.pid)
        if who is not None:
            (self.records / f"{name}.json").write_text(json.dumps(asdict(who)))

    def find(self, name: str) -> Identity | None:
        """The recorded process `name` if it runs still."""
        try:
            who = Identity(**json.loads((self.records / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return who if alive(who) else None

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a process's log, for an error message."""
        file = self.logs / f"{name}.log"
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else "(no log)"
