"""Where volumes live, on a real API server: several servers, node groups, the nodes' own disks."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from bed import GI, Bed, claim, condition, until

from moorage import names
from moorage.actions import Manifest, part
from moorage.imagesize import LOG_BYTES
from moorage_operator.strays import Strays

SHARED = {"type": "shared", "size": "5Gi"}
ONE = GI + LOG_BYTES  # what a volume of 1Gi takes


@pytest.fixture
async def nodes(bed: Bed) -> AsyncIterator[list[str]]:
    """Two Ready nodes, the first with a label of its own."""
    found = [f"{bed.namespace}-{number}" for number in (1, 2)]
    for each in found:
        labels = {names.TOPOLOGY_NODE: each} | ({"pool": bed.namespace} if each.endswith("1") else {})
        await bed.make("Node", each, "v1", metadata={"labels": labels})
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await bed.cluster._call("PATCH", f"/api/v1/nodes/{each}/status", ready, "merge")
    yield found
    for each in found:
        with contextlib.suppress(Exception):
            await bed.delete("Node", each, "v1")


async def backend(bed: Bed, name: str, **spec: object) -> None:
    engine = {"ganesha": {"namespace": bed.namespace, "statefulSet": "moorage-nfs"}}
    await bed.make("StorageBackend", name, spec={"engine": engine, **spec})
    await bed.condition(name, "Ready", "True", "StorageBackend")


async def rooms(bed: Bed, servers: dict[str, int]) -> None:
    """The servers of `shared` tell of this room, and the operator has heard it."""
    bed.servers = servers

    async def told() -> bool:
        found = bed.operator.index.backends.get("", "shared") if bed.operator else None
        told = part(found, "status").get("servers") or ()
        return {each["name"]: each["freeBytes"] for each in told} == servers

    await until(told, lambda: bed._story("StorageBackend", "shared", "told"))


async def placed(bed: Bed, *wanted: str) -> dict[str, str]:
    return {each: (await bed.phase(each, "READY"))["status"]["placement"]["server"] for each in wanted}


async def test_a_burst_is_spread_over_the_servers_and_stops_where_their_room_does(bed: Bed) -> None:
    bed.agent_works = False
    await rooms(bed, {"moorage-nfs-0": 8 * ONE, "moorage-nfs-1": 8 * ONE})
    wanted = [f"data-{number}" for number in range(20)]
    await asyncio.gather(*(bed.make("StorageVolume", each, spec={**SHARED, "size": "1Gi"}) for each in wanted))

    async def settled() -> list[Manifest] | None:
        found = [await bed.get("StorageVolume", each) for each in wanted]
        phases = [part(each, "status").get("phase") for each in found]
        return [each for each in found if each] if set(phases) <= {"PROVISIONING", "FAILED"} else None

    found = await until(settled, lambda: bed._story("StorageVolume", wanted[-1], "settled"))
    servers = Counter(each["status"].get("placement", {}).get("server", "none") for each in found)
    reasons = {condition(each, "Provisioned")["reason"] for each in found if "placement" not in each["status"]}
    assert servers["moorage-nfs-0"] == servers["moorage-nfs-1"]
    assert servers["moorage-nfs-0"] == 8
    assert reasons == {"NoCapacity"}


async def test_no_room_is_failed_and_room_heals_it(bed: Bed) -> None:
    await rooms(bed, {"moorage-nfs-0": 4 * GI})
    await bed.make("StorageVolume", "data", spec={**SHARED, "size": "500Gi"})
    failed = await bed.phase("data", "FAILED")

    bed.servers = {"moorage-nfs-0": 900 * GI}

    await bed.phase("data", "READY")
    assert "StorageBackend shared has no room for 500Gi" in condition(failed, "Ready")["message"]
    assert (await bed.events("data"))[:3] == ["NoCapacity", "Provisioning", "Ready"]


async def test_a_groups_volume_carries_its_labels_and_a_pod_elsewhere_is_told_once(bed: Bed, nodes: list[str]) -> None:
    await backend(bed, "group", nodeSelector={"pool": bed.namespace})
    await bed.make("StorageVolume", "data", spec={**SHARED, "backend": "group"})
    ready = await bed.phase("data", "READY")
    found = await bed.get("PersistentVolume", names.persistent_volume(ready["status"]["id"]), "v1")
    waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    text = "0/2 nodes are available: 2 node(s) had volume node affinity conflict."
    spec = {"containers": [{"name": "c", "image": "busybox"}], "volumes": [claim("data")]}
    await bed.make("Pod", "stray", "v1", spec=spec)
    path = f"/api/v1/namespaces/{bed.namespace}/pods/stray/status"
    await bed.cluster._call("PATCH", path, {"status": {"conditions": [{**waiting, "message": text}]}}, "merge")
    assert bed.operator

    for _ in range(2):
        await Strays(bed.cluster, bed.operator.index, "tester").look()

    assert found
    terms = found["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": [{"key": "pool", "operator": "In", "values": [bed.namespace]}]}]
    assert ready["status"]["topology"] == {"pool": bed.namespace}
    assert condition(ready, "Ready")["message"] == f"pods may mount it on nodes with pool={bed.namespace}"
    events = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)
    told = [(each["regarding"]["kind"], each["note"]) for each in events if each["reason"] == "VolumeElsewhere"]
    note = f"StorageVolume {bed.namespace}/data can be used on nodes with pool={bed.namespace} only: let its pods"
    assert sorted(told) == [("PersistentVolumeClaim", f"{note} run there"), ("Pod", f"{note} run there")]


async def test_an_attachment_of_a_groups_volume_waits_for_nodes_of_the_group(bed: Bed, nodes: list[str]) -> None:
    await backend(bed, "group", nodeSelector={"pool": bed.namespace})
    await bed.make("StorageVolume", "data", spec={**SHARED, "backend": "group"})

    await bed.make("StorageAttachment", "all", spec={"volume": {"name": "data"}, "nodes": {"selector": {}}})
    pending = await bed.phase("all", "PENDING", "StorageAttachment")

    async def few() -> bool:
        return condition(await bed.get("StorageAttachment", "all"), "Attached").get("reason") == "TooFewNodes"

    await until(few, lambda: bed._story("StorageAttachment", "all", "TooFewNodes"))
    await bed.cluster.merge(bed.ref("Node", nodes[1], "v1"), {"metadata": {"labels": {"pool": bed.namespace}}})

    attaching = await bed.phase("all", "ATTACHING", "StorageAttachment")
    assert pending
    assert attaching["status"]["nodes"] == "0/2"


# The nodes' own disks.


async def test_local_volumes_live_on_the_roomiest_node_or_on_the_named_one(bed: Bed, nodes: list[str]) -> None:
    first, second = nodes
    bed.disks = {first: 10 * GI, second: 90 * GI}
    engine = {"local": {"namespace": bed.namespace, "daemonSet": "moorage-local"}}
    await bed.make("StorageBackend", "disks", spec={"default": True, "engine": engine})
    await bed.make("StorageVolume", "far", spec={"type": "local", "size": "5Gi", "node": "no-such-node"})
    await bed.make("StorageVolume", "roomy", spec={"type": "local", "size": "5Gi"})
    await bed.make("StorageVolume", "there", spec={"type": "local", "size": "5Gi", "node": first})
    await bed.make("StorageVolume", "large", spec={"type": "local", "size": "50Gi", "node": first})

    servers = await placed(bed, "roomy", "there")
    there = await bed.phase("there", "READY")
    large = await bed.phase("large", "FAILED")

    async def unserved() -> bool:
        return condition(await bed.get("StorageVolume", "far"), "Provisioned").get("reason") == "NodeNotServed"

    await until(unserved, lambda: bed._story("StorageVolume", "far", "NodeNotServed"))
    volume = await bed.get("PersistentVolume", names.persistent_volume(there["status"]["id"]), "v1")
    assert servers == {"roomy": second, "there": first}
    assert there["status"]["topology"] == {names.TOPOLOGY_NODE: first}
    assert volume and volume["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert condition(there, "SizeEnforced")["status"] == "True"
    assert condition(large, "Provisioned")["reason"] == "NoCapacity"
