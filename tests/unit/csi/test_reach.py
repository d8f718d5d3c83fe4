"""Inline volumes of a node group or of another node's disk: refused with the label that the node lacks."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from moorage.errors import Forbidden
from moorage_csi import api, mounts, reach
from moorage_csi.api import Object

from .conftest import SHARED, Bench, ObjectsApi, capability

POD = {"csi.storage.k8s.io/ephemeral": "true", "csi.storage.k8s.io/pod.namespace": "team"}
NODE = "topology.moorage.dev/node"


@dataclass
class Asked(ObjectsApi):
    """Remembers what it was asked for."""

    asked: list[str] = field(default_factory=list[str])

    async def get(self, path: str) -> Object:
        self.asked.append(path)
        return await super().get(path)


def _node(**labels: str) -> Asked:
    return Asked({api.node_path("node-1"): {"metadata": {"name": "node-1", "labels": labels}}})


@pytest.mark.parametrize(
    ("topology", "labels", "lacking"),
    [
        ({"pool": "gpu"}, {"pool": "cpu"}, "pool=gpu"),
        ({"pool": "gpu"}, {}, "pool=gpu"),
        ({"pool": "gpu", "zone": "a"}, {"pool": "gpu", "zone": "b"}, "zone=a"),
        ({NODE: "node-2"}, {}, f"{NODE}=node-2"),
    ],
)
async def test_a_node_outside_is_refused_by_the_label_that_it_lacks(
    topology: dict[str, str], labels: dict[str, str], lacking: str
) -> None:
    with pytest.raises(Forbidden) as refusal:
        await reach.check(_node(**labels), "node-1", topology, "the volume data")
    assert str(refusal.value) == (
        f"the volume data is for nodes with the label {lacking}, which node node-1 has not: write it into the "
        "nodeSelector of the pod"
    )


@pytest.mark.parametrize(
    ("topology", "asks"),
    [({}, 0), ({NODE: "node-1"}, 0), ({"pool": "gpu"}, 1), ({"pool": "gpu", NODE: "node-1"}, 1)],
)
async def test_a_node_inside_is_admitted_and_asked_for_only_when_that_matters(
    topology: dict[str, str], asks: int
) -> None:
    server = _node(pool="gpu")
    await reach.check(server, "node-1", topology, "the volume data")
    assert server.asked == [api.node_path("node-1")] * asks


def _volume(**status: Any) -> Object:
    ready = [{"type": "Ready", "status": "True"}]
    found = {"id": "abcd2345", "attributes": SHARED, "conditions": ready, "topology": {"pool": "gpu"}} | status
    return {"metadata": {"name": "data", "namespace": "team", "uid": "u"}, "spec": {}, "status": found}


@pytest.mark.parametrize("named", ["data", "guest"])
async def test_an_inline_volume_and_an_attachment_are_published_inside_of_the_group_only(
    bench: Bench, named: str
) -> None:
    """`guest` is an attachment of the volume."""
    node, target = bench.node(), bench.target("a")
    bench.api.objects |= {
        api.volume_path("team", "data"): _volume(),
        api.attachment_path("team", "guest"): _volume(volumeHandle="team/data/abcd2345-cdef4567", topology=None),
        api.node_path("node-1"): {"metadata": {"name": "node-1", "labels": {"pool": "cpu"}}},
    }
    with pytest.raises(Forbidden, match="is for nodes with the label pool=gpu"):
        await node.NodePublishVolume("csi-a", target, capability(), "", False, POD | {"volume": named})
    assert mounts.at(target) is None and bench.runner.mounted == []

    bench.api.objects[api.node_path("node-1")]["metadata"]["labels"]["pool"] = "gpu"
    await node.NodePublishVolume("csi-a", target, capability(), "", False, POD | {"volume": named})
    assert mounts.at(target) is not None
