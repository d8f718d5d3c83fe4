"""Which shares are ours, held or orphans; who may mount."""

from typing import Any

import pytest

from moorage import names
from moorage.adoption import Adoption
from moorage.model import RootFolder, Squash, VolumeOnDelete
from moorage.share import Wanted
from moorage_operator.agent.catalogue import Catalogue, Standing, node_addresses

UID = "11111111-2222-3333-4444-555555555555"
ID = names.short_id(UID)


def backend(name: str, stateful_set: str = "moorage-nfs", namespace: str = "moorage") -> dict[str, Any]:
    engine = {"ganesha": {"namespace": namespace, "statefulSet": stateful_set}}
    return {"metadata": {"name": name}, "spec": {"engine": engine}}


def volume(**status: Any) -> dict[str, Any]:
    placement = {"backend": "shared", "engine": "ganesha", "server": "moorage-nfs-0"}
    return {
        "metadata": {"name": "data", "namespace": "default", "uid": UID},
        "spec": {"type": "shared", "size": "1Gi"},
        "status": {"id": ID, "placement": placement, **status},
    }


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue("moorage-nfs-0", "moorage", "moorage-nfs", synced=True)
    catalogue.take_backends([backend("shared")])
    return catalogue


def test_a_volume_placed_here_is_ours(catalogue: Catalogue) -> None:
    catalogue.take_volume(UID, volume())

    assert catalogue.standing(ID) is Standing.ours
    assert catalogue.entries[ID].wanted == Wanted(ID, "default", "data", UID, 2**30)


def test_a_volume_that_was_served_brings_its_export_id(catalogue: Catalogue) -> None:
    catalogue.take_volume(UID, volume(share={"state": "Served", "server": "moorage-nfs-0", "exportId": 7}))

    assert catalogue.entries[ID].wanted.export_id == 7


def test_deletion_and_release_are_read(catalogue: Catalogue) -> None:
    item = volume(release="Retain")
    item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    catalogue.take_volume(UID, item)

    assert catalogue.entries[ID].wanted.released is VolumeOnDelete.Retain


@pytest.mark.parametrize(
    "status",
    [
        {"placement": None},
        {"placement": {"backend": "shared", "engine": "ganesha", "server": "moorage-nfs-1"}},
        {"placement": {"backend": "other", "engine": "ganesha", "server": "moorage-nfs-0"}},
        {"id": "another"},
        {"attached": "not a number"},
    ],
)
def test_a_volume_that_is_not_clearly_ours_is_held_and_never_an_orphan(
    catalogue: Catalogue, status: dict[str, Any]
) -> None:
    catalogue.take_volume(UID, volume(**status))

    assert catalogue.standing(ID) is Standing.held


def test_a_volume_that_vanished_leaves_an_orphan(catalogue: Catalogue) -> None:
    catalogue.take_volume(UID, volume())
    catalogue.take_volume(UID, None)

    assert catalogue.standing(ID) is Standing.orphan


def test_nothing_is_an_orphan_before_the_first_list(catalogue: Catalogue) -> None:
    catalogue.synced = False

    assert catalogue.standing("anything") is Standing.held


def test_only_backends_of_this_stateful_set_count(catalogue: Catalogue) -> None:
    s3 = {"endpoint": "http://a", "adminEndpoint": "http://a", "credentialsSecret": {"name": "n", "namespace": "m"}}
    object_store = {"metadata": {"name": "object"}, "spec": {"engine": {"s3": s3}}}

    changed = catalogue.take_backends(
        [backend("a"), backend("b", "other"), backend("c", namespace="other"), object_store]
    )

    assert (changed, set(catalogue.backends)) == (True, {"a"})


def test_a_backend_that_says_something_else_is_a_change(catalogue: Catalogue) -> None:
    sparse = backend("shared")
    sparse["spec"]["engine"]["ganesha"]["overcommit"] = True

    assert [catalogue.take_backends([each]) for each in (backend("shared"), sparse, sparse)] == [False, True, False]
    assert catalogue.overcommits("shared")


def test_what_a_new_share_shall_be_is_read(catalogue: Catalogue) -> None:
    sparse, item = backend("shared"), volume()
    sparse["spec"]["engine"]["ganesha"]["overcommit"] = True
    item["spec"] |= {"squash": "Root", "root": {"mode": "0750", "uid": 1000}}

    catalogue.take_backends([sparse])
    catalogue.take_volume(UID, item)

    root = RootFolder(mode="0750", uid=1000)
    assert catalogue.entries[ID].wanted == Wanted(
        ID, "default", "data", UID, 2**30, squash=Squash.Root, root=root, sparse=True
    )


def node(address: str, **labels: str) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": address}]
    return {"metadata": {"name": address, "labels": labels}, "status": {"addresses": addresses}}


def group(name: str, **selector: str) -> dict[str, Any]:
    found = backend(name)
    return {**found, "spec": {**found["spec"], "nodeSelector": selector}} if selector else found


def dead(node: dict[str, Any]) -> dict[str, Any]:
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    other = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    return {**node, "spec": {"taints": [other, taint]}}


NODES = [node("10.0.0.1", pool="gpu", zone="a"), node("10.0.0.2", pool="gpu", zone="b"), node("10.0.0.3", pool="cpu")]
ADMITTED: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[str, ...] | None]] = {
    "all nodes": ([group("x")], NODES, ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
    "the group's": ([group("x", pool="gpu")], NODES, ("10.0.0.1", "10.0.0.2")),
    "with every label": ([group("x", pool="gpu", zone="b")], NODES, ("10.0.0.2",)),
    "of either backend": ([group("x", zone="a"), group("y", pool="cpu")], NODES, ("10.0.0.1", "10.0.0.3")),
    "one backend is for all": ([group("x", zone="a"), group("y")], NODES, ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
    "the group is empty": ([group("x", pool="tpu")], NODES, ()),
    "no labels at all": ([group("x", pool="gpu")], [{"metadata": {"name": "n"}}], ()),
    "one is out of service": ([group("x")], [NODES[0], dead(NODES[1]), NODES[2]], ("10.0.0.1", "10.0.0.3")),
    "no node is known": ([group("x")], [], None),
    "no backend is known": ([], NODES, None),
}


@pytest.mark.parametrize(("backends", "nodes", "clients"), ADMITTED.values(), ids=ADMITTED.keys())
def test_the_nodes_of_the_backends_may_mount(
    backends: list[dict[str, Any]], nodes: list[dict[str, Any]], clients: tuple[str, ...] | None
) -> None:
    catalogue = Catalogue("moorage-nfs-0", "moorage", "moorage-nfs")
    catalogue.take_backends(backends)

    assert catalogue.clients(nodes) == clients


def test_clients_are_the_internal_addresses_of_all_nodes() -> None:
    def node(*addresses: tuple[str, str]) -> dict[str, Any]:
        listed = [{"type": kind, "address": address} for kind, address in addresses]
        return {"metadata": {"name": "n"}, "status": {"addresses": listed}}

    nodes = [
        node(("InternalIP", "10.0.0.1"), ("Hostname", "n1"), ("ExternalIP", "1.2.3.4"), ("InternalIP", "fd00::1")),
        node(("InternalIP", "not-an-address")),
        {"metadata": {"name": "fresh"}},
    ]

    assert node_addresses(nodes) == ("10.0.0.1", "fd00::1")


def test_what_a_volume_adopts_is_read_with_the_place_where_it_was_looked_for(catalogue: Catalogue) -> None:
    item = volume()
    item["spec"]["adopt"] = "aaaabbbb"

    catalogue.take_volume(UID, item)

    assert catalogue.entries[ID].wanted.adoption == Adoption("aaaabbbb", "shared", "moorage-nfs-0")
