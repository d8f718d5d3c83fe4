"""Killed pods that a dead server holds: whose mount is given up, and whose never."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from moorage_csi import mounts, stuck
from moorage_csi.mounts import Mount
from moorage_csi.runner import Output
from moorage_csi.stats import Health, Stats, Watcher
from moorage_csi.stuck import Kernel, Stuck

A, B = "0a1b2c3d-1111-2222-3333-444455556666", "0a1b2c3d-7777-8888-9999-000011112222"
KUBELET = Path("/var/lib/kubelet")
VOLUME, OTHER = "0:53", "0:54"


@dataclass
class Machine:
    """A /proc and a /sys/fs/nfs of files, and a mount table."""

    home: Path
    table: list[Mount] = field(default_factory=list[Mount])
    answers: set[str] = field(default_factory=set[str])  # targets
    forced: list[str] = field(default_factory=list[str])
    abandoned: int = 0

    @property
    def kernel(self) -> Kernel:
        return Kernel(self.home / "proc", self.home / "nfs")

    def process(
        self, pid: int, pod: str, state: str = "D", killed: bool = True, threads: str = "", exits: bool = False
    ) -> None:
        """`threads`: the states of further ones."""
        home = self.home / "proc" / str(pid)
        for number, each in enumerate(state + threads):
            thread = home / "task" / str(pid + number)
            thread.mkdir(parents=True)
            mask = "0000000000000100" if killed else "0000000000000000"
            (thread / "status").write_text(f"Name:\tx\nSigPnd:\t{mask}\nShdPnd:\t{mask}\n")
            (thread / "stat").write_text(f"{pid} (a (odd) name) {each} 1 1 1 0 -1 {0x400100 | (4 if exits else 0)} 0\n")
        (home / "stat").write_text((home / "task" / str(pid) / "stat").read_text())
        (home / "cgroup").write_text(f"0::/kubepods.slice/kubepods-pod{pod.replace('-', '_')}.slice/cri-x.scope\n")

    def shows(self, pod: str, device: str = VOLUME, at: str = "") -> None:
        target = at or f"{KUBELET}/pods/{pod}/volumes/kubernetes.io~csi/data/mount"
        self.table.append(Mount(device, "/", target, False, "nfs4", f"10.0.0.7:/vol/{device}"))
        (self.home / "nfs" / device).mkdir(parents=True, exist_ok=True)
        (self.home / "nfs" / device / "shutdown").write_text("0\n")

    def shut(self, device: str = VOLUME) -> bool:
        return (self.home / "nfs" / device / "shutdown").read_text() == "1\n"

    async def run(self, argv: tuple[str, ...], seconds: float, about: str = "") -> Output:
        self.forced.append(argv[-1])
        return Output(0, "", "")

    def watcher(self) -> Watcher:
        machine = self

        class Told(Watcher):
            async def look(self, path: str) -> tuple[Stats | None, Health]:
                return None, Health(path not in machine.answers, "")

        return Told(machine)

    async def look_twice(self) -> None:
        found = Stuck(self, self.watcher(), KUBELET, self.kernel)
        await found.look()
        await found.look()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "self").mkdir()
    monkeypatch.setattr(mounts, "table", lambda: tuple(found.table))
    monkeypatch.setattr(mounts, "at", lambda path: next((m for m in found.table if m.target == path), None))
    return found


async def test_what_only_a_stuck_pod_shows_is_given_up(machine: Machine) -> None:
    machine.process(7, A)
    machine.shows(A)
    machine.shows("", at=f"{KUBELET}/plugins/kubernetes.io/csi/csi.moorage.dev/x/globalmount")
    machine.shows(B, OTHER)
    await machine.look_twice()
    assert machine.shut() and not machine.shut(OTHER)


async def test_so_is_what_several_stuck_pods_show(machine: Machine) -> None:
    for pid, pod in ((7, A), (8, B)):
        machine.process(pid, pod)
        machine.shows(pod)
    await machine.look_twice()
    assert machine.shut()


async def test_a_thread_of_a_process_that_has_ended_counts(machine: Machine) -> None:
    machine.process(7, A, state="Z", threads="SD")
    machine.shows(A)
    await machine.look_twice()
    assert machine.shut()


async def test_for_the_living_writes_wait(machine: Machine) -> None:
    """Another pod of the node shows the volume: it shall go on when the server is back."""
    machine.process(7, A)
    machine.shows(A)
    machine.shows(B)
    await machine.look_twice()
    assert not machine.shut()


async def test_a_mount_on_the_node_itself_counts_as_alive(machine: Machine) -> None:
    machine.process(7, A)
    machine.shows(A)
    machine.shows("", at="/mnt/imagenet")
    await machine.look_twice()
    assert not machine.shut()


@pytest.mark.parametrize(
    ("state", "killed"), [("D", False), ("S", True), ("R", True), ("Z", True)], ids=["waits", "sleeps", "runs", "ended"]
)
async def test_who_is_not_both_killed_and_waiting_is_not_stuck(machine: Machine, state: str, killed: bool) -> None:
    machine.process(7, A, state, killed)
    machine.shows(A)
    await machine.look_twice()
    assert not machine.shut()


@pytest.mark.parametrize("state", ["D", "S"])
async def test_what_one_has_written_who_ends_by_himself_waits_for_the_server(machine: Machine, state: str) -> None:
    """As a Job does at its end, whose last close() is the kernel's."""
    machine.process(7, A, state, killed=False, exits=True)
    machine.shows(A)
    await machine.look_twice()
    assert not machine.shut()


async def test_a_volume_that_answers_is_never_given_up(machine: Machine) -> None:
    machine.process(7, A)
    machine.shows(A)
    machine.answers.add(machine.table[0].target)
    await machine.look_twice()
    assert not machine.shut()


async def test_who_was_not_stuck_before_may_still_end(machine: Machine) -> None:
    machine.process(7, A)
    machine.shows(A)
    await Stuck(machine, machine.watcher(), KUBELET, machine.kernel).look()
    assert not machine.shut()


async def test_a_kernel_that_cannot_shut_down_a_mount_is_asked_by_umount(machine: Machine) -> None:
    machine.process(7, A)
    machine.shows(A)
    (machine.home / "nfs" / VOLUME / "shutdown").unlink()
    (machine.home / "nfs" / VOLUME).rmdir()
    await machine.look_twice()
    assert machine.forced == [machine.table[0].target]


def test_other_file_systems_are_none_of_this(machine: Machine) -> None:
    target = f"{KUBELET}/pods/{A}/volumes/kubernetes.io~empty-dir/x"
    assert stuck.users([Mount("0:9", "/", target, False, "tmpfs", "tmpfs")], KUBELET) == {}
