"""fsGroup on shared and local volumes: the published folder lets the group in, nothing in it is walked."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from moorage.errors import DeadlineExceeded
from moorage_csi import hand, mounts
from moorage_csi.node import Node
from moorage_csi.runner import Output

from .conftest import SHARED, Bench, capability

ID = "team/data/abcd2345"
GROUP = 2000


@pytest.fixture
async def node(bench: Bench) -> Node:
    found = bench.node()
    await found.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    return found


async def _publish(
    node: Node, bench: Bench, readonly: bool = False, mode: str = "MULTI_NODE_MULTI_WRITER", **context: str
) -> str:
    target = bench.target("a")
    given = capability(mode, group=str(GROUP))
    await node.NodePublishVolume(ID, target, given, bench.staging, readonly, SHARED | context)
    return target


def _root(bench: Bench, mode: int, gid: int = 0) -> Path:
    root = Path(bench.staging)
    os.chown(root, 0, gid)
    root.chmod(mode)
    return root


def _seen(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_gid, found.st_mode & 0o7777


@pytest.mark.parametrize(
    ("mode", "gid", "after"),
    [
        (0o755, 0, (GROUP, 0o2775)),
        (0o700, 0, (GROUP, 0o2770)),
        (0o750, GROUP, (GROUP, 0o2770)),
        (0o777, 0, (0, 0o777)),  # everybody can write there already
        (0o1777, 0, (0, 0o1777)),
        (0o770, GROUP, (GROUP, 0o770)),
        (0o2770, 3000, (GROUP, 0o2770)),
        (0o707, GROUP, (GROUP, 0o2777)),  # its own group is kept out although others are not
    ],
)
async def test_the_group_can_write_into_the_published_folder(
    node: Node, bench: Bench, mode: int, gid: int, after: tuple[int, int]
) -> None:
    root = _root(bench, mode, gid)
    await _publish(node, bench)
    assert _seen(root) == after


_WRITE = """
import os, sys
folder = os.open(sys.argv[1], os.O_PATH)  # first: pytest keeps its directories from other users
os.setgroups([2000]); os.setgid(1000); os.setuid(1000)
os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
"""


async def test_a_pod_that_is_not_root_really_writes_there(node: Node, bench: Bench) -> None:
    _root(bench, 0o755)
    target = await _publish(node, bench)
    subprocess.run([sys.executable, "-c", _WRITE, target], check=True)  # noqa: ASYNC221
    assert _seen(Path(target, "file"))[0] == GROUP


async def test_what_is_in_the_folder_stays_as_it_is(node: Node, bench: Bench) -> None:
    root = _root(bench, 0o755)
    (root / "mine").mkdir(mode=0o700)
    await _publish(node, bench)
    assert _seen(root / "mine") == (0, 0o700)


async def test_only_the_folder_that_is_shown_is_opened(node: Node, bench: Bench) -> None:
    root = _root(bench, 0o755)
    (root / "sets").mkdir(mode=0o755)
    await _publish(node, bench, mountFrom="/sets")
    assert (_seen(root), _seen(root / "sets")) == ((0, 0o755), (GROUP, 0o2775))


@pytest.mark.parametrize(("readonly", "mode"), [(True, "MULTI_NODE_MULTI_WRITER"), (False, "MULTI_NODE_READER_ONLY")])
async def test_a_read_only_volume_is_left_alone(node: Node, bench: Bench, readonly: bool, mode: str) -> None:
    root = _root(bench, 0o755)
    await _publish(node, bench, readonly, mode)
    assert _seen(root) == (0, 0o755)


async def test_a_crash_between_mount_and_group_is_made_good_by_the_next_call(node: Node, bench: Bench) -> None:
    await _publish(node, bench)
    root = _root(bench, 0o755)
    await _publish(node, bench)
    assert _seen(root) == (GROUP, 0o2775)


def _answer(bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: Output | DeadlineExceeded) -> None:
    """What comes of giving a folder to the group."""
    run = bench.runner.run

    async def answers(argv: Sequence[str], seconds: float, about: str = "") -> Output:
        if "grant" not in argv:
            return await run(argv, seconds, about)
        if isinstance(answer, DeadlineExceeded):
            raise answer
        return answer

    monkeypatch.setattr(bench.runner, "run", answers)


async def test_a_server_that_refuses_is_told_in_the_log_and_the_pod_starts(
    node: Node, bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root squash."""
    _answer(bench, monkeypatch, Output(hand.FAILED, "", "Operation not permitted"))
    target = await _publish(node, bench)
    assert mounts.at(target) is not None
    assert "group 2000 (fsGroup) could not be given" in caplog.text
    assert "(Operation not permitted)" in caplog.text
    monkeypatch.undo()


async def test_a_server_that_hangs_leaves_nothing_behind(
    node: Node, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(bench, monkeypatch, DeadlineExceeded("`grant` took longer than 15 s and was killed"))
    with pytest.raises(DeadlineExceeded):
        await _publish(node, bench)
    assert mounts.at(bench.target("a")) is None
    monkeypatch.undo()


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0o700)
    (tmp_path / "target").symlink_to("secret")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        hand.grant(str(tmp_path / "target"), GROUP)
    assert _seen(tmp_path / "secret") == (0, 0o700)
