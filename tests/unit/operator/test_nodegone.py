"""Local volumes whose node is gone, or only away: what is said, and that deletion goes on."""

from typing import Any

import pytest

from moorage import backendplan, conditions, names, plan, release
from moorage.actions import DropServer
from moorage.backendplan import BackendFacts
from moorage.berth import Asked, Room
from moorage.facts import VolumeFacts
from moorage.model import Phase, StorageBackend, StorageVolume
from moorage.nodegone import Silent, vanished
from moorage.nodegroup import NodeSeen
from moorage.placement import place

UID = "0b0c9b4e-0000-4000-8000-000000000003"
ID = names.short_id(UID)
NOW = "2026-01-01T00:00:00Z"
PLACED = {"backend": "local", "engine": "local", "server": "node-1"}
SERVED = {"state": "Served", "server": "node-1", "path": "/x", "sizeBytes": 5 * 2**30, "exportId": 3}
NODES = {"node-1": NodeSeen("node-1", {"disk": "fast"}), "node-2": NodeSeen("node-2", {"disk": "fast"})}


def backend(**spec: Any) -> StorageBackend:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": NOW}
    servers = [{"name": "node-1", "freeBytes": 2**40, "node": "node-1"}, {"name": "node-2", "freeBytes": 2**39}]
    engine = {"local": {"namespace": "moorage", "daemonSet": "moorage-local"}}
    return StorageBackend.model_validate(
        {
            "metadata": {"name": "local", "uid": "local", "generation": 1, "finalizers": [names.FINALIZER]},
            "spec": {"default": True, "engine": engine, **spec},
            "status": {"conditions": [ready], "servers": servers},
        }
    )


def facts(deleting: bool = False, **more: Any) -> VolumeFacts:
    metadata: dict[str, Any] = {"name": "scratch", "namespace": "ns", "uid": UID, "finalizers": [names.FINALIZER]}
    status = {"id": ID, "placement": PLACED, "share": SERVED, **more.pop("status", {})}
    metadata |= {"deletionTimestamp": NOW} if deleting else {}
    body = {"metadata": metadata, "spec": {"type": "local", "size": "5Gi", "claim": "None"}, "status": status}
    return VolumeFacts(StorageVolume.model_validate(body), NOW, **{"backends": (backend(),), **more})


def test_a_volume_of_a_node_that_was_removed_has_failed_and_says_what_to_do() -> None:
    status = plan.plan(facts(node_gone=True)).status

    assert status.phase == Phase.FAILED
    assert [each.reason for each in status.conditions if each.type == "Provisioned"] == ["NodeGone"]
    assert conditions.message_of(status.conditions, "Ready") == (
        "node node-1, whose disk the volume is on, was removed from the cluster: let the node join again under this "
        "name with its disk, or delete the volume and make it anew elsewhere"
    )


def test_it_heals_when_the_node_is_back_and_stays_where_it_was() -> None:
    gone = plan.plan(facts(node_gone=True)).status

    back = plan.plan(facts(status=gone.dump())).status

    assert back.phase == Phase.READY
    assert back.placement and back.placement.server == "node-1"


def test_deletion_of_it_ends_and_tells_that_data_remains() -> None:
    letting = {"phase": "DESTROYING", "release": "Delete"}

    step = release.release(facts(deleting=True, node_gone=True, status=letting))

    assert step.status.phase == Phase.DESTROYED
    assert step.finish
    assert [each.message for each in step.notices if each.reason == "DataRemains"] == [
        "node node-1 is gone: the data of the volume stays where it is"
    ]


def test_a_node_that_is_only_away_is_waited_for() -> None:
    room = Room(silent={"local": Silent(backend(), {**NODES, "node-1": NodeSeen("node-1", ready=False)})})

    status = plan.plan(facts(room=room)).status
    going = release.release(facts(deleting=True, room=room, status={"phase": "DESTROYING", "release": "Delete"}))

    assert status.phase == Phase.READY
    assert conditions.message_of(status.conditions, "Healthy").endswith("does not answer: the node is not Ready")
    assert not going.finish


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (None, "the node was removed from the cluster"),
        (NodeSeen("node-1", ready=False), "the node is not Ready"),
        (NodeSeen("node-1", {"disk": "fast"}, leaving=True), "the node is being removed from the cluster"),
        (NodeSeen("node-1", {"disk": "slow"}), "the node is not of the backend's nodeSelector"),
    ],
)
def test_nothing_is_placed_on_a_node_that_cannot_serve(node: NodeSeen | None, why: str) -> None:
    nodes = {"node-2": NODES["node-2"]} | ({"node-1": node} if node else {})
    chosen = backend(nodeSelector={"disk": "fast"})

    silent = Silent(chosen, nodes)
    placed = place(Asked(("local",), size=2**30), (chosen,), Room(silent={"local": silent}))

    assert dict(silent) == {"node-1": why}
    assert getattr(placed, "server", placed) == "node-2"


def test_the_entry_of_a_node_that_vanished_is_taken_off_the_backend() -> None:
    found = vanished(backend(), {"node-2": NODES["node-2"]})

    step = backendplan.plan(BackendFacts(backend(), NOW, vanished=found))

    assert found == ("node-1",)
    assert step.actions == (DropServer("node-1"),)
    assert step.status.engine == "local"
