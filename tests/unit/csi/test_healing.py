# ruff: noqa: ASYNC221 - the loop of a test has nothing else to do
"""What running containers show of a dead mount is replaced. A shell in a mount namespace of its own stands for one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage_csi import mounts
from moorage_csi.mounter import connection
from moorage_csi.mounter.healing import Healing
from moorage_csi.runner import Processes


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


@pytest.fixture
def dead(tmp_path: Path, private_mounts: None) -> Iterator[tuple[Path, Container, str]]:
    """A staged FUSE mount that has died, shown by a container at /data, read-write, and at /read, read-only."""
    staging, data, read = tmp_path / "staging", tmp_path / "data", tmp_path / "read"
    for folder in (staging, data, read):
        folder.mkdir()
    device = connection.open_mounted(str(staging), "fuse.moorfs", "models")
    container = Container(
        f"mount --bind -c {staging} {data}; mount --bind -c {staging} {read}; mount -c -o remount,bind,ro {read}"
    )
    os.close(device)  # the last one: the connection is aborted
    found = mounts.at(str(staging))
    assert found is not None
    subprocess.run(["umount", "-c", "-i", "-l", str(staging)], check=True)
    yield tmp_path, container, found.device
    container.end()


async def test_a_dead_mount_in_a_running_container_is_replaced_read_only_where_it_was(
    dead: tuple[Path, Container, str],
) -> None:
    folder, container, device = dead
    before = container.sees("ls", f"{folder}/data")
    subprocess.run(["mount", "-t", "tmpfs", "new", f"{folder}/staging"], check=True)
    (folder / "staging/file").write_text("well")

    await Healing(Processes()).heal(device, f"{folder}/staging")

    assert before[0] != 0 and "not connected" in before[1]
    assert container.sees("cat", f"{folder}/data/file") == (0, "well")
    assert container.sees("sh", "-c", f"echo more > {folder}/data/more; cat {folder}/read/more") == (0, "more\n")
    status, said = container.sees("sh", "-c", f"echo no > {folder}/read/no")
    assert status != 0 and "Read-only file system" in said


async def test_a_second_healing_changes_nothing(dead: tuple[Path, Container, str]) -> None:
    folder, container, device = dead
    subprocess.run(["mount", "-t", "tmpfs", "new", f"{folder}/staging"], check=True)
    await Healing(Processes()).heal(device, f"{folder}/staging")
    table = container.sees("cat", "/proc/self/mountinfo")

    await Healing(Processes()).heal(device, f"{folder}/staging")

    assert container.sees("cat", "/proc/self/mountinfo") == table


async def test_other_mounts_stay_as_they_are(dead: tuple[Path, Container, str]) -> None:
    folder, container, _ = dead
    table = container.sees("cat", "/proc/self/mountinfo")
    subprocess.run(["mount", "-t", "tmpfs", "new", f"{folder}/staging"], check=True)

    await Healing(Processes()).heal("0:99999", f"{folder}/staging")

    assert container.sees("cat", "/proc/self/mountinfo") == table


async def test_what_lives_is_left_alone(private_mounts: None, tmp_path: Path) -> None:
    """The number of a file system that has gone may have been given to another volume's."""
    for name in ("staging", "other", "data"):
        (tmp_path / name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "other", f"{tmp_path}/other"], check=True)
    container = Container(f"mount --bind {tmp_path}/other {tmp_path}/data")
    subprocess.run(["mount", "-t", "tmpfs", "new", f"{tmp_path}/staging"], check=True)
    found = mounts.at(f"{tmp_path}/other")
    assert found is not None
    table = container.sees("cat", "/proc/self/mountinfo")

    await Healing(Processes()).heal(found.device, f"{tmp_path}/staging")

    assert container.sees("cat", "/proc/self/mountinfo") == table
    container.end()
