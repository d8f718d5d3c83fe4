# ruff: noqa: ASYNC221, ASYNC240 - the loop of a test has nothing else to do
"""What running containers show of a dead mount is replaced. A shell in a mount namespace of its own stands for one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moorage_csi import mounts
from moorage_csi.mounter import connection
from moorage_csi.mounter.healing import Healing
from moorage_csi.runner import Processes
from moorfs.settings import Settings, save

MEMORY = Path(__file__).parents[1] / "moorfs" / "memoryserver.py"


class Container:
    """A process with a mount namespace of its own, from which nothing spreads and into which nothing does."""

    def __init__(self, script: str) -> None:
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{script}; echo begun; exec sleep 60"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "begun\n"

    def sees(self, *argv: str) -> tuple[int, str]:
        """Exit status and output of a command in the container."""
        argv = ("nsenter", "--mount", f"--target={self.process.pid}", *argv)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
        return done.returncode, done.stdout + done.stderr

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Node:
    """A staging path, and what a container shows of it at `data`, read-write, and at `read`, read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.staging = folder, str(folder / "staging")
        for name in ("staging", "data", "read"):
            (folder / name).mkdir()
        self._ends: list[Callable[[], None]] = []

    def shown_dead(self, source: str = "models") -> tuple[Container, str]:
        """The container, and the number of the file system that it shows, whose process has died."""
        device = connection.open_mounted(self.staging, "fuse.moorfs", source)
        data, read = self.folder / "data", self.folder / "read"
        container = Container(
            f"mount --bind -c {self.staging} {data}; mount --bind -c {self.staging} {read}; "
            f"mount -c -o remount,bind,ro {read}"
        )
        self._ends.append(container.end)
        os.close(device)  # the last one: the connection is aborted
        found = mounts.at(self.staging)
        assert found is not None
        subprocess.run(["umount", "-c", "-i", "-l", self.staging], check=True)
        return container, found.device

    def mount_anew(self) -> None:
        """The bucket is staged again, by moorfs with a dictionary in the place of the bucket."""
        device = connection.open_mounted(self.staging, "fuse.moorfs", "models")
        own = self.folder / f"own-{len(self._ends)}"
        own.mkdir()
        config, paths = own / "config.json", {name: str(own / name) for name in ("cache", "socket")}
        save(Settings(endpoint="http://127.0.0.1:1", bucket="models", key_file="/none", **paths), str(config))
        argv = (sys.executable, str(MEMORY), "--fd", str(device), "--config", str(config))
        server = subprocess.Popen(argv, pass_fds=(device,), stderr=subprocess.DEVNULL)
        self._ends += (server.kill, lambda: server.wait(10))
        os.close(device)

    def end(self) -> None:
        for end in self._ends:
            end()


@pytest.fixture
def node(tmp_path: Path, private_mounts: None) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.end()


async def test_a_dead_mount_in_a_running_container_is_replaced_read_only_where_it_was(node: Node) -> None:
    container, device = node.shown_dead()
    before = container.sees("ls", f"{node.folder}/data")
    node.mount_anew()
    Path(node.staging, "file").write_text("well")

    await Healing(Processes()).heal(device, node.staging)

    assert before[0] != 0 and "not connected" in before[1]
    assert container.sees("cat", f"{node.folder}/data/file") == (0, "well")
    script = f"echo more > {node.folder}/data/more; cat {node.folder}/read/more"
    assert container.sees("sh", "-c", script) == (0, "more\n")
    status, said = container.sees("sh", "-c", f"echo no > {node.folder}/read/no")
    assert status != 0 and "Read-only file system" in said


async def test_a_second_healing_changes_nothing(node: Node) -> None:
    container, device = node.shown_dead()
    node.mount_anew()
    await Healing(Processes()).heal(device, node.staging)
    table = container.sees("cat", "/proc/self/mountinfo")

    await Healing(Processes()).heal(device, node.staging)

    assert container.sees("cat", "/proc/self/mountinfo") == table


async def test_other_mounts_stay_as_they_are(node: Node) -> None:
    container, _ = node.shown_dead()
    table = container.sees("cat", "/proc/self/mountinfo")
    node.mount_anew()

    await Healing(Processes()).heal("0:99999", node.staging)

    assert container.sees("cat", "/proc/self/mountinfo") == table


async def test_a_dead_mount_of_another_bucket_is_left_alone_though_the_number_is_the_same(node: Node) -> None:
    """The number of a file system that has gone was given to another volume's, which has died by now too."""
    container, device = node.shown_dead("others")
    table = container.sees("cat", "/proc/self/mountinfo")
    node.mount_anew()

    await Healing(Processes()).heal(device, node.staging)

    assert container.sees("cat", "/proc/self/mountinfo") == table


async def test_what_lives_is_left_alone(node: Node) -> None:
    """The number of a file system that has gone may have been given to another mount of the same bucket."""
    node.mount_anew()
    found = mounts.at(node.staging)
    assert found is not None
    container = Container(f"mount --bind {node.staging} {node.folder}/data")
    subprocess.run(["umount", "-l", node.staging], check=True)
    node.mount_anew()
    table = container.sees("cat", "/proc/self/mountinfo")

    await Healing(Processes()).heal(found.device, node.staging)

    assert container.sees("cat", "/proc/self/mountinfo") == table
    container.end()
