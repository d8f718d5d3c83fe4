"""Whose mount is given up for killed pods that wait for it, and whose never: on a /proc of files."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moorage.errors import MoorageError, NotReady, Unauthenticated
from moorage_csi.mounter.hostages import Hostages
from moorage_csi.stuck import Kernel

A, B = "0a1b2c3d-1111-2222-3333-444455556666", "0a1b2c3d-7777-8888-9999-000011112222"
VOLUME, OTHER = "0:53", "0:54"
KUBELET = "/var/lib/kubelet"
STAGED = f"{KUBELET}/plugins/kubernetes.io/csi/csi.moorage.dev/x/globalmount"


def published(pod: str) -> str:
    return f"{KUBELET}/pods/{pod}/volumes/kubernetes.io~csi/data/mount"


@dataclass
class Machine:
    """A /proc of files. Each process has a mount namespace of its own. The node's own (1) shows the staged volume."""

    proc: Path
    killed: list[int] = field(default_factory=list[int])
    engine: MoorageError | None = field(default_factory=lambda: NotReady("it cannot be reached"))  # what it says
    connection: bool = False  # whether the program answers those who are killed by itself

    def __post_init__(self) -> None:
        self.process(1, "", "S", (STAGED,), killed=False)

    def process(
        self, pid: int, pod: str, state: str, shows: tuple[str, ...] = ("/data",), killed: bool = True,
        device: str = VOLUME, exits: bool = False, inside: tuple[str, int] = ("host", 0),
    ) -> None:  # fmt: skip
        """`inside`: its process namespace, and its number there."""
        home = self.proc / str(pid)
        (home / "task" / str(pid)).mkdir(parents=True)
        mask = f"{256 if killed else 0:016x}"
        for place in (home, home / "task" / str(pid)):
            (place / "stat").write_text(f"{pid} (x) {state} 1 1 1 0 -1 {0x400100 | (4 if exits else 0)} 0\n")
            (place / "status").write_text(f"NSpid:\t{pid}\t{inside[1]}\nSigPnd:\t{mask}\nShdPnd:\t{mask}\n")
        (home / "cgroup").write_text(f"0::/kubepods.slice/kubepods-pod{pod.replace('-', '_')}.slice/x\n")
        (home / "ns").mkdir()
        (home / "ns" / "mnt").symlink_to(f"mnt:[{pid}]")
        (home / "ns" / "pid").symlink_to(f"pid:[{inside[0]}]")
        lines = (f"{i} 1 {device} / {target} rw - fuse.s3fs models rw\n" for i, target in enumerate(shows))
        (home / "mountinfo").write_text("".join(lines))

    def shows(self, *targets: str) -> None:
        """The node shows the volume there, too."""
        lines = [f"{i} 1 {VOLUME} / {at} rw - fuse.s3fs models rw\n" for i, at in enumerate((STAGED, *targets))]
        (self.proc / "1" / "mountinfo").write_text("".join(lines))

    async def look(self, patience: float = 0) -> list[int]:
        """The signals that the mount's program got."""

        async def engine() -> None:
            if self.engine:
                raise self.engine

        recipe = SimpleNamespace(
            connection=self.connection, volume_id="team/m", target=STAGED, kind="s3fs", look=engine
        )
        process = SimpleNamespace(running=True, signal=self.killed.append)
        kept: Any = SimpleNamespace(recipe=recipe, filesystem=VOLUME, process=process)
        found = Hostages(lambda: [kept], Kernel(self.proc), patience)
        await found.look()
        await found.look()
        return self.killed


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_what_only_a_stuck_pod_shows_is_given_up(machine: Machine) -> None:
    machine.process(7, A, "D")
    machine.shows(published(A))
    assert set(await machine.look()) == {signal.SIGKILL}


async def test_who_sees_the_whole_node_uses_no_volume(machine: Machine) -> None:
    """As an agent of a monitoring does, which has the node's root directory in its container."""
    machine.process(7, A, "D")
    machine.process(8, B, "S", (f"/host{STAGED}", f"/host{published(A)}"), killed=False)
    machine.shows(published(A))
    assert set(await machine.look()) == {signal.SIGKILL}


async def test_so_are_subpaths_of_it(machine: Machine) -> None:
    machine.process(7, A, "D")
    machine.shows(published(A), f"{KUBELET}/pods/{A}/volume-subpaths/data/main/0")
    assert set(await machine.look()) == {signal.SIGKILL}


@pytest.mark.parametrize("state", ["D", "S", "R"])
async def test_for_a_living_container_of_the_same_pod_it_stays(machine: Machine, state: str) -> None:
    machine.process(7, A, "D")
    machine.process(8, A, state, killed=False)
    machine.shows(published(A))
    assert await machine.look() == []


async def test_for_a_pod_that_is_about_to_begin_it_stays(machine: Machine) -> None:
    machine.process(7, A, "D")
    machine.shows(published(A), published(B))
    assert await machine.look() == []


async def test_for_users_of_the_node_itself_it_stays(machine: Machine) -> None:
    machine.process(7, A, "D")
    machine.shows(published(A), "/mnt/object-abc")
    assert await machine.look() == []


async def test_who_was_killed_a_moment_ago_may_still_end(machine: Machine) -> None:
    machine.process(7, A, "D")
    machine.shows(published(A))
    assert await machine.look(patience=3600) == []


async def test_what_nobody_shows_and_what_others_wait_for_stays(machine: Machine) -> None:
    machine.process(7, A, "D", device=OTHER)
    assert await machine.look() == []


async def test_a_program_that_answers_the_killed_by_itself_stays(machine: Machine) -> None:
    machine.connection = True
    machine.process(7, A, "D")
    machine.shows(published(A))
    assert await machine.look() == []


@pytest.mark.parametrize("said", [None, Unauthenticated("the key is refused")])
async def test_while_the_engine_answers_what_is_on_its_way_arrives(machine: Machine, said: MoorageError | None) -> None:
    """An upload may take long, and a process that ends by itself, as a Job does, has its last close() by the kernel."""
    machine.engine = said
    machine.process(7, A, "S", killed=False, exits=True)
    machine.shows(published(A))
    assert await machine.look() == []


@pytest.mark.parametrize("state", ["D", "S"])
async def test_who_ends_by_himself_and_waits_for_his_files_is_stuck(machine: Machine, state: str) -> None:
    """No signal reaches him any more, SIGKILL neither."""
    machine.process(7, A, state, killed=False, exits=True)
    machine.shows(published(A))
    assert set(await machine.look()) == {signal.SIGKILL}


async def test_the_others_of_a_container_whose_first_process_ends_are_as_good_as_dead(machine: Machine) -> None:
    machine.process(7, A, "S", killed=False, exits=True, inside=("of-a", 1))
    machine.process(8, A, "S", killed=False, inside=("of-a", 5))
    machine.shows(published(A))
    assert set(await machine.look()) == {signal.SIGKILL}


async def test_the_others_of_a_container_of_which_another_process_ends_are_alive(machine: Machine) -> None:
    machine.process(7, A, "S", killed=False, exits=True, inside=("of-a", 5))
    machine.process(8, A, "S", killed=False, inside=("of-a", 1))
    machine.shows(published(A))
    assert await machine.look() == []
