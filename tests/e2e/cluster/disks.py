"""Disks that can move between nodes: files, given to one running node at a time, as a cloud's block volumes are.

A user-mode-linux node gets a disk by its console (`/dev/ubdb` and on), the namespace node as a loop device.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from . import mconsole
from .command import run
from .layout import NODES, Node, node_named
from .state import State

SMALL = 2 << 30  # bytes
LETTERS = "bcdefgh"  # `a` is what the machine stands on


class DiskInUse(RuntimeError):
    """The disk is attached elsewhere; the message names the node."""


@dataclass(frozen=True)
class Attached:
    """Where a disk is: the node, its device there, and the node's process (another one means: it lost its disks)."""

    node: str
    device: str
    pid: int


def path(state: State, name: str) -> Path:
    """The file of a disk."""
    return state.home / "disks" / f"{name}.img"


def make(state: State, name: str, size: int, file_system: bool = True) -> Path:
    """A disk of `size` bytes, with an XFS that can share blocks, unless told not to; one that is there is left alone.

    A large one takes room as it is written. A small one has all of its own: it is there to be filled, and where the
    machine's own disk had no room left, that would look like a disk that fails.
    """
    file = path(state, name)
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    with draft.open("wb") as stream:
        stream.truncate(size)
    if file_system:
        run(["mkfs.xfs", "-q", "-f", "-m", "reflink=1", draft], timeout=120)
    if size <= SMALL:
        with draft.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)
    return draft.rename(file)


def remove(state: State, name: str) -> None:
    """Forget a disk and all that is on it. DiskInUse while a node has it."""
    if where := attached(state, name):
        raise DiskInUse(f"disk {name} is attached to {where.node}")
    path(state, name).unlink(missing_ok=True)
    state.note(_fact(name), "")


def attached(state: State, name: str) -> Attached | None:
    """Where the disk is; None when nowhere, or when that node has lost its power since."""
    told = state.facts().get(_fact(name))
    if not told:
        return None
    where = Attached(**json.loads(told))
    return where if where.pid == _pid(state, where.node) else None


def attach(state: State, node: Node, name: str) -> str:
    """Give the disk to a running node; its device there. Again: the same. DiskInUse if another node has it."""
    if where := attached(state, name):
        if where.node == node.name:
            return where.device
        raise DiskInUse(f"disk {name} is attached to {where.node}: detach it there first")
    if not path(state, name).exists():
        raise ValueError(f"there is no disk {name}: make it first")
    pid = _pid(state, node.name)
    if pid is None:
        raise RuntimeError(f"{node.name} does not run: no disk can be attached to it")
    _free(state, name)
    device = _plug(state, node, name)
    state.note(_fact(name), json.dumps(asdict(Attached(node.name, device, pid))))
    return device


def detach(state: State, node: Node, name: str) -> None:
    """Take the disk from the node, which must have unmounted it. Not there: nothing happens."""
    where = attached(state, name)
    if where is None or where.node != node.name:
        return
    if node.kind == "uml":
        mconsole.ask(_console(state, node), f"remove {Path(where.device).name}")
    else:
        _free(state, name)
    state.note(_fact(name), "")


def _plug(state: State, node: Node, name: str) -> str:
    file = path(state, name)
    if node.kind == "namespace":
        return run(["losetup", "--find", "--show", file]).stdout.strip()
    taken = {where.device for where in _all(state) if where.node == node.name}
    free = [f"ubd{letter}" for letter in LETTERS if f"/dev/ubd{letter}" not in taken]
    if not free:
        raise DiskInUse(f"{node.name} has {len(LETTERS)} disks already")
    mconsole.ask(_console(state, node), f"config {free[0]}={file}")
    return f"/dev/{free[0]}"


def _free(state: State, name: str) -> None:
    """Let go of the loop devices on the disk, such as those of a namespace node that lost its power."""
    listed = run(["losetup", "--noheadings", "--output", "NAME", "--associated", path(state, name)]).stdout
    for device in listed.split():
        run(["losetup", "--detach", device])


def _all(state: State) -> list[Attached]:
    names = [fact.removeprefix("disk-") for fact in state.facts() if fact.startswith("disk-")]
    return [where for name in names if (where := attached(state, name))]


def _pid(state: State, node: str) -> int | None:
    assert node_named(node) in NODES
    found = state.processes.find(node)
    return found.pid if found else None


def _console(state: State, node: Node) -> Path:
    return state.home / "uml" / node.name / "mconsole"


def _fact(name: str) -> str:
    return f"disk-{name}"
