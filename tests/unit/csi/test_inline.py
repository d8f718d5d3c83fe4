# ruff: noqa: ASYNC221, ASYNC240 - the loop of a test has nothing else to do
"""Inline volumes: what a pod may ask for, and one shared mount for all of them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage import errors
from moorage_csi import api, mounts
from moorage_csi.node import Node
from moorage_csi.state import Store

from .conftest import SHARED, Bench, capability

POD = {"csi.storage.k8s.io/ephemeral": "true", "csi.storage.k8s.io/pod.namespace": "team"}


def _volume(ready: str = "True", **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": "Provisioning", "message": "the share is being made"}]
    return {
        "metadata": {"name": "data", "namespace": "team", "uid": "u"},
        "spec": {"type": "shared", "size": "1Gi"},
        "status": {"id": "abcd2345", "phase": "PROVISIONING", "attributes": SHARED, "conditions": conditions} | status,
    }


@pytest.fixture
def node(bench: Bench) -> Node:
    bench.api.objects[api.volume_path("team", "data")] = _volume()
    return bench.node()


def _shared(bench: Bench) -> Path:
    return bench.kubelet / "plugin" / "inline" / "abcd2345" / "mount"


async def _publish(node: Node, bench: Bench, pod: str, readonly: bool = False, **attributes: str) -> str:
    target = bench.target(pod)
    context = POD | {"volume": "data"} | attributes
    await node.NodePublishVolume(f"csi-{pod}", target, capability("SINGLE_NODE_WRITER"), "", readonly, context)
    return target


async def test_two_pods_share_one_mount_and_the_last_takes_it_away(bench: Bench, node: Node) -> None:
    first, second = await _publish(node, bench, "a"), await _publish(node, bench, "b", readonly=True)
    Path(first, "file").write_text("hello")
    assert Path(second, "file").read_text() == "hello"
    assert len(bench.runner.mounted) == 1
    await node.NodeUnpublishVolume("csi-a", first)
    assert mounts.at(str(_shared(bench))) is not None
    await node.NodeUnpublishVolume("csi-b", second)
    assert mounts.at(str(_shared(bench))) is None
    assert not _shared(bench).parent.exists()
    assert list((bench.kubelet / "plugin" / "state").iterdir()) == []


async def test_it_is_known_by_its_volumes_name(bench: Bench, node: Node) -> None:
    await _publish(node, bench, "a")

    (known,) = Store(bench.kubelet / "plugin" / "state").all()
    assert (known.volume_id, known.full_name) == ("csi-a", "team/data")


async def test_only_the_folder_of_mount_from_is_seen(bench: Bench, node: Node) -> None:
    whole = await _publish(node, bench, "a")
    Path(whole, "sets").mkdir()
    Path(whole, "sets", "one").write_text("1")
    part = await _publish(node, bench, "b", mountFrom="/sets")
    assert os.listdir(part) == ["one"]


async def test_a_folder_that_is_missing_leaves_no_target_and_no_mount(bench: Bench, node: Node) -> None:
    with pytest.raises(errors.NotFound, match="folder /nowhere does not exist"):
        await _publish(node, bench, "a", mountFrom="/nowhere")
    assert not os.path.exists(bench.target("a"))
    assert mounts.at(str(_shared(bench))) is None


async def test_a_failed_publish_does_not_take_the_mount_from_another_pod(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench, "a")
    with pytest.raises(errors.NotFound):
        await _publish(node, bench, "b", mountFrom="/nowhere")
    Path(target, "still").write_text("here")


async def test_publish_and_unpublish_can_be_repeated(bench: Bench, node: Node) -> None:
    for _ in range(2):
        target = await _publish(node, bench, "a")
    for _ in range(2):
        await node.NodeUnpublishVolume("csi-a", target)
    assert mounts.at(str(_shared(bench))) is None


async def test_what_a_plugin_of_version_1_published_is_taken_over(bench: Bench, node: Node) -> None:
    await _publish(node, bench, "a")
    (_shared(bench) / "sets").mkdir()
    target = await _publish(node, bench, "b", mountFrom="/sets")
    for file in (bench.kubelet / "plugin" / "state").iterdir():
        old = json.loads(file.read_text())
        old["version"] = 1
        old["targets"] = {
            path: {"readonly": how["readonly"], "access_mode": how["access_mode"]}
            for path, how in old["targets"].items()
        }
        file.write_text(json.dumps(old))
    assert await _publish(bench.node(), bench, "b", mountFrom="/sets") == target


async def test_a_repeated_publish_that_fails_takes_nothing_from_the_pod(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench, "a")
    bench.runner.hanging.add(str(_shared(bench)))
    with pytest.raises(errors.DeadlineExceeded):
        await _publish(node, bench, "a")
    assert mounts.at(str(_shared(bench))) is not None
    await node.NodeUnpublishVolume("csi-a", target)
    assert mounts.at(str(_shared(bench))) is None


async def test_a_shared_mount_that_a_crash_left_is_taken_away_at_start(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench, "a")
    subprocess.run(["umount", target], check=True)
    for file in (bench.kubelet / "plugin" / "state").iterdir():
        file.unlink()
    await bench.node().recover()
    assert mounts.at(str(_shared(bench))) is None


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"server": "10.0.0.1"}, "server"),
        ({"options": "soft"}, "options"),
        ({"namespace": "other"}, "namespace"),
        ({"mountFrom": "../etc"}, "mountFrom '../etc' must be an absolute path"),
        ({"mountFrom": "/a/../../etc"}, "without"),
        ({"volume": ""}, "exactly one of"),
        ({"bucket": "models"}, "exactly one of"),
        ({"readOnly": "yes"}, 'neither "true" nor "false"'),
        ({"volume": "../../secrets/x"}, "not the name"),
        ({"csi.storage.k8s.io/pod.namespace": ""}, "podInfoOnMount"),
    ],
)
async def test_attributes_that_are_not_allowed_are_refused(
    bench: Bench, node: Node, attributes: dict[str, str], complaint: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        await _publish(node, bench, "a", **attributes)
    assert bench.runner.mounted == []


async def test_a_volume_of_another_namespace_is_not_found(bench: Bench, node: Node) -> None:
    with pytest.raises(errors.NotFound, match="StorageVolume rivals/data does not exist"):
        await _publish(node, bench, "a", **{"csi.storage.k8s.io/pod.namespace": "rivals"})


async def test_a_volume_that_is_not_ready_says_what_it_waits_for(bench: Bench, node: Node) -> None:
    bench.api.objects[api.volume_path("team", "data")] = _volume("False")
    with pytest.raises(errors.NotReady, match="team/data is PROVISIONING: the share is being made"):
        await _publish(node, bench, "a")
