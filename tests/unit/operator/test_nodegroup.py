"""Node groups, the pods that hold mounts on them, and rivals for a path."""

from typing import Any

import pytest

from moorage import nodegroup
from moorage.model import LabelSelector
from moorage.nodegroup import HolderPod, NodeSeen, Rival

GPU = LabelSelector.model_validate({"matchLabels": {"pool": "gpu"}})


def node(name: str, pool: str = "gpu", **more: Any) -> NodeSeen:
    return NodeSeen(name, {"pool": pool}, **more)


def rival(name: str = "ns/other", created: str = "2026-01-01", mounted: bool = False, nodes: Any = ("a",)) -> Rival:
    return Rival(name, created, mounted, frozenset(nodes))


def test_a_node_is_kept_as_its_labels_and_whether_it_is_ready() -> None:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]
    body = {"metadata": {"name": "a", "labels": {"pool": "gpu"}}, "status": {"conditions": conditions, "images": [{}]}}

    assert nodegroup.node_seen(body) == node("a")
    assert not nodegroup.node_seen({"metadata": {"name": "a"}}).ready
    assert nodegroup.node_seen({"metadata": {"name": "a", "deletionTimestamp": "t"}}).leaving


def test_the_group_is_what_matches_and_stays() -> None:
    nodes = (node("b"), node("a"), node("c", "cpu"), node("d", leaving=True), node("e", ready=False))

    assert [each.name for each in nodegroup.members(GPU, nodes)] == ["a", "b", "e"]


def test_only_ready_pods_that_stay_hold_a_mount() -> None:
    nodes = (node("a"), node("b"), node("c"))
    pods = (
        HolderPod("1", "a", True),
        HolderPod("2", "b", True, leaving=True),
        HolderPod("3", "c"),
        HolderPod("4", "z", True),
    )

    assert nodegroup.holding(nodes, pods) == {"a"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "its pod is Pending: the volume is being mounted, or the image pulled"),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]},
            "its pod is Pending: the volume is being mounted, or the image pulled",
        ),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]},
            "ErrImagePull: not found",
        ),
        ({"containerStatuses": [{"state": {"running": {}}}]}, "the mount does not answer"),
        ({"containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled"}}}]}, "OOMKilled"),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status: dict[str, Any], expected: str) -> None:
    assert nodegroup.trouble(status) == expected


def test_a_long_reason_is_cut() -> None:
    waiting = {"reason": "ErrImagePull", "message": "x" * 5000}

    assert len(nodegroup.trouble({"containerStatuses": [{"state": {"waiting": waiting}}]})) == nodegroup.TROUBLE_MAX


@pytest.mark.parametrize(
    ("seen", "pods", "rivals", "expected"),
    [
        (node("a", ready=False), (), (), "the node is not Ready"),
        (node("a"), (), (), "there is no holder pod yet"),
        (node("a"), (HolderPod("1", "a", trouble="no room"),), (), "no room (pod 1)"),
        (node("a"), (HolderPod("1", "a", leaving=True),), (), "its earlier holder pod 1 is still leaving"),
        (node("a"), (), (rival(mounted=True),), "StorageAttachment ns/other has the same path there"),
        (node("a"), (), (rival(mounted=False),), "there is no holder pod yet"),
    ],
)
def test_a_node_that_lags_is_explained(seen: NodeSeen, pods: Any, rivals: Any, expected: str) -> None:
    assert nodegroup.why_lagging(seen, pods, rivals) == expected


@pytest.mark.parametrize(
    ("rivals", "expected"),
    [
        ((), None),
        ((rival(created="2025"),), "ns/other"),
        ((rival(created="2027"),), None),
        ((rival(created="2027", mounted=True),), "ns/other"),  # who has mounts keeps them
        ((rival(created="2025", nodes=("z",)),), None),
        ((rival("ns/aaa", created="2026"),), "ns/aaa"),  # of the same second: by name
        ((rival("ns/zzz", created="2026"),), None),
    ],
)
def test_the_older_one_or_the_one_with_mounts_keeps_a_path(rivals: Any, expected: str | None) -> None:
    taken = nodegroup.taken_by(("2026", "ns/mine"), (node("a"), node("b")), rivals)

    assert (taken[0].name if taken else None) == expected
    assert taken is None or taken[1] == {"a"}
