"""What the node tells about itself and about the health of its volumes."""

from pathlib import Path

import pytest

from moorage import errors
from moorage_csi import topology
from moorage_csi.identity import Identity
from moorage_csi.metrics import Metrics
from moorage_csi.node import Node, Tools
from moorage_csi.proto import csi_pb2 as csi

from .conftest import SHARED, Bench, NoMounter, capability

ID = "team/data/abcd2345"
RPC = csi.NodeServiceCapability.RPC


async def test_a_node_is_a_place_of_its_own_with_a_limit(bench: Bench) -> None:
    info = await bench.node().NodeGetInfo()
    assert (info.node_id, info.max_volumes_per_node) == ("node-1", 100)
    assert dict(info.accessible_topology.segments) == {"topology.moorage.dev/node": "node-1"}


async def test_topology_is_told_to_be_there() -> None:
    found = (await Identity(Metrics(), "1").GetPluginCapabilities()).capabilities
    assert csi.PluginCapability.Service.VOLUME_ACCESSIBILITY_CONSTRAINTS in {each.service.type for each in found}


def test_the_longest_node_name_makes_a_label_value() -> None:
    name = ".".join(["n" * 60] * 4)
    (value,) = topology.of(name).segments.values()
    assert len(value) <= 63 and topology.of(name) != topology.of(name + "x")


async def _capabilities(node: Node) -> set[int]:
    return {each.rpc.type for each in (await node.NodeGetCapabilities()).capabilities}


async def test_volume_health_is_advertised_only_when_told_to(bench: Bench) -> None:
    tools = Tools("n", bench.kubelet, bench.runner, NoMounter(), lambda: bench.api, volume_health=True)
    assert await _capabilities(Node(Metrics(), tools)) - await _capabilities(bench.node()) == {RPC.GET_VOLUME_HEALTH}


async def _health(node: Node, path: str = "") -> list[tuple[int, str]]:
    found = (await node.NodeGetVolumeHealth(ID, path)).volume_health
    return [(entry.status, entry.reason) for entry in found.health_statuses]


async def test_a_volume_that_answers_has_no_adverse_health(bench: Bench) -> None:
    node = bench.node()
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    assert await _health(node) == []


async def test_a_volume_that_hangs_is_inaccessible(bench: Bench) -> None:
    node = bench.node()
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    bench.runner.hanging.add(bench.staging)
    assert await _health(node) == [(csi.INACCESSIBLE, "NotAnswering")]


async def test_a_mount_that_has_gone_is_inaccessible(bench: Bench) -> None:
    node = bench.node()
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    assert await _health(node, str(Path(bench.target("a")))) == [(csi.INACCESSIBLE, "NotMounted")]


async def test_a_volume_that_could_not_be_staged_says_why_until_it_can(bench: Bench) -> None:
    node = bench.node()
    bench.runner.refuse = "mount.nfs4: Connection refused"
    with pytest.raises(errors.NotReady):
        await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    assert await _health(node) == [(csi.INACCESSIBLE, "MountFailed")]
    bench.runner.refuse = ""
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    assert await _health(node) == []


# CSI spec, NodePublishVolume, the table for drivers with SINGLE_NODE_MULTI_WRITER.
MANY = ["SINGLE_NODE_MULTI_WRITER", "MULTI_NODE_READER_ONLY", "MULTI_NODE_SINGLE_WRITER", "MULTI_NODE_MULTI_WRITER"]
ONE = ["SINGLE_NODE_SINGLE_WRITER", "SINGLE_NODE_WRITER", "SINGLE_NODE_READER_ONLY"]


@pytest.fixture
async def staged(bench: Bench) -> Node:
    node = bench.node()
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    return node


async def _publish(node: Node, bench: Bench, pod: str, mode: str, readonly: bool = False) -> None:
    await node.NodePublishVolume(ID, bench.target(pod), capability(mode), bench.staging, readonly, SHARED)


@pytest.mark.parametrize("mode", MANY + ONE)
async def test_the_same_target_in_the_same_way_is_fine_and_in_another_way_is_not(
    bench: Bench, staged: Node, mode: str
) -> None:
    for _ in range(2):
        await _publish(staged, bench, "a", mode, readonly=True)
    with pytest.raises(errors.AlreadyExists):
        await _publish(staged, bench, "a", mode, readonly=False)


@pytest.mark.parametrize("mode", MANY)
async def test_modes_for_many_pods_take_a_second_target(bench: Bench, staged: Node, mode: str) -> None:
    await _publish(staged, bench, "a", mode)
    await _publish(staged, bench, "b", mode)
    await _publish(staged, bench, "c", mode, readonly=True)


@pytest.mark.parametrize("mode", ONE)
@pytest.mark.parametrize("readonly", [False, True])
async def test_modes_for_one_pod_refuse_a_second_target(bench: Bench, staged: Node, mode: str, readonly: bool) -> None:
    await _publish(staged, bench, "a", mode)
    with pytest.raises(errors.InUse, match=f"{mode} allows one target on a node"):
        await _publish(staged, bench, "b", mode, readonly)
