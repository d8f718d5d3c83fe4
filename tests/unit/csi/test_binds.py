# ruff: noqa: ASYNC221 - the loop of a test has nothing else to do
"""Folders of a volume, bound for real in a private mount namespace; none leads out of the volume."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.errors import InvalidInput, MoorageError, NotFound
from moorage_csi import binds, mounts
from moorage_csi.mounts import Mount
from moorage_csi.runner import Runner


@pytest.mark.parametrize(
    ("root", "folder", "readonly", "same"),
    [
        ("/a", "/a", False, True),
        ("/a", "/a", True, False),
        ("/", "/a", False, False),
        ("/a//deleted", "/a", False, True),
    ],
)
def test_a_mount_shows_a_folder_by_device_root_and_flag(root: str, folder: str, readonly: bool, same: bool) -> None:
    base = Mount("0:53", "/", "/stage", False, "fuse.s3fs", "s3fs")
    assert binds.shows(Mount("0:53", root, "/t", False, "fuse.s3fs", "s3fs"), base, folder, readonly) is same


@pytest.mark.parametrize(
    ("source", "folder", "same"),
    [("s:/v", "/", True), ("s:/v/a", "/a", True), ("s:/v", "/a", False), ("s:/v/a//deleted", "/a", True)],
)
def test_an_nfs_mount_says_its_folder_in_the_source(source: str, folder: str, same: bool) -> None:
    base = Mount("0:53", "/", "/stage", False, "nfs4", "s:/v")
    assert binds.shows(Mount("0:53", "/", "/t", False, "nfs4", source), base, folder, False) is same


def test_another_device_is_another_volume() -> None:
    base = Mount("0:53", "/", "/stage", False, "nfs4", "s:/v")
    assert not binds.shows(Mount("0:99", "/", "/t", False, "nfs4", "s:/v"), base, "/", False)


async def test_a_folder_is_bound_and_nothing_else_is_seen(runner: Runner, volume: Mount, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    await binds.ensure_bound(runner, volume, "/sets/imagenet", target, readonly=False)
    assert os.listdir(target) == ["one"]
    (Path(target) / "two").write_text("2")
    assert (Path(volume.target) / "sets/imagenet/two").read_text() == "2"


async def test_a_read_only_bind_refuses_writes_and_leaves_the_volume_writable(
    runner: Runner, volume: Mount, tmp_path: Path
) -> None:
    target = str(tmp_path / "target")
    await binds.ensure_bound(runner, volume, "/", target, readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        (Path(target) / "new").write_text("x")
    (Path(volume.target) / "new").write_text("x")


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("folder", ["/", "/sets"])
async def test_a_bind_is_no_more_generous_than_the_volumes_own_mount(
    runner: Runner, volume: Mount, tmp_path: Path, folder: str, readonly: bool
) -> None:
    subprocess.run(["mount", "-o", "remount,bind,nosuid,nodev,noexec", volume.target], check=True)
    base = mounts.at(volume.target)
    assert base is not None
    target = str(tmp_path / "target")
    await binds.ensure_bound(runner, base, folder, target, readonly)
    bound = mounts.at(target)
    assert bound is not None and (bound.readonly, bound.flags) == (readonly, ("nosuid", "nodev", "noexec"))


async def test_a_folder_that_is_missing_is_named_and_leaves_no_directory(
    runner: Runner, volume: Mount, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    with pytest.raises(NotFound, match="/sets/nowhere does not exist"):
        await binds.ensure_bound(runner, volume, "/sets/nowhere", str(target), readonly=False)
    assert not target.exists()


@pytest.mark.parametrize(
    "folder", ["/out", "/up", "/inner", "/../..", "/sets/../../etc", "/file", "/nested", "/out/ssl"]
)
async def test_no_folder_leads_out_of_the_volume(runner: Runner, volume: Mount, tmp_path: Path, folder: str) -> None:
    target = tmp_path / "target"
    with pytest.raises(InvalidInput, match="not a plain folder"):
        await binds.ensure_bound(runner, volume, folder, str(target), readonly=False)
    assert not target.exists()


class Swapper:
    """A pod with the volume mounted: swaps a folder for a link out of the volume and back, as fast as it can."""

    def __init__(self, root: Path) -> None:
        (root / "pair").mkdir()
        (root / "pair" / "folder").mkdir()
        (root / "pair" / "folder" / "inside").touch()
        (root / "pair" / "link").symlink_to("/etc")
        argv = (sys.executable, "-c", _SWAP, root / "pair" / "folder", root / "pair" / "link")
        self._process = subprocess.Popen(argv)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


_SWAP = """
import ctypes, os, sys
libc, (a, b) = ctypes.CDLL(None), map(os.fsencode, sys.argv[1:])
while True:
    libc.renameat2(-100, a, -100, b, 2)  # RENAME_EXCHANGE
"""


async def test_a_folder_that_a_pod_swaps_for_a_link_during_the_publish_never_leads_out(
    runner: Runner, volume: Mount, tmp_path: Path
) -> None:
    target, outcomes = str(tmp_path / "target"), set[str]()
    swapper = Swapper(Path(volume.target))
    try:
        for attempt in range(2000):
            outcomes.add(await _swapped(runner, volume, target))
            if attempt >= 50 and outcomes == {"inside", "refused"}:
                break
    finally:
        swapper.end()
    assert outcomes == {"inside", "refused"}  # both were met, and nothing else


async def _swapped(runner: Runner, volume: Mount, target: str) -> str:
    try:
        await binds.ensure_bound(runner, volume, "/pair/folder", target, readonly=False)
    except InvalidInput:
        return "refused"
    except MoorageError as error:  # bound, and moved before it was looked at: taken away again
        return "refused" if "does not show" in str(error) else str(error)
    seen = mounts.at(target)
    assert seen is not None and seen.device == volume.device
    found = ",".join(os.listdir(target))
    await mounts.ensure_absent(runner, target)
    return found


async def test_a_target_that_is_a_link_is_not_followed(runner: Runner, volume: Mount, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.symlink_to("/tmp")
    with pytest.raises(MoorageError):
        await binds.ensure_bound(runner, volume, "/", str(target), readonly=False)
    assert mounts.at("/tmp") is None
