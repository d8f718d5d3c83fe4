"""Buckets on the node: the mounter mounts them, and may be replaced while they are in use."""

import base64
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from moorage import errors, objectmount
from moorage_csi import api, mounts
from moorage_csi.metrics import Metrics
from moorage_csi.node import Node, Tools

from .conftest import Bench, capability

ID = "team/models/abcd2345"
CONTEXT = {
    "type": "object", "mount": "s3fs", "endpoint": "http://moorage-s3.moorage.svc:7070", "bucket": "models-abcd2345",
    "prefix": "", "region": "us-east-1",
}  # fmt: skip
KEY = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2"}


@dataclass
class TmpfsMounter:
    """A mounter whose mounts are tmpfs."""

    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list[tuple[str, str, dict[str, str]]])
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    kept: set[str] = field(default_factory=set[str])  # what it mounts again when that dies
    newer: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])  # keys told later
    gone: bool = False
    refusing: errors.MoorageError | None = None  # what it says to an unmount

    async def mount(
        self, volume_id: str, target: str, kind: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        if self.gone:
            raise errors.Retry("the mounter of this node does not answer")
        self.asked.append((volume_id, target, dict(secrets)))
        self.parameters = dict(parameters)
        self.kept.add(target)
        if mounts.at(target) is None:
            Path(target).mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
            subprocess.run(["mount", "-t", "tmpfs", "s3fs", target], check=True)  # noqa: ASYNC221

    async def rekey(self, target: str, secrets: Mapping[str, str]) -> None:
        if self.gone:
            raise errors.Retry("the mounter of this node does not answer")
        if target not in self.kept:
            raise errors.NotFound(f"nothing is mounted at {target}")
        self.newer.append((target, secrets["AWS_ACCESS_KEY_ID"], secrets["AWS_SECRET_ACCESS_KEY"]))

    async def trouble(self, target: str) -> str:
        return ""

    async def unmount(self, target: str) -> None:
        if self.gone:
            raise errors.Retry("the mounter of this node does not answer")
        if self.refusing:
            raise self.refusing
        self.kept.discard(target)
        if mounts.at(target):
            subprocess.run(["umount", target], check=True)  # noqa: ASYNC221


@pytest.fixture
def mounter(monkeypatch: pytest.MonkeyPatch) -> TmpfsMounter:
    monkeypatch.setitem(cast("dict[str, str]", objectmount.FSTYPES), "s3fs", "tmpfs")
    return TmpfsMounter()


@pytest.fixture
def node(bench: Bench, mounter: TmpfsMounter) -> Node:
    reference = {"name": "models-s3", "namespace": "team"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in KEY.items()}
    bench.api.objects[api.volume_path("team", "models")] = {"status": {"id": "abcd2345", "secretRef": reference}}
    bench.api.objects[api.secret_path("team", "models-s3")] = {"data": data}
    return Node(Metrics(), Tools("node-1", bench.kubelet / "plugin", bench.runner, mounter, lambda: bench.api))


async def _publish(node: Node, bench: Bench, pod: str) -> str:
    target = bench.target(pod)
    await node.NodePublishVolume(ID, target, capability(), bench.staging, False, CONTEXT)
    return target


async def test_the_mounter_gets_the_plan_and_the_secret_of_the_stage_call(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    bench.api.objects.clear()
    await node.NodeStageVolume(ID, bench.staging, capability(group="2000"), KEY, CONTEXT)
    assert mounter.asked == [(ID, bench.staging, KEY)]
    assert (mounter.parameters["bucket"], mounter.parameters["group"]) == ("models-abcd2345", "2000")


async def test_without_a_secret_in_the_call_it_is_looked_up(bench: Bench, node: Node, mounter: TmpfsMounter) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=CONTEXT)
    assert mounter.asked == [(ID, bench.staging, KEY)]


async def test_a_claim_for_an_older_volume_of_the_name_gets_no_secret(bench: Bench, node: Node) -> None:
    with pytest.raises(errors.NotFound, match="another one"):
        await node.NodeStageVolume("team/models/older234", bench.staging, capability(), volume_context=CONTEXT)


async def test_a_secret_without_a_key_is_named(bench: Bench, node: Node) -> None:
    with pytest.raises(errors.InvalidInput, match="no AWS_SECRET_ACCESS_KEY"):
        await node.NodeStageVolume(ID, bench.staging, capability(), {"AWS_ACCESS_KEY_ID": "key"}, CONTEXT)


async def test_a_bucket_whose_mounter_was_replaced_is_mounted_again_for_the_next_pod(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, CONTEXT)
    await mounter.unmount(bench.staging)
    target = await _publish(node, bench, "a")
    assert mounts.at(target) is not None
    assert len(mounter.asked) == 2


async def test_without_a_mounter_a_pod_gets_an_error_and_no_directory(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, CONTEXT)
    await mounter.unmount(bench.staging)
    mounter.gone = True
    with pytest.raises(errors.Retry, match="does not answer"):
        await _publish(node, bench, "a")
    assert not Path(bench.target("a")).exists()  # noqa: ASYNC240


async def test_a_bucket_that_died_before_it_is_unstaged_is_not_mounted_again(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, CONTEXT)
    subprocess.run(["umount", bench.staging], check=True)  # noqa: ASYNC221
    assert mounter.kept == {bench.staging}
    await node.NodeUnstageVolume(ID, bench.staging)
    assert mounter.kept == set()


async def test_unstage_needs_no_mounter(bench: Bench, node: Node, mounter: TmpfsMounter) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, CONTEXT)
    mounter.gone = True
    await node.NodeUnstageVolume(ID, bench.staging)
    assert mounts.at(bench.staging) is None


@pytest.mark.parametrize("error", [errors.InUse("3 files are on this node only"), errors.Pending("call again")])
async def test_unstage_does_not_unmount_what_the_mounter_is_not_done_with(
    bench: Bench, node: Node, mounter: TmpfsMounter, error: errors.MoorageError
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, CONTEXT)
    mounter.refusing = error

    with pytest.raises(type(error), match=str(error)):
        await node.NodeUnstageVolume(ID, bench.staging)
    assert mounts.at(bench.staging) is not None

    mounter.refusing = None
    await node.NodeUnstageVolume(ID, bench.staging)
    assert mounts.at(bench.staging) is None


# Newer keys.

FOLLOWED = {**CONTEXT, "secret": "team/models-s3"}


def _rotate(bench: Bench, access: str) -> None:
    data = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": f"half-of-{access}"}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    bench.api.objects[api.secret_path("team", "models-s3")] = {"data": encoded}


async def test_a_mounted_bucket_gets_each_newer_key_once(bench: Bench, node: Node, mounter: TmpfsMounter) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, FOLLOWED)
    await node.keys.look()
    mounter.newer.clear()

    await node.keys.look()
    _rotate(bench, "second")
    await node.keys.look()
    await node.keys.look()

    assert mounter.newer == [(bench.staging, "second", "half-of-second")]


async def test_a_volume_from_before_the_attribute_is_followed_too(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, CONTEXT)
    _rotate(bench, "second")

    await node.keys.look()

    assert [access for _, access, _ in mounter.newer] == ["second"]


async def test_after_a_restart_of_the_plugin_keys_are_followed_again(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, FOLLOWED)
    del bench.api.objects[api.volume_path("team", "models")]  # the attribute is remembered
    again = Node(Metrics(), Tools("node-1", bench.kubelet / "plugin", bench.runner, mounter, lambda: bench.api))
    await again.recover()
    _rotate(bench, "second")

    await again.keys.look()

    assert [access for _, access, _ in mounter.newer] == ["second"]


async def test_a_secret_that_is_gone_or_a_mounter_that_is_away_is_tried_again(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, FOLLOWED)
    del bench.api.objects[api.secret_path("team", "models-s3")]
    await node.keys.look()
    _rotate(bench, "second")
    mounter.gone = True
    await node.keys.look()
    mounter.gone = False
    await node.keys.look()

    assert [access for _, access, _ in mounter.newer] == ["second"]


async def test_what_is_unstaged_is_followed_no_more(bench: Bench, node: Node, mounter: TmpfsMounter) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, FOLLOWED)
    await node.NodeUnstageVolume(ID, bench.staging)
    _rotate(bench, "second")

    await node.keys.look()

    assert mounter.newer == []


async def test_no_half_of_a_key_is_remembered_or_logged(
    bench: Bench, node: Node, mounter: TmpfsMounter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, FOLLOWED)
    _rotate(bench, "second")
    await node.keys.look()

    files = "".join(each.read_text() for each in (bench.kubelet / "plugin" / "state").glob("*.json"))
    assert "team/models-s3" in files
    assert "half-of-second" not in files + caplog.text


# A bucket of another namespace, which its owner may stop sharing.

THEIRS = {**CONTEXT, "secret": "owners/models-s3"}


def _withdraw(bench: Bench) -> None:
    message = "Bucket owners/models is not there, or not shared with namespace team: ask its owner"
    condition = {"type": "Provisioned", "status": "False", "reason": "NotShared", "message": message}
    bench.api.objects[api.volume_path("team", "models")] = {"status": {"id": "abcd2345", "conditions": [condition]}}


async def test_a_withdrawn_share_refuses_new_pods_and_leaves_those_that_run(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, THEIRS)
    runs = bench.target("runs")
    await node.NodePublishVolume(ID, runs, capability(), bench.staging, False, THEIRS)
    _withdraw(bench)

    with pytest.raises(errors.Forbidden, match="may not have its bucket for new pods: Bucket owners/models is not"):
        await node.NodePublishVolume(ID, bench.target("new"), capability(), bench.staging, False, THEIRS)

    # As the kubelet repeats them after its own restart.
    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, THEIRS)
    await node.NodePublishVolume(ID, runs, capability(), bench.staging, False, THEIRS)
    assert mounts.at(runs) is not None and mounts.at(bench.target("new")) is None
    await node.NodeUnpublishVolume(ID, runs)
    await node.NodeUnstageVolume(ID, bench.staging)


async def test_a_withdrawn_share_refuses_the_mount_on_another_node(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    _withdraw(bench)

    for volume_id in (ID, f"{ID}-attached"):
        with pytest.raises(errors.Forbidden, match="ask its owner"):
            await node.NodeStageVolume(volume_id, bench.staging, capability(), KEY, THEIRS)
    assert mounter.asked == []


async def test_a_bucket_of_the_volumes_own_namespace_is_mounted_without_asking_anybody(
    bench: Bench, node: Node, mounter: TmpfsMounter
) -> None:
    _withdraw(bench)

    await node.NodeStageVolume(ID, bench.staging, capability(), KEY, {**CONTEXT, "secret": "team/models-s3"})

    assert len(mounter.asked) == 1
