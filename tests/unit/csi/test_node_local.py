# ruff: noqa: ASYNC221, ASYNC240 - the loop of a test has nothing else to do
"""Local volumes on the node, with a real XFS on a loop device where the node's agent would have mounted it."""

import os
import subprocess
from pathlib import Path

import pytest

from moorage import errors
from moorage_csi import api, mounts
from moorage_csi.node import Node

from .conftest import Bench, capability

ID = "team/data/abcd2345"
LOCAL = {"type": "local", "mount": "local", "share": "abcd2345"}
POD = {"csi.storage.k8s.io/ephemeral": "true", "csi.storage.k8s.io/pod.namespace": "team", "volume": "data"}
MODE = "SINGLE_NODE_SINGLE_WRITER"


@pytest.fixture
def disk(bench: Bench, tmp_path: Path) -> Path:
    """The volume's file system, mounted as the agent does it."""
    image, point = tmp_path / "image", bench.kubelet / "plugin" / "local" / "abcd2345"
    image.touch()
    os.truncate(image, 320 * 2**20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    point.mkdir(parents=True)
    subprocess.run(["mount", "-o", "loop,nosuid,nodev", image, point], check=True)
    return point


async def _stage(node: Node, bench: Bench) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(MODE), volume_context=LOCAL)


async def _publish(node: Node, bench: Bench, pod: str, **attributes: str) -> str:
    target = bench.target(pod)
    await node.NodePublishVolume(ID, target, capability(MODE), bench.staging, False, LOCAL | attributes)
    return target


async def test_a_pod_sees_the_disk_and_can_run_what_lies_on_it(bench: Bench, disk: Path) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")

    program = Path(target, "program")
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)

    assert subprocess.run([program], capture_output=True, check=True, text=True).stdout == "ran\n"
    assert (disk / "program").exists()
    stats = await node.NodeGetVolumeStats(ID, target)
    assert stats.usage[0].total > 200 * 2**20


async def test_every_call_can_be_repeated_and_the_agents_mount_stays(bench: Bench, disk: Path) -> None:
    node = bench.node()
    for _ in range(2):
        await _stage(node, bench)
    for _ in range(2):
        target = await _publish(node, bench, "a")
    for _ in range(2):
        await node.NodeUnpublishVolume(ID, target)
    for _ in range(2):
        await node.NodeUnstageVolume(ID, bench.staging)

    assert mounts.at(bench.staging) is None and not os.path.exists(target)
    assert mounts.at(str(disk)) is not None


@pytest.mark.parametrize("bare", [True, False])
async def test_without_the_agents_mount_nothing_is_shown(bench: Bench, bare: bool) -> None:
    """Bare: the folder that the agent would mount on is there, with nothing on it."""
    point = bench.kubelet / "plugin" / "local" / "abcd2345"
    if bare:
        point.mkdir(parents=True)
    with pytest.raises(errors.NotReady, match="DaemonSet moorage-local"):
        await _stage(bench.node(), bench)
    assert mounts.at(bench.staging) is None


async def test_another_file_system_in_its_place_is_not_taken_for_it(bench: Bench) -> None:
    point = bench.kubelet / "plugin" / "local" / "abcd2345"
    point.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    with pytest.raises(errors.NotReady):
        await _stage(bench.node(), bench)


async def test_a_staging_path_with_another_mount_is_refused(bench: Bench, disk: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", bench.staging], check=True)
    with pytest.raises(errors.AlreadyExists, match="abcd2345"):
        await _stage(bench.node(), bench)


async def test_a_folder_of_it_cannot_be_mounted(bench: Bench, disk: Path) -> None:
    node = bench.node()
    await _stage(node, bench)
    with pytest.raises(errors.InvalidInput, match="always mounted whole: remove mountFrom /sets"):
        await _publish(node, bench, "a", mountFrom="/sets")
    assert not os.path.exists(bench.target("a"))


async def test_mount_options_come_too_late(bench: Bench, disk: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="local mount option 'noatime'"):
        await bench.node().NodeStageVolume(
            ID, bench.staging, capability(MODE, flags=("noatime",)), volume_context=LOCAL
        )


async def test_inline_it_is_the_same_disk_and_whole(bench: Bench, disk: Path) -> None:
    node = bench.node()
    status = {"id": "abcd2345", "attributes": LOCAL, "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"name": "data", "namespace": "team", "uid": "u"}
    bench.api.objects[api.volume_path("team", "data")] = {"metadata": metadata, "spec": {}, "status": status}
    target = bench.target("a")

    with pytest.raises(errors.InvalidInput, match="always mounted whole"):
        await node.NodePublishVolume("csi-a", target, capability(MODE), "", False, POD | {"mountFrom": "/x"})
    await node.NodePublishVolume("csi-a", target, capability(MODE), "", False, POD)
    Path(target, "file").write_text("hello")

    assert (disk / "file").read_text() == "hello"
    await node.NodeUnpublishVolume("csi-a", target)
    assert mounts.at(target) is None and mounts.at(str(disk)) is not None


async def test_lost_state_files_do_not_lose_the_mounts(bench: Bench, disk: Path) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")
    for file in (bench.kubelet / "plugin" / "state").iterdir():
        file.unlink()

    await node.NodeUnpublishVolume(ID, target)
    await node.NodeUnstageVolume(ID, bench.staging)

    assert mounts.at(target) is None and mounts.at(bench.staging) is None


async def test_an_xfs_of_somebody_else_is_not_unmounted(bench: Bench, tmp_path: Path) -> None:
    image = tmp_path / "foreign"
    image.touch()
    os.truncate(image, 320 * 2**20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, bench.staging], check=True)

    with pytest.raises(errors.NotFound, match="a mount of type xfs"):
        await bench.node().NodeUnstageVolume(ID, bench.staging)


async def test_a_restarted_plugin_goes_on_where_the_old_one_ended(bench: Bench, disk: Path) -> None:
    await _stage(bench.node(), bench)
    target = await _publish(bench.node(), bench, "a")
    node = bench.node()
    await node.recover()
    await _publish(node, bench, "a")

    assert (await node.NodeGetVolumeStats(ID, target)).volume_condition.abnormal is False
