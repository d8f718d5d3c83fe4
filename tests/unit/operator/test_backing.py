"""What a served share becomes: mount plan, topology and conditions, by engine."""

from typing import Any

from moorage import names, plan
from moorage.actions import Action, Apply, Create
from moorage.berth import Room
from moorage.facts import VolumeFacts
from moorage.model import Phase, Placement, StorageBackend, StorageVolume

UID = "0b0c9b4e-0000-4000-8000-000000000002"
ID = names.short_id(UID)
NOW = "2026-01-01T00:00:00Z"
GI = 2**30
ENGINES: dict[str, dict[str, Any]] = {
    "ganesha": {"namespace": "moorage", "statefulSet": "nfs"},
    "nfs": {"server": "filer", "path": "/export", "size": "advisory"},
    "local": {"namespace": "moorage", "daemonSet": "moorage-local"},
}
SERVERS = {"ganesha": "nfs-0", "nfs": "moorage-filer-nfs", "local": "node-1"}


def backend(engine: str, **spec: Any) -> StorageBackend:
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": NOW}
    servers = [{"name": SERVERS[engine], "freeBytes": 2**40}]
    body = {"metadata": {"name": engine}, "spec": {"engine": {engine: ENGINES[engine]}, **spec}}
    return StorageBackend.model_validate({**body, "status": {"conditions": [condition], "servers": servers}})


def facts(engine: str, status: dict[str, Any] | None = None, room: Room | None = None, **more: Any) -> VolumeFacts:
    on, spec = more.pop("on", {}), {"size": "5Gi", "backend": engine, **more}
    spec["type"] = "local" if engine == "local" else "shared"
    metadata = {"name": "data", "namespace": "ns", "uid": UID, "finalizers": [names.FINALIZER]}
    server = SERVERS[engine]
    share = {"state": "Served", "server": server, "address": "10.0.0.9", "path": "/vol/x", "sizeBytes": 5 * GI}
    placed = {"placement": {"backend": engine, "engine": engine, "server": server}, "share": share}
    volume = StorageVolume.model_validate({"metadata": metadata, "spec": spec, "status": {**placed, **(status or {})}})
    return VolumeFacts(volume, NOW, backends=(backend(engine, **on),), room=room or Room())


def made(actions: tuple[Action, ...]) -> dict[str, dict[str, Any]]:
    return {each.reference.kind: each.manifest for each in actions if isinstance(each, Apply | Create)}


def verdict(found: Any, type: str) -> tuple[str, str]:
    return next((each.status.value, each.reason) for each in found.conditions if each.type == type)


def test_a_local_volume_is_a_share_of_its_node_and_for_it_alone() -> None:
    step = plan.plan(facts("local"))

    volume, claim = made(step.actions)["PersistentVolume"]["spec"], made(step.actions)["PersistentVolumeClaim"]["spec"]
    assert step.status.phase == Phase.READY
    assert step.status.attributes == {"type": "local", "mount": "local", "share": ID}
    assert step.status.topology == {names.TOPOLOGY_NODE: "node-1"}
    assert step.status.capacity == "5Gi"
    assert (volume["accessModes"], claim["accessModes"]) == (["ReadWriteOnce"], ["ReadWriteOnce"])
    wanted = {"key": names.TOPOLOGY_NODE, "operator": "In", "values": ["node-1"]}
    assert volume["nodeAffinity"] == {"required": {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}}
    assert verdict(step.status, "SizeEnforced") == ("True", "Enforced")


def test_a_filers_volume_is_mounted_like_any_shared_one_and_says_that_its_size_is_advice() -> None:
    step = plan.plan(facts("nfs", on={"mountOptions": ["vers=4.2", "nconnect=4"]}, mountOptions=["soft", "nconnect=8"]))

    assert step.status.attributes == {
        **{"type": "shared", "mount": "nfs", "server": "10.0.0.9", "path": "/vol/x"},
        "options": "noresvport,timeo=600,retrans=2,vers=4.2,soft,nconnect=8",
    }
    assert verdict(step.status, "SizeEnforced") == ("False", "Advisory")
    assert verdict(step.status, "Ready") == ("True", "Ready")
    assert "nodeAffinity" not in made(step.actions)["PersistentVolume"]["spec"]


def test_a_groups_volume_carries_the_groups_labels() -> None:
    step = plan.plan(facts("ganesha", on={"nodeSelector": {"pool": "gpu", "zone": "a"}}))

    terms = made(step.actions)["PersistentVolume"]["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert step.status.topology == {"pool": "gpu", "zone": "a"}
    assert terms == [
        {
            "matchExpressions": [
                {"key": "pool", "operator": "In", "values": ["gpu"]},
                {"key": "zone", "operator": "In", "values": ["a"]},
            ]
        }
    ]


def test_a_persistent_volume_that_is_there_keeps_its_affinity() -> None:
    before = plan.plan(facts("ganesha"))
    found = made(before.actions)["PersistentVolume"]
    grown = {"state": "Served", "server": "nfs-0", "address": "10.0.0.9", "path": "/vol/x", "sizeBytes": 9 * GI}
    seen = facts("ganesha", {"share": grown}, on={"nodeSelector": {"pool": "gpu"}})

    step = plan.plan(VolumeFacts(seen.volume, NOW, backends=seen.backends, persistent_volume=found))

    assert made(step.actions)["PersistentVolume"]["spec"]["capacity"] == {"storage": "9Gi"}
    assert "nodeAffinity" not in made(step.actions)["PersistentVolume"]["spec"]


def test_options_are_decided_once_and_a_server_that_moved_is_followed() -> None:
    first = plan.plan(facts("nfs", on={"mountOptions": ["nconnect=4"]}))
    assert first.status.attributes

    later = plan.plan(
        facts("nfs", {"attributes": {**first.status.attributes, "server": "old"}}, on={"mountOptions": ["nconnect=16"]})
    )

    assert later.status.attributes == first.status.attributes


def test_a_server_that_does_not_answer_makes_its_volumes_unhealthy() -> None:
    step = plan.plan(facts("ganesha", room=Room(silent={"ganesha": {"nfs-0": "connection refused"}})))

    assert verdict(step.status, "Healthy") == ("False", "ServerNotReady")
    assert step.status.phase == Phase.READY


def test_no_room_is_failed_and_room_heals() -> None:
    seen = facts("ganesha", {"placement": None, "share": None}, size="2Ti")
    refused = plan.plan(seen)
    larger = seen.backends[0].model_copy(
        update={"status": seen.backends[0].status.model_copy(update={"servers": (_server(4 * 2**40),)})}
    )

    healed = plan.plan(VolumeFacts(seen.volume, NOW, backends=(larger,)))

    assert (refused.status.phase, verdict(refused.status, "Provisioned")) == (Phase.FAILED, ("False", "NoCapacity"))
    assert healed.status.placement == Placement(backend="ganesha", engine="ganesha", server="nfs-0")


def _server(free: int) -> Any:
    return backend("ganesha").status.servers[0].model_copy(update={"free_bytes": free})
