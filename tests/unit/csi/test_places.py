"""Where volumes go and how much room there is: node groups, nodes' own disks, GetCapacity."""

from typing import Any

import pytest

from moorage import errors
from moorage_csi import api
from moorage_csi.api import Object
from moorage_csi.controller import Controller
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB, MAX_BYTES, SMALLEST

from .cluster import CLASS, Cluster, backend, condition, serves
from .conftest import capability

NODE = "topology.moorage.dev/node"
LONG = "n" * 70  # a node name that is no label value
LOCAL = CLASS | {"type": "local"}
ONE = (capability("SINGLE_NODE_WRITER"),)


def places(found: Object) -> None:
    """An operator that places volumes by their backend and their node."""
    serves(found)
    if found["spec"]["type"] == "local":
        node = found["spec"].get("node", "a")
        found["status"] |= {"topology": {NODE: node}, "attributes": {"type": "local", "mount": "local", "share": "x"}}
    elif found["spec"].get("backend") == "gpu":
        found["status"]["topology"] = {"pool": "gpu"}


@pytest.fixture
def cluster() -> Cluster:
    found = Cluster(places)
    for name, pool in (("a", "cpu"), ("b", "gpu"), ("c", "gpu")):
        found.node(name, pool=pool)
    found.backends(
        backend("shared", "ganesha", s_0=5 * GIB, s_1=7 * GIB),
        backend("gpu", "ganesha", default=False, group={"pool": "gpu"}, g_0=3 * GIB),
        backend("filer", "nfs", default=False, worker=2 * GIB),
        backend("local", "local", group={"pool": "gpu"}, a=GIB, b=4 * GIB, c=6 * GIB),
        backend("object", "s3"),
    )
    return found


@pytest.fixture
def controller(cluster: Cluster) -> Controller:
    return Controller(Metrics(), cluster, "moorage", patience=0.2)


def at(*nodes: str) -> csi.TopologyRequirement:
    found = [csi.Topology(segments={NODE: node}) for node in nodes]
    return csi.TopologyRequirement(requisite=sorted(found, key=str), preferred=found)


async def _create(
    controller: Controller, parameters: dict[str, str], where: csi.TopologyRequirement | None
) -> csi.Volume:
    answer = await controller.CreateVolume("pvc-1", ONE, None, parameters, accessibility_requirements=where)
    return answer.volume


def _topology(volume: csi.Volume) -> list[dict[str, str]]:
    return [dict(each.segments) for each in volume.accessible_topology]


async def test_a_local_volume_goes_to_the_best_place(controller: Controller, cluster: Cluster) -> None:
    made = await _create(controller, LOCAL, at("c", "b"))
    assert cluster.objects[api.volume_path("team", "pvc-1")]["spec"]["node"] == "c"
    assert _topology(made) == [{NODE: "c"}]


async def test_without_a_place_the_operator_chooses_the_node(controller: Controller, cluster: Cluster) -> None:
    made = await _create(controller, LOCAL, None)
    assert "node" not in cluster.objects[api.volume_path("team", "pvc-1")]["spec"]
    assert _topology(made) == [{NODE: "a"}]


async def test_a_place_is_the_node_with_its_label_whatever_its_name(controller: Controller, cluster: Cluster) -> None:
    cluster.objects[api.node_path(LONG)] = {"metadata": {"name": LONG, "labels": {NODE: "hash"}}}
    cluster.backends(backend("local", "local", **{LONG: GIB}))
    cluster.operator = serves
    await _create(controller, LOCAL, at("hash"))
    assert cluster.objects[api.volume_path("team", "pvc-1")]["spec"]["node"] == LONG


@pytest.mark.parametrize(
    ("node", "why"),
    [("gone", "no node has the label topology.moorage.dev/node=gone"), ("d", "has no disk on node d")],
)
async def test_a_node_without_a_disk_is_told_so_that_the_scheduler_takes_another(
    controller: Controller, cluster: Cluster, node: str, why: str
) -> None:
    cluster.node("d")
    with pytest.raises(errors.NoCapacity, match=why):
        await _create(controller, LOCAL, at(node))
    assert api.volume_path("team", "pvc-1") not in cluster.objects


@pytest.mark.parametrize("mode", ["MULTI_NODE_MULTI_WRITER", "MULTI_NODE_READER_ONLY", "MULTI_NODE_SINGLE_WRITER"])
async def test_a_local_volume_is_never_on_many_nodes(controller: Controller, mode: str) -> None:
    with pytest.raises(errors.InvalidInput, match="ReadWriteOnce"):
        await controller.CreateVolume("pvc-1", (capability(mode),), None, LOCAL)
    made = await _create(controller, LOCAL, None)
    answer = await controller.ValidateVolumeCapabilities(made.volume_id, (capability(mode),))
    assert not answer.HasField("confirmed") and "ReadWriteOnce" in answer.message


@pytest.mark.parametrize(
    "mode", ["SINGLE_NODE_WRITER", "SINGLE_NODE_READER_ONLY", "SINGLE_NODE_SINGLE_WRITER", "SINGLE_NODE_MULTI_WRITER"]
)
async def test_a_local_volume_takes_every_mode_of_one_node(controller: Controller, mode: str) -> None:
    made = (await controller.CreateVolume("pvc-1", (capability(mode),), None, LOCAL)).volume
    answer = await controller.ValidateVolumeCapabilities(made.volume_id, (capability(mode),))
    assert answer.HasField("confirmed")


async def test_a_shared_volume_for_all_nodes_has_no_topology(controller: Controller) -> None:
    assert _topology(await _create(controller, CLASS, at("a"))) == []


@pytest.mark.parametrize("where", [None, at("b"), at("a", "c")])
async def test_a_volume_of_a_node_group_says_its_labels(
    controller: Controller, where: csi.TopologyRequirement | None
) -> None:
    assert _topology(await _create(controller, CLASS | {"backend": "gpu"}, where)) == [{"pool": "gpu"}]


async def test_outside_of_the_group_the_volume_cannot_be_had(controller: Controller, cluster: Cluster) -> None:
    with pytest.raises(errors.NoCapacity, match="only nodes with pool=gpu can use the volume"):
        await _create(controller, CLASS | {"backend": "gpu"}, at("a"))
    assert api.volume_path("team", "pvc-1") not in cluster.objects


async def test_a_volume_that_was_handed_out_is_never_taken_back(controller: Controller, cluster: Cluster) -> None:
    await _create(controller, CLASS | {"backend": "gpu"}, at("b"))
    with pytest.raises(errors.AlreadyExists, match="for nodes with pool=gpu"):
        await _create(controller, CLASS | {"backend": "gpu"}, at("a"))
    assert api.volume_path("team", "pvc-1") in cluster.objects


async def _room(controller: Controller, parameters: dict[str, str], node: str = "") -> tuple[int, int]:
    place = csi.Topology(segments={NODE: node}) if node else None
    found = await controller.GetCapacity((), parameters, place)
    assert found.minimum_volume_size.value == SMALLEST
    return found.available_capacity, found.maximum_volume_size.value


@pytest.mark.parametrize(
    ("parameters", "node", "room"),
    [
        ({}, "", (12 * GIB, 7 * GIB)),
        ({"type": "shared"}, "a", (12 * GIB, 7 * GIB)),
        ({"type": "shared", "backend": "gpu"}, "", (3 * GIB, 3 * GIB)),
        ({"type": "shared", "backend": "gpu"}, "b", (3 * GIB, 3 * GIB)),
        ({"type": "shared", "backend": "gpu"}, "a", (0, 0)),
        ({"type": "shared", "backend": "none"}, "", (0, 0)),
        ({"type": "shared", "backend": "local"}, "", (0, 0)),
        ({"type": "shared", "backend": "filer"}, "a", (2 * GIB, MAX_BYTES)),
        ({"type": "local"}, "", (11 * GIB, 6 * GIB)),
        ({"type": "local"}, "b", (4 * GIB, 4 * GIB)),
        ({"type": "local"}, "a", (0, 0)),
        ({"type": "local"}, "elsewhere", (0, 0)),
        ({"type": "object"}, "a", (MAX_BYTES, MAX_BYTES)),
    ],
)
async def test_room_is_that_of_the_servers_that_the_place_reaches(
    controller: Controller, parameters: dict[str, str], node: str, room: tuple[int, int]
) -> None:
    assert await _room(controller, parameters, node) == room


async def test_an_overcommitted_backend_takes_any_size(controller: Controller, cluster: Cluster) -> None:
    thin = backend("shared", "ganesha", s_0=GIB)
    thin["spec"]["engine"]["ganesha"]["overcommit"] = True
    cluster.backends(thin)
    assert await _room(controller, {}) == (GIB, MAX_BYTES)


async def test_of_several_default_backends_the_oldest_counts(controller: Controller, cluster: Cluster) -> None:
    found: list[dict[str, Any]] = [backend("new", "ganesha", s=GIB), backend("old", "nfs", s=2 * GIB)]
    found[0]["metadata"]["creationTimestamp"], found[1]["metadata"]["creationTimestamp"] = "2026-02-01", "2026-01-01"
    cluster.backends(*found)
    assert (await _room(controller, {}))[0] == 2 * GIB


async def test_options_of_the_class_are_those_of_the_volume(controller: Controller, cluster: Cluster) -> None:
    given = {"squash": "Root", "onDelete": "Retain", "rootMode": "2770", "rootGid": "1000"}
    await _create(controller, CLASS | given, None)
    spec = cluster.objects[api.volume_path("team", "pvc-1")]["spec"]
    assert (spec["squash"], spec["onDelete"], spec["root"]) == ("Root", "Retain", {"mode": "2770", "gid": 1000})
    spec["root"]["uid"] = 0  # as the API server completes it
    await _create(controller, CLASS | given, None)
    with pytest.raises(errors.AlreadyExists, match="exists with another squash"):
        await _create(controller, CLASS | given | {"squash": "All"}, None)


async def test_no_room_anywhere_is_told_and_the_attempt_taken_back(controller: Controller, cluster: Cluster) -> None:
    def full(found: Object) -> None:
        no = condition("Provisioned", "False", "NoCapacity", "no server of shared has 1Gi left")
        found["status"] = {"phase": "FAILED", "conditions": [no, condition("Ready", "False", "Failed", no["message"])]}

    cluster.operator = full
    with pytest.raises(errors.NoCapacity, match="no server of shared has 1Gi left"):
        await _create(controller, CLASS, None)
    assert api.volume_path("team", "pvc-1") not in cluster.objects
