"""Disks that move between nodes. Files and loop devices are real; a node that runs is this process."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from cluster import disks
from cluster.layout import NODES, Node
from cluster.process import identify
from cluster.state import State

HERE, THERE = NODES[0], NODES[1]  # a namespace node and a user-mode-linux one
SIZE = 320 << 20  # little more than the least that mkfs.xfs takes


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = State("test")
    power(found, HERE, True)
    yield found
    disks.detach(found, HERE, "d")


def power(state: State, node: Node, on: bool) -> None:
    record = state.home / "pids" / f"{node.name}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    who = identify(os.getpid() if on else os.getppid())
    assert who is not None
    record.write_text(json.dumps(asdict(who)))


def loops(state: State) -> list[str]:
    argv = ["losetup", "--noheadings", "--output", "NAME", "--associated", str(disks.path(state, "d"))]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(("size", "whole"), [(SIZE, True), (2 * disks.SMALL, False)])
def test_a_disk_has_a_file_system_that_shares_blocks_and_a_small_one_all_of_its_room(
    state: State, size: int, whole: bool
) -> None:
    file = disks.make(state, "d", size)

    shown = subprocess.run(["xfs_db", "-r", "-c", "version", str(file)], check=True, capture_output=True, text=True)
    assert "REFLINK" in shown.stdout
    assert file.stat().st_size == size
    assert (file.stat().st_blocks * 512 >= size) is whole


def test_a_disk_that_is_there_keeps_what_is_on_it(state: State) -> None:
    before = disks.make(state, "d", SIZE).stat()

    assert disks.make(state, "d", 2 * SIZE).stat().st_ino == before.st_ino
    assert disks.path(state, "d").stat().st_size == SIZE


def test_attaching_twice_gives_the_same_device(state: State) -> None:
    disks.make(state, "d", SIZE, file_system=False)

    device = disks.attach(state, HERE, "d")

    assert disks.attach(state, HERE, "d") == device
    assert loops(state) == [device]


def test_one_node_has_it_at_a_time(state: State) -> None:
    disks.make(state, "d", SIZE, file_system=False)
    disks.attach(state, HERE, "d")

    with pytest.raises(disks.DiskInUse, match="disk d is attached to node1"):
        disks.attach(state, THERE, "d")
    with pytest.raises(disks.DiskInUse, match="disk d is attached to node1"):
        disks.remove(state, "d")


def test_a_node_that_lost_its_power_has_lost_its_disks(state: State) -> None:
    disks.make(state, "d", SIZE, file_system=False)
    disks.attach(state, HERE, "d")

    power(state, HERE, False)

    assert disks.attached(state, "d") is None
    assert disks.attach(state, HERE, "d") in loops(state)
    assert len(loops(state)) == 1


def test_a_detached_disk_is_nowhere_and_can_be_removed(state: State) -> None:
    disks.make(state, "d", SIZE, file_system=False)
    disks.attach(state, HERE, "d")

    disks.detach(state, HERE, "d")
    disks.detach(state, HERE, "d")

    assert loops(state) == []
    disks.remove(state, "d")
    assert not disks.path(state, "d").exists()


def test_a_node_that_does_not_run_gets_none(state: State) -> None:
    disks.make(state, "d", SIZE, file_system=False)

    with pytest.raises(RuntimeError, match="node2 does not run"):
        disks.attach(state, THERE, "d")


def test_a_disk_must_be_made_first(state: State) -> None:
    with pytest.raises(ValueError, match="there is no disk d"):
        disks.attach(state, HERE, "d")
