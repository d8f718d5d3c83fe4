"""Attachments of volumes that some nodes only can use: of a node group, or on one node's disk."""

from typing import Any

from moorage import attachmentplan, conditions, names
from moorage.actions import Action, Apply, Create, Manifest
from moorage.attachmentfacts import AttachmentFacts, HolderImage
from moorage.model import Phase, StorageAttachment, StorageVolume
from moorage.nodegroup import HolderPod, NodeSeen
from moorage_operator.attachmentwatch import AttachmentRouter
from moorage_operator.index import Index
from moorage_operator.store import Key

NOW = "2026-01-01T00:00:00Z"
UID = "0b0c9b4e-0000-4000-8000-00000000000a"
GROUP = {"pool": "gpu"}
DISK = {names.TOPOLOGY_NODE: "node-1"}
ALL: Manifest = {"selector": {}}


def volume(topology: dict[str, str], type: str = "shared") -> Manifest:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": NOW}
    share = {"state": "Served", "server": "s", "sizeBytes": 5 * 2**30}
    status = {"id": "aaaabbbb", "conditions": [ready], "share": share, "attributes": {"type": type}}
    metadata = {"name": "data", "namespace": "ns", "uid": "v", "resourceVersion": "1"}
    spec = {"type": type, "size": "5Gi"}
    return {"kind": "StorageVolume", "metadata": metadata, "spec": spec, "status": {**status, "topology": topology}}


def attachment(**spec: Any) -> Manifest:
    metadata = {"name": "photos", "namespace": "ns", "uid": UID, "finalizers": [names.FINALIZER]}
    spec = {"volume": {"name": "data"}, **spec}
    return {"kind": "StorageAttachment", "metadata": {**metadata, "resourceVersion": "1"}, "spec": spec, "status": {}}


def facts(of: Manifest, nodes: tuple[NodeSeen, ...] = (), **more: Any) -> AttachmentFacts:
    spec = more.pop("spec", {})
    return AttachmentFacts(
        StorageAttachment.model_validate(attachment(**spec)),
        NOW,
        HolderImage("moorage:1"),
        volume=StorageVolume.model_validate(of),
        nodes=nodes,
        **more,
    )


def made(actions: tuple[Action, ...]) -> dict[str, Manifest]:
    return {each.reference.kind: each.manifest for each in actions if isinstance(each, Apply | Create)}


def told(status: Any) -> tuple[str, str]:
    found = conditions.find(status.conditions, "Attached")
    assert found
    return found.reason, found.message


def test_a_group_with_too_few_usable_nodes_names_the_labels() -> None:
    step = attachmentplan.plan(facts(volume(GROUP), (NodeSeen("a", GROUP),), spec={"nodes": ALL}, outside=3))

    assert step.status.phase == Phase.PENDING
    assert told(step.status) == (
        "TooFewNodes",
        "1 node with pool=gpu, where alone the volume can be used, match spec.nodes, a shared volume needs at least 2:"
        " label more nodes; it attaches when they are there",
    )


def test_a_disk_of_no_node_of_the_group_waits() -> None:
    step = attachmentplan.plan(facts(volume(DISK, "local"), spec={"nodes": ALL}, outside=3))

    assert (step.status.phase, told(step.status)[0]) == (Phase.PENDING, "TooFewNodes")
    assert "topology.moorage.dev/node=node-1" in told(step.status)[1]


def test_holders_and_claim_are_for_the_nodes_that_can_use_it() -> None:
    nodes = (NodeSeen("a", GROUP), NodeSeen("b", GROUP))
    holders = tuple(HolderPod(f"h-{each}", each, ready=True) for each in "ab")
    selector = {"selector": {"matchLabels": {"zone": "a"}}}

    step = attachmentplan.plan(facts(volume(GROUP), nodes, holders=holders, spec={"nodes": selector}, outside=2))

    pod = made(step.actions)["DaemonSet"]["spec"]["template"]["spec"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    wanted = {"key": "pool", "operator": "In", "values": ["gpu"]}
    assert terms == [{"matchExpressions": [wanted, {"key": "zone", "operator": "In", "values": ["a"]}]}]
    assert made(step.actions)["PersistentVolume"]["spec"]["nodeAffinity"]["required"] == {
        "nodeSelectorTerms": [{"matchExpressions": [wanted]}]
    }
    assert (step.status.phase, step.status.nodes) == (Phase.READY, "2/2")
    assert told(step.status)[1].endswith(
        "on 2 nodes; not on 2 nodes that match too: it can be used on nodes with pool=gpu only"
    )


def test_what_is_read_only_of_a_disk_still_is_of_one_node() -> None:
    step = attachmentplan.plan(facts(volume(DISK, "local"), spec={"readOnly": True}))

    spec = made(step.actions)["PersistentVolume"]["spec"]
    assert (spec["accessModes"], spec["csi"]["readOnly"]) == (["ReadWriteOnce"], True)


def test_a_node_that_enters_the_volumes_group_wakes_the_attachment() -> None:
    index, woken = Index(), list[Key]()
    index.keep_volume(volume(GROUP), False)
    router = AttachmentRouter(index, woken.append, lambda key, _: woken.append(key))
    router.see(attachment(nodes=ALL), False)
    router.see(node("a"), False)
    woken.clear()

    router.see(node("a", zone="b"), False)
    unmoved = list(woken)
    router.see(node("a", zone="b", pool="gpu"), False)

    assert unmoved == []
    assert woken == [Key("StorageAttachment", "ns", "photos")]


def node(name: str, **labels: str) -> Manifest:
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}}
