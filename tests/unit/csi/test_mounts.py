# ruff: noqa: ASYNC221, ASYNC230, ASYNC240 - the loop of a test has nothing else to do
"""The mount table, and binding and unbinding for real in a private mount namespace."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from moorage.errors import DeadlineExceeded, InvalidInput, MoorageError, NotFound
from moorage_csi import mounts
from moorage_csi.hands import Hands
from moorage_csi.mounts import Mount
from moorage_csi.runner import Output, Processes, Runner

MOUNTINFO = r"""36 35 98:0 / / rw,noatime shared:1 - ext4 /dev/root rw
40 36 0:53 / /kubelet/globalmount rw,relatime shared:2 master:1 - nfs4 10.0.0.7:/vol/abc rw,vers=4.1
41 36 0:53 /sets/a\040b /kubelet/pods/x/mount ro,relatime - nfs4 10.0.0.7:/vol/abc rw
42 36 0:54 / /kubelet/pods/x/mount rw - fuse.s3fs s3fs rw,user_id=0
43 36 0:55 / /odd\134name\011 rw - tmpfs none rw
"""


def test_mountinfo_becomes_values() -> None:
    table = mounts.parse(MOUNTINFO)
    assert table[1] == Mount("0:53", "/", "/kubelet/globalmount", False, "nfs4", "10.0.0.7:/vol/abc")
    assert table[2] == Mount("0:53", "/sets/a b", "/kubelet/pods/x/mount", True, "nfs4", "10.0.0.7:/vol/abc")


def test_octal_escapes_are_undone() -> None:
    assert mounts.parse(MOUNTINFO)[4].target == "/odd\\name\t"


def test_letters_outside_ascii_are_read_as_the_kernel_wrote_them() -> None:
    line = "44 36 0:56 / /kubelet/größe rw - tmpfs none rw".encode().decode("latin-1")
    assert mounts.parse(line)[0].target == "/kubelet/größe"


def test_the_topmost_mount_of_a_path_counts() -> None:
    found = mounts.at("/kubelet/pods/x/mount", MOUNTINFO)
    assert found is not None and found.fstype == "fuse.s3fs"


@pytest.mark.parametrize("path", ["/odd\\name\t", "/kubelet/globalmount", "/größe und mehr"])
def test_a_path_of_any_letters_is_found(path: str) -> None:
    line = "45 36 0:57 / /größe\\040und\\040mehr rw - tmpfs none rw\n".encode().decode("latin-1")
    found = mounts.at(path, MOUNTINFO + line)
    assert found is not None and found.target == path


@pytest.mark.parametrize("path", ["/kubelet", "/kubelet/globalmount/x", "/odd", "/sets/a b", "tmpfs"])
def test_what_is_no_target_is_not_found(path: str) -> None:
    assert mounts.at(path, MOUNTINFO) is None


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
    assert mounts.shows(Mount("0:53", root, "/t", False, "fuse.s3fs", "s3fs"), base, folder, readonly) is same


@pytest.mark.parametrize(
    ("source", "folder", "same"),
    [("s:/v", "/", True), ("s:/v/a", "/a", True), ("s:/v", "/a", False), ("s:/v/a//deleted", "/a", True)],
)
def test_an_nfs_mount_says_its_folder_in_the_source(source: str, folder: str, same: bool) -> None:
    base = Mount("0:53", "/", "/stage", False, "nfs4", "s:/v")
    assert mounts.shows(Mount("0:53", "/", "/t", False, "nfs4", source), base, folder, False) is same


def test_another_device_is_another_volume() -> None:
    base = Mount("0:53", "/", "/stage", False, "nfs4", "s:/v")
    assert not mounts.shows(Mount("0:99", "/", "/t", False, "nfs4", "s:/v"), base, "/", False)


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/"])
def test_paths_that_are_not_clean_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        mounts.absolute(path, "target_path")


@pytest.fixture(params=[Processes, Hands])
async def runner(request: pytest.FixtureRequest, private_mounts: None) -> AsyncIterator[Runner]:
    """Each verb as commands and by a helper at hand."""
    found: Processes | Hands = request.param()
    if isinstance(found, Hands):
        await found.warm()
    yield found
    if isinstance(found, Hands):
        await found.close()


@pytest.fixture
def volume(tmp_path: Path, private_mounts: None) -> Mount:
    """A mounted volume with a folder, a file and some traps."""
    staging = tmp_path / "stage"
    staging.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "volume", str(staging)], check=True)
    (staging / "sets" / "imagenet").mkdir(parents=True)
    (staging / "sets" / "imagenet" / "one").write_text("1")
    (staging / "file").write_text("f")
    (staging / "out").symlink_to("/etc")
    (staging / "up").symlink_to("../..")
    (staging / "inner").symlink_to("sets/imagenet")
    (staging / "nested").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "other", str(staging / "nested")], check=True)
    found = mounts.at(str(staging))
    assert found is not None
    return found


async def test_a_folder_is_bound_and_nothing_else_is_seen(runner: Runner, volume: Mount, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    await mounts.ensure_bound(runner, volume, "/sets/imagenet", target, readonly=False)
    assert os.listdir(target) == ["one"]
    (Path(target) / "two").write_text("2")
    assert (Path(volume.target) / "sets/imagenet/two").read_text() == "2"


async def test_a_read_only_bind_refuses_writes_and_leaves_the_volume_writable(
    runner: Runner, volume: Mount, tmp_path: Path
) -> None:
    target = str(tmp_path / "target")
    await mounts.ensure_bound(runner, volume, "/", target, readonly=True)
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
    await mounts.ensure_bound(runner, base, folder, target, readonly)
    bound = mounts.at(target)
    assert bound is not None and (bound.readonly, bound.flags) == (readonly, ("nosuid", "nodev", "noexec"))


async def test_a_folder_that_is_missing_is_named_and_leaves_no_directory(
    runner: Runner, volume: Mount, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    with pytest.raises(NotFound, match="/sets/nowhere does not exist"):
        await mounts.ensure_bound(runner, volume, "/sets/nowhere", str(target), readonly=False)
    assert not target.exists()


@pytest.mark.parametrize(
    "folder", ["/out", "/up", "/inner", "/../..", "/sets/../../etc", "/file", "/nested", "/out/ssl"]
)
async def test_no_folder_leads_out_of_the_volume(runner: Runner, volume: Mount, tmp_path: Path, folder: str) -> None:
    target = tmp_path / "target"
    with pytest.raises(InvalidInput, match="not a plain folder"):
        await mounts.ensure_bound(runner, volume, folder, str(target), readonly=False)
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
        await mounts.ensure_bound(runner, volume, "/pair/folder", target, readonly=False)
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
        await mounts.ensure_bound(runner, volume, "/", str(target), readonly=False)
    assert mounts.at("/tmp") is None


async def test_absent_takes_stacked_mounts_and_the_directory(runner: Runner, volume: Mount, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    for _ in range(3):
        await mounts.ensure_bound(runner, volume, "/", target, readonly=False)
    await mounts.ensure_absent(runner, target)
    assert not os.path.lexists(target)


async def test_absent_is_content_with_nothing(runner: Runner, tmp_path: Path) -> None:
    await mounts.ensure_absent(runner, str(tmp_path / "gone" / "target"))


async def test_absent_never_deletes_what_is_in_a_directory(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "data").write_text("precious")
    with pytest.raises(MoorageError, match="not empty"):
        await mounts.ensure_absent(runner, str(tmp_path / "target"))
    assert (tmp_path / "target" / "data").read_text() == "precious"


async def test_a_busy_mount_is_taken_away_lazily(runner: Runner, volume: Mount, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    await mounts.ensure_bound(runner, volume, "/", target, readonly=False)
    with open(f"{target}/held", "w", encoding="utf-8") as held:
        await mounts.ensure_absent(runner, target)
        held.write("still written")
    assert (Path(volume.target) / "held").read_text() == "still written"


async def test_a_fuse_mount_that_nobody_serves_is_taken_away(
    runner: Runner, tmp_path: Path, private_mounts: None
) -> None:
    """As after the death of its process: every access to it fails or hangs."""
    target = tmp_path / "dead"
    target.mkdir()
    handle = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={handle},rootmode=40000,user_id=0,group_id=0"
    subprocess.run(
        ["mount", "-i", "-t", "fuse.s3fs", "-o", options, "s3fs", str(target)], check=True, pass_fds=[handle]
    )
    await mounts.ensure_absent(runner, str(target))
    os.close(handle)
    assert not target.exists()


class SlowKernel:
    """A mount table, and umount(8) that takes too long unless it is forced or lazy."""

    def __init__(self, *mounted: Mount) -> None:
        self.mounted = mounted
        self.aborted: set[str] = set()  # devices whose users lost their requests

    def mountinfo(self) -> str:
        lines = (f"36 35 {m.device} {m.root} {m.target} rw - {m.fstype} {m.source} rw\n" for m in self.mounted)
        return "".join(lines)

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        device = next(mount.device for mount in self.mounted if mount.target == argv[-1])
        if "-f" in argv:
            self.aborted.add(device)
        if "-f" not in argv and "-l" not in argv:
            raise DeadlineExceeded("`umount` took longer than 5 s and was killed")
        self.mounted = tuple(mount for mount in self.mounted if mount.target != argv[-1])
        return Output(0, "", "")


@pytest.mark.parametrize(
    ("others", "aborted"),
    [((), {"0:54"}), (("/kubelet/globalmount",), set[str]()), (("/kubelet/pods/other/mount",), set[str]())],
    ids=["the last mount", "still staged", "another pod"],
)
async def test_an_unmount_that_takes_too_long_is_forced_only_where_nobody_else_has_the_volume(
    monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...], aborted: set[str]
) -> None:
    targets = ("/kubelet/pods/x/mount", *others)
    kernel = SlowKernel(*(Mount("0:54", "/", target, False, "fuse.s3fs", "s3fs") for target in targets))
    monkeypatch.setattr(mounts, "_mountinfo", kernel.mountinfo)

    await mounts.ensure_unmounted(kernel, targets[0])

    assert [mount.target for mount in kernel.mounted] == list(others)
    assert kernel.aborted == aborted


class DeadServer(SlowKernel):
    """As with a writer that is blocked: only a lazy unmount takes a mount away. Remembers what was waited for."""

    def __init__(self, *mounted: Mount) -> None:
        super().__init__(*mounted)
        self.waited = 0.0
        self.asked: list[tuple[str, str]] = []

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        flags, target = " ".join(argv[3:-1]), argv[-1]
        self.asked.append((target, flags))
        if flags != "-l":
            self.waited += seconds
            raise DeadlineExceeded(f"`umount` took longer than {seconds:g} s and was killed")
        return await super().run(argv, seconds, about)


async def test_with_the_server_dead_a_volume_leaves_its_node_in_less_than_30_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pod, staging = "/kubelet/pods/x/mount", "/kubelet/globalmount"
    kernel = DeadServer(*(Mount("0:53", "/", path, False, "nfs4", "10.0.0.7:/vol/abc") for path in (pod, staging)))
    monkeypatch.setattr(mounts, "_mountinfo", kernel.mountinfo)

    await mounts.ensure_unmounted(kernel, pod)
    await mounts.ensure_unmounted(kernel, staging)

    assert kernel.mounted == ()
    assert kernel.asked == [(pod, ""), (pod, "-l"), (staging, ""), (staging, "-f"), (staging, "-l")]
    assert kernel.waited <= 15.0  # and twice 5 s at most for the lazy ones
