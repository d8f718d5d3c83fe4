# ruff: noqa: ASYNC221, ASYNC230, ASYNC240 - the loop of a test has nothing else to do
"""The mount table, and unmounting for real in a private mount namespace."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from moorage.errors import DeadlineExceeded, InvalidInput, MoorageError
from moorage_csi import binds, mounts
from moorage_csi.mounts import Mount
from moorage_csi.runner import Output, Runner

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


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/"])
def test_paths_that_are_not_clean_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        mounts.absolute(path, "target_path")


async def test_absent_takes_stacked_mounts_and_the_directory(runner: Runner, volume: Mount, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    for _ in range(3):
        await binds.ensure_bound(runner, volume, "/", target, readonly=False)
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
    await binds.ensure_bound(runner, volume, "/", target, readonly=False)
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
