# ruff: noqa: ASYNC221, ASYNC240 - the loop of a test has nothing else to do
"""Stage, publish, unpublish, unstage, stats, with real bind mounts in a private mount namespace."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from moorage import errors
from moorage_csi import mounts
from moorage_csi.node import Node
from moorage_csi.proto import csi_pb2 as csi

from .conftest import SHARED, Bench, capability

ID = "team/data/abcd2345"


async def _stage(node: Node, bench: Bench, context: Mapping[str, str] = SHARED, flags: tuple[str, ...] = ()) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(flags=flags), volume_context=context)


async def _publish(
    node: Node, bench: Bench, pod: str, readonly: bool = False, mode: str = "MULTI_NODE_MULTI_WRITER"
) -> str:
    target = bench.target(pod)
    await node.NodePublishVolume(ID, target, capability(mode), bench.staging, readonly, SHARED)
    return target


async def test_a_claim_is_mounted_once_and_bound_for_each_pod(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    first, second = await _publish(node, bench, "a"), await _publish(node, bench, "b", readonly=True)
    Path(first, "file").write_text("hello")
    assert Path(second, "file").read_text() == "hello"
    with pytest.raises(OSError, match="Read-only"):
        Path(second, "file").write_text("x")
    assert bench.runner.mounted == [("10.0.0.7:/vol/abc", "vers=4.1,hard")]


async def test_every_call_can_be_repeated(bench: Bench) -> None:
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
    assert list((bench.kubelet / "plugin" / "state").iterdir()) == []


async def test_a_restarted_plugin_goes_on_where_the_old_one_ended(bench: Bench) -> None:
    await _stage(bench.node(), bench)
    target = await _publish(bench.node(), bench, "a")
    node = bench.node()
    await node.recover()
    await _publish(node, bench, "a")
    assert (await node.NodeGetVolumeStats(ID, target)).volume_condition.abnormal is False
    await node.NodeUnpublishVolume(ID, target)
    await node.NodeUnstageVolume(ID, bench.staging)
    assert mounts.at(bench.staging) is None


async def test_lost_state_files_do_not_lose_the_mounts(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")
    for file in (bench.kubelet / "plugin" / "state").iterdir():
        file.write_text("{half a fi")
    await _publish(node, bench, "a")
    await node.NodeUnpublishVolume(ID, target)
    await node.NodeUnstageVolume(ID, bench.staging)
    assert mounts.at(target) is None and mounts.at(bench.staging) is None


async def test_after_a_reboot_nothing_is_remembered_and_all_is_made_again(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a", mode="SINGLE_NODE_SINGLE_WRITER")
    subprocess.run(["umount", target, bench.staging], check=True)
    node = bench.node()
    await node.recover()
    assert list((bench.kubelet / "plugin" / "state").iterdir()) == []
    await _stage(node, bench)
    await _publish(node, bench, "b", mode="SINGLE_NODE_SINGLE_WRITER")


async def test_staging_again_with_other_options_is_refused(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    with pytest.raises(errors.AlreadyExists, match="other options"):
        await _stage(node, bench, flags=("noatime",))


async def test_staging_at_a_second_path_is_refused(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    with pytest.raises(errors.AlreadyExists, match=bench.staging):
        await node.NodeStageVolume(ID, bench.target("elsewhere"), capability(), volume_context=SHARED)


async def test_a_foreign_mount_at_the_staging_path_is_not_taken_for_the_volume(bench: Bench) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "10.0.0.7:/vol/other", bench.staging], check=True)
    with pytest.raises(errors.AlreadyExists, match="/vol/other"):
        await _stage(bench.node(), bench)


async def test_a_server_that_refuses_is_quoted_and_leaves_no_mount(bench: Bench) -> None:
    bench.runner.refuse = "mount.nfs4: access denied by server"
    with pytest.raises(errors.NotReady, match="access denied by server"):
        await _stage(bench.node(), bench)
    assert mounts.at(bench.staging) is None


async def test_a_volume_that_its_server_no_longer_exports_is_not_found(bench: Bench) -> None:
    said = "mounting 10.0.0.7:/vol/abc failed, reason given by server: No such file or directory"
    bench.runner.refuse = f"mount.nfs4: {said}"
    with pytest.raises(errors.NotFound, match="exports no /vol/abc"):
        await _stage(bench.node(), bench)
    assert mounts.at(bench.staging) is None


async def test_publish_without_stage_is_a_failed_precondition_and_leaves_no_directory(bench: Bench) -> None:
    target = bench.target("a")
    with pytest.raises(errors.InUse, match="not staged"):
        await bench.node().NodePublishVolume(ID, target, capability(), bench.staging, False, SHARED)
    assert not os.path.exists(target)


async def test_the_same_target_in_another_way_is_refused(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    await _publish(node, bench, "a")
    with pytest.raises(errors.AlreadyExists):
        await _publish(node, bench, "a", readonly=True)


async def test_a_bare_directory_at_the_target_is_not_taken_for_the_volume(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    Path(bench.target("a")).mkdir()
    target = await _publish(node, bench, "a")
    assert mounts.at(target) is not None


async def test_a_target_of_an_older_life_of_the_volume_is_replaced(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")
    subprocess.run(["umount", bench.staging], check=True)
    await _stage(node, bench)
    Path(bench.staging, "new").write_text("life")
    await _publish(node, bench, "a")
    assert os.listdir(target) == ["new"]


async def test_one_writer_means_one_target(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    first = await _publish(node, bench, "a", mode="SINGLE_NODE_SINGLE_WRITER")
    with pytest.raises(errors.InUse, match="one target"):
        await _publish(node, bench, "b", mode="SINGLE_NODE_SINGLE_WRITER")
    await node.NodeUnpublishVolume(ID, first)
    await _publish(node, bench, "b", mode="SINGLE_NODE_SINGLE_WRITER")


async def test_a_reader_mode_is_read_only(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a", mode="MULTI_NODE_READER_ONLY")
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "x").write_text("x")


async def test_block_volumes_are_refused(bench: Bench) -> None:
    block = csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=capability().access_mode)
    with pytest.raises(errors.InUse, match="Filesystem"):
        await bench.node().NodeStageVolume(ID, bench.staging, block, volume_context=SHARED)


async def test_stats_are_those_of_the_volume(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")
    Path(target, "half").write_bytes(b"x" * 2**19)
    answer = await node.NodeGetVolumeStats(ID, target)
    space, inodes = answer.usage
    assert (space.unit, space.total, space.used, space.available) == (csi.VolumeUsage.BYTES, 2**20, 2**19, 2**19)
    assert (inodes.unit, inodes.used) == (csi.VolumeUsage.INODES, 2)
    assert answer.volume_condition.abnormal is False


async def test_when_a_volume_hangs_the_last_figures_are_given_and_called_abnormal(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")
    before = await node.NodeGetVolumeStats(ID, target)
    bench.runner.hanging.add(target)
    answer = await node.NodeGetVolumeStats(ID, target)
    assert list(answer.usage) == list(before.usage)
    assert answer.volume_condition.abnormal is True
    assert "does not answer" in answer.volume_condition.message


@pytest.mark.parametrize("volume_id", [ID, "team/other/zzzz2345"])
async def test_stats_of_what_is_not_mounted_are_not_found(bench: Bench, volume_id: str) -> None:
    with pytest.raises(errors.NotFound):
        await bench.node().NodeGetVolumeStats(volume_id, bench.target("a"))


async def test_stats_of_a_known_target_under_a_foreign_id_are_not_found(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    target = await _publish(node, bench, "a")
    with pytest.raises(errors.NotFound):
        await node.NodeGetVolumeStats("team/other/zzzz2345", target)


async def test_a_volume_that_does_not_answer_is_not_published(bench: Bench) -> None:
    node = bench.node()
    await _stage(node, bench)
    bench.runner.hanging.add(bench.staging)
    with pytest.raises(errors.NotReady, match="does not answer"):
        await _publish(node, bench, "a")
    assert not os.path.exists(bench.target("a"))


async def test_a_volume_that_is_mounted_read_only_is_published_so(bench: Bench) -> None:
    """By the mount option `ro` of a claim or of a volume."""
    node, target = bench.node(), bench.target("a")
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    subprocess.run(["mount", "-o", "remount,ro", bench.staging], check=True)
    for _ in range(2):
        await node.NodePublishVolume(ID, target, capability(group="2000"), bench.staging, False, SHARED)
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "new").touch()


async def test_a_volume_that_was_given_up_is_mounted_anew_for_the_next_pod(bench: Bench, tmp_path: Path) -> None:
    """The kubelet does not stage it again while a pod wants it."""
    node, target = bench.node(), bench.target("a")
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    given_up = mounts.at(bench.staging)
    assert given_up is not None
    shutdown = bench.nfs / given_up.device / "shutdown"
    shutdown.parent.mkdir(parents=True)
    shutdown.write_text("1\n")

    bench.runner.refuse = "mount.nfs4: Connection timed out"
    for _ in range(2):
        with pytest.raises(errors.NotReady):
            await node.NodePublishVolume(ID, target, capability(), bench.staging, False, SHARED)
    bench.runner.refuse = ""
    await node.NodePublishVolume(ID, target, capability(), bench.staging, False, SHARED)

    staged, shown = mounts.at(bench.staging), mounts.at(target)
    assert len(bench.runner.mounted) == 2
    assert staged is not None and shown is not None and shown.device == staged.device
