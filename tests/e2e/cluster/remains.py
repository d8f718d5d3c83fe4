"""What a local cluster leaves on the machine, found by what it is, not by what was noted: for `down` after a crash."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from time import monotonic, sleep

from . import host, network
from .command import run
from .layout import FILER_TAP, NODES
from .progress import say
from .state import State


class StillThere(RuntimeError):
    """Something could not be removed; the message names it."""


def clear(state: State) -> None:
    """Remove everything of the cluster. Works on a half-started or crashed one, and twice."""
    before = find(state)
    if not before:
        return
    say(f"taking the cluster {state.name!r} down")
    state.cgroup.kill()
    network.tear_down(state.home, state.netns)
    _unmount(state.home)
    _free_loops(state.home)
    state.cgroup.remove()
    host.restore(state.sysctls)
    shutil.rmtree(state.home, ignore_errors=True)
    if left := find(state):
        raise StillThere(f"after `down` there is still: {'; '.join(left)}")
    say("nothing of it is left")


def find(state: State) -> list[str]:
    """Every kind of thing a cluster can leave, one line for each that is there."""
    found = [f"process {pid}" for pid in sorted(state.cgroup.members())]
    found += [f"mount {point}" for point in _mounts(state.home)]
    if network.bridge_owner() in ("", str(state.home)):
        links = [network.BRIDGE, FILER_TAP, *(node.veth for node in NODES)]
        found += [f"link {name}" for name in links if (network.LINKS / name).exists()]
    found += [f"loop device {device}" for device in _loops(state.home)]
    found += [f"control group {directory}" for directory in state.cgroup.directories()]
    found += [f"sysctl settings not restored ({state.sysctls})"] if state.sysctls.exists() else []
    found += [f"directory {state.home}"] if state.home.exists() else []
    return found


def _mounts(home: Path) -> list[str]:
    return [point for point in network.mount_points() if point.startswith(f"{home}{os.sep}")]


def _unmount(home: Path) -> None:
    for point in reversed(_mounts(home)):
        run(["umount", "--lazy", point])


def _loops(home: Path) -> list[str]:
    """Loop devices on files of ours. Compared by inode: the path a node mounted its file by means nothing out here."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-INO,BACK-MAJ:MIN"]).stdout
    if not listed.strip() or not home.exists():
        return []
    return loops_on(listed, home.stat().st_dev, {entry.inode() for entry in _files(home)})


def loops_on(listed: str, device: int, inodes: set[int]) -> list[str]:
    """The loop devices in the listing of losetup (JSON, numbers padded with blanks) that stand on these files."""
    place = f"{os.major(device)}:{os.minor(device)}"
    devices: list[dict[str, str]] = json.loads(listed)["loopdevices"]
    return [one["name"] for one in devices if one["back-maj:min"].strip() == place and int(one["back-ino"]) in inodes]


def _files(home: Path) -> list[os.DirEntry[str]]:
    """All files under `home` that a loop device may stand on; the image store, which is large, holds none."""
    found: list[os.DirEntry[str]] = []
    todo = [str(home)]
    while todo:
        try:
            entries = list(os.scandir(todo.pop()))
        except OSError:
            continue
        found += [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        todo += [e.path for e in entries if e.is_dir(follow_symlinks=False) and e.name != "containerd"]
    return found


def _free_loops(home: Path, wait: float = 10.0) -> None:
    """Detach the devices; one that is mounted goes when the last mount does, of a node that is just ending."""
    deadline = monotonic() + wait
    while (devices := _loops(home)) and monotonic() < deadline:
        for device in devices:
            run(["losetup", "--detach", device], check=False)
        sleep(0.1)
