# ruff: noqa: ASYNC240 - the loop of a test has nothing else to do
"""Inline volumes of another namespace through a StorageAttachment, and buckets by their own name."""

import base64
import os
from pathlib import Path
from typing import Any, cast

import pytest

from moorage import errors, objectmount
from moorage_csi import api, mounts
from moorage_csi.metrics import Metrics
from moorage_csi.node import Node, Tools

from .conftest import SHARED, Bench, capability
from .test_node_bucket import KEY, TmpfsMounter

POD = {"csi.storage.k8s.io/ephemeral": "true", "csi.storage.k8s.io/pod.namespace": "team"}


def _ready(status: str = "True", message: str = "", reason: str = "Ready") -> list[dict[str, str]]:
    return [{"type": "Ready", "status": status, "reason": reason, "message": message}]


def _attachment(**status: Any) -> dict[str, Any]:
    attributes = SHARED | {"mountFrom": "/sets", "readOnly": "true", "attachment": "team/sets"}
    known = {"attributes": attributes, "volumeHandle": "research/data/abcd2345-cdef4567", "conditions": _ready()}
    return {"metadata": {"name": "sets", "namespace": "team"}, "spec": {}, "status": known | status}


async def _publish(node: Node, bench: Bench, pod: str, **attributes: str) -> str:
    target = bench.target(pod)
    await node.NodePublishVolume(f"csi-{pod}", target, capability("SINGLE_NODE_WRITER"), "", False, POD | attributes)
    return target


@pytest.fixture
def node(bench: Bench) -> Node:
    bench.api.objects[api.attachment_path("team", "sets")] = _attachment()
    volume = {
        "metadata": {"name": "data", "namespace": "research"}, "spec": {"type": "shared"},
        "status": {"id": "abcd2345", "attributes": SHARED, "conditions": _ready()},
    }  # fmt: skip
    bench.api.objects[api.volume_path("research", "data")] = volume
    return bench.node()


async def _owner(node: Node, bench: Bench) -> Path:
    """The whole volume, as a pod of the volume's own namespace sees it, with two folders."""
    whole = await _publish(node, bench, "owner", volume="data", **{"csi.storage.k8s.io/pod.namespace": "research"})
    for folder in ("sets/imagenet", "private"):
        Path(whole, folder).mkdir(parents=True)
    return Path(whole)


async def test_an_attachment_gives_its_folder_of_the_same_mount(bench: Bench, node: Node) -> None:
    await _owner(node, bench)
    target = await _publish(node, bench, "a", volume="sets")
    assert os.listdir(target) == ["imagenet"]
    assert len(bench.runner.mounted) == 1


async def test_read_only_of_the_attachment_wins_over_the_pods_wish(bench: Bench, node: Node) -> None:
    await _owner(node, bench)
    target = await _publish(node, bench, "a", volume="sets", readOnly="false")
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "x").write_text("x")


async def test_mount_from_is_a_folder_of_the_attachments_folder(bench: Bench, node: Node) -> None:
    whole = await _owner(node, bench)
    (whole / "sets" / "imagenet" / "1.jpg").write_text("cat")
    assert os.listdir(await _publish(node, bench, "a", volume="sets", mountFrom="/imagenet")) == ["1.jpg"]
    with pytest.raises(errors.NotFound, match="folder /sets/private does not exist"):
        await _publish(node, bench, "b", volume="sets", mountFrom="/private")


async def test_read_only_may_be_written_by_the_pods_author(bench: Bench, node: Node) -> None:
    target = await _publish(
        node, bench, "a", volume="data", readOnly="true", **{"csi.storage.k8s.io/pod.namespace": "research"}
    )
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "x").write_text("x")


async def test_a_volume_stays_usable_while_it_is_attaching(bench: Bench, node: Node) -> None:
    bench.api.objects[api.attachment_path("team", "sets")]["status"]["phase"] = "ATTACHING"
    bench.api.objects[api.volume_path("research", "data")]["status"]["phase"] = "ATTACHING"
    await _owner(node, bench)
    assert mounts.at(await _publish(node, bench, "a", volume="sets")) is not None


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (
            {"phase": "PENDING", "conditions": _ready("False", "volume research/data is PROVISIONING")},
            errors.NotReady, "StorageAttachment team/sets is PENDING: volume research/data is PROVISIONING",
        ),
        (
            {"phase": "FAILED", "conditions": _ready("False", "PersistentVolumeClaim sets exists and is not its own")},
            errors.NotReady, "StorageAttachment team/sets is FAILED: PersistentVolumeClaim sets exists and is not its",
        ),
        (
            {"phase": "PENDING", "conditions": [
                {"type": "Attached", "status": "False", "reason": "NotShared", "message": "ask for spec.share"}]},
            errors.Forbidden, "StorageAttachment team/sets may not have its volume: ask for spec.share",
        ),
        ({"attributes": None}, errors.NotReady, "StorageAttachment team/sets is PENDING"),
    ],
)  # fmt: skip
async def test_what_cannot_be_mounted_says_why(
    bench: Bench, node: Node, status: dict[str, Any], error: type[errors.MoorageError], sentence: str
) -> None:
    bench.api.objects[api.attachment_path("team", "sets")] = _attachment(**status)
    with pytest.raises(error, match=sentence):
        await _publish(node, bench, "a", volume="sets")
    assert bench.runner.mounted == [] and not os.path.exists(bench.target("a"))


async def test_an_attachment_that_is_being_deleted_takes_nobody_new(bench: Bench, node: Node) -> None:
    found = bench.api.objects[api.attachment_path("team", "sets")]
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(errors.NotReady, match="it is being deleted"):
        await _publish(node, bench, "a", volume="sets")


@pytest.fixture
def mounter(monkeypatch: pytest.MonkeyPatch) -> TmpfsMounter:
    monkeypatch.setitem(cast("dict[str, str]", objectmount.FSTYPES), objectmount.DEFAULT, "tmpfs")
    return TmpfsMounter()


@pytest.fixture
def bucket_node(bench: Bench, mounter: TmpfsMounter) -> Node:
    status = {
        "id": "bckt2345", "endpoint": "http://s3:7070", "bucketName": "models-bckt2345", "region": "eu-1",
        "secretName": "models-s3", "lacks": "partCopy", "conditions": _ready(),
    }  # fmt: skip
    data = {key: base64.b64encode(value.encode()).decode() for key, value in KEY.items()}
    bench.api.objects[api.bucket_path("team", "models")] = {
        "metadata": {"name": "models", "namespace": "team"}, "spec": {}, "status": status,
    }  # fmt: skip
    bench.api.objects[api.secret_path("team", "models-s3")] = {"data": data}
    return Node(Metrics(), Tools("node-1", bench.kubelet / "plugin", bench.runner, mounter, lambda: bench.api))


async def test_a_bucket_is_mounted_with_its_own_key_and_shared_by_pods(
    bench: Bench, bucket_node: Node, mounter: TmpfsMounter
) -> None:
    first, second = [await _publish(bucket_node, bench, pod, bucket="models") for pod in ("a", "b")]
    Path(first, "w.bin").write_text("1")
    assert os.listdir(second) == ["w.bin"]
    assert {(asked[0], asked[2]["AWS_ACCESS_KEY_ID"]) for asked in mounter.asked} == {("team/models/bckt2345", "key")}
    assert mounter.parameters["bucket"] == "models-bckt2345"
    assert mounter.parameters["lacks"] == "partCopy"
    for pod, target in (("a", first), ("b", second)):
        await bucket_node.NodeUnpublishVolume(f"csi-{pod}", target)
    assert os.listdir(bench.kubelet / "plugin" / "inline") == []


async def test_a_bucket_whose_engine_keeps_no_metadata_is_for_reading(bench: Bench, bucket_node: Node) -> None:
    bench.api.objects[api.bucket_path("team", "models")]["status"]["lacks"] = "conditionalWrites,partCopy,metadata"

    with pytest.raises(errors.InvalidInput, match='add readOnly: "true" to volumeAttributes'):
        await _publish(bucket_node, bench, "a", bucket="models")

    target = await _publish(bucket_node, bench, "b", bucket="models", readOnly="true")
    assert mounts.at(target) is not None


async def test_a_bucket_of_another_namespace_is_not_found(bench: Bench, bucket_node: Node) -> None:
    with pytest.raises(errors.NotFound, match="Bucket rivals/models does not exist"):
        await _publish(bucket_node, bench, "a", bucket="models", **{"csi.storage.k8s.io/pod.namespace": "rivals"})


async def test_a_bucket_whose_secret_is_not_there_yet_is_waited_for(bench: Bench, bucket_node: Node) -> None:
    del bench.api.objects[api.secret_path("team", "models-s3")]
    with pytest.raises(errors.NotReady, match="Secret team/models-s3 is not there yet"):
        await _publish(bucket_node, bench, "a", bucket="models")
