"""The status: a subresource of its own, shared by the operator and the agents without either taking from the other."""

from __future__ import annotations

from typing import Any

from moorage import names
from moorage.model import (
    Bucket,
    StorageAttachment,
    StorageAttachmentStatus,
    StorageBackend,
    StorageVolume,
    StorageVolumeStatus,
)

SHARED = {"type": "shared", "size": "1Gi"}
GANESHA = {"engine": {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}}}


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Ready",
        "message": "it answers",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def test_a_status_written_with_the_spec_is_dropped(api: Any) -> None:
    answer = api.create(StorageVolume, "status-with-spec", spec=SHARED, status={"phase": "READY"})

    assert answer.status_code == 201
    assert "status" not in answer.json()


def test_a_spec_written_with_the_status_is_dropped(api: Any) -> None:
    api.create(StorageVolume, "spec-with-status", spec=SHARED)
    path = api.path(StorageVolume, "spec-with-status")

    answer = api.merge(f"{path}/status", {"spec": {"size": "9Gi"}, "status": {"phase": "PENDING"}}).json()

    assert (answer["spec"]["size"], answer["status"]) == ("1Gi", {"phase": "PENDING"})
    assert answer["metadata"]["generation"] == 1


def test_absent_spec_fields_get_their_defaults(api: Any) -> None:
    volume = api.create(StorageVolume, "defaults", spec=SHARED).json()["spec"]
    shown = api.create(StorageVolume, "defaults-o", spec={"type": "object", "bucket": {"name": "abc"}}).json()["spec"]
    bucket = api.create(Bucket, "defaults").json()["spec"]
    attachment = api.create(StorageAttachment, "defaults", spec={"volume": {"name": "data"}}).json()["spec"]
    backend = api.create(StorageBackend, "defaults", spec=GANESHA).json()["spec"]

    assert volume == {**SHARED, "claim": "Auto", "onDelete": "Delete", "squash": "None", "mountOptions": []}
    assert shown["bucket"] == {"name": "abc", "prefix": ""}
    off = {"versioning": False, "publicRead": False, "emptyOnDelete": False}
    assert bucket == {
        **off,
        **{"onDelete": "Delete", "cors": [], "lifecycle": [], "key": {"overlap": "1h", "rotate": ""}},
    }
    assert attachment == {"volume": {"name": "data"}, "mountFrom": "/", "readOnly": False, "detach": "Wait"}
    ganesha = {**GANESHA["engine"]["ganesha"], "overcommit": False}
    assert backend == {"engine": {"ganesha": ganesha}, "default": False, "minNodes": 2, "mountOptions": []}


def test_an_s3_backend_gets_flavor_and_region(api: Any) -> None:
    secret = {"name": "root", "namespace": "moorage"}
    s3 = {"endpoint": "http://s3:7070", "adminEndpoint": "http://s3:7071", "credentialsSecret": secret}

    backend = api.create(StorageBackend, "defaults-s3", spec={"engine": {"s3": s3}}, dry=True).json()["spec"]

    given = {"flavor": "versitygw", "region": "us-east-1", "pathStyle": True, "shareCredential": False, "lacks": []}
    assert backend["engine"]["s3"] == {**s3, **given}


def test_operator_and_agent_write_their_own_fields_of_one_status(api: Any) -> None:
    api.create(StorageVolume, "two-writers", spec=SHARED)
    path = api.path(StorageVolume, "two-writers") + "/status"
    placement = {"backend": "shared", "engine": "ganesha", "server": "moorage-nfs-0"}
    share = {"state": "Served", "server": "moorage-nfs-0", "path": "/vol/abcdefgh", "sizeBytes": 2**30}

    def write(manager: str, **status: Any) -> Any:
        return api.apply(path, manager, StorageVolume, "two-writers", status=status)

    write(names.OPERATOR_MANAGER, id="abcdefgh", placement=placement)
    write(names.AGENT_MANAGER, share=share)
    ready = [condition("Provisioned"), condition("Ready")]
    write(names.OPERATOR_MANAGER, id="abcdefgh", placement=placement, phase="READY", conditions=ready)
    last = write(names.OPERATOR_MANAGER, id="abcdefgh", placement=placement, conditions=[condition("Ready")])

    assert last.status_code == 200, last.text
    status = StorageVolumeStatus.model_validate(last.json()["status"])
    assert status.share is not None and status.share.size_bytes == 2**30  # the agent's, untouched by the operator
    assert status.phase is None  # the operator's, and it stopped to say it
    assert [each.type for each in status.conditions] == ["Ready"]


def test_the_agent_is_told_when_it_writes_what_the_operator_owns(api: Any) -> None:
    api.create(StorageVolume, "conflict", spec=SHARED)
    path = api.path(StorageVolume, "conflict") + "/status"
    api.apply(path, names.OPERATOR_MANAGER, StorageVolume, "conflict", status={"phase": "PENDING"})

    answer = api.apply(path, names.AGENT_MANAGER, StorageVolume, "conflict", status={"phase": "READY"})

    assert answer.status_code == 409
    assert names.OPERATOR_MANAGER in answer.json()["message"]


def test_each_server_writes_its_own_entry_of_a_backend(api: Any) -> None:
    api.create(StorageBackend, "servers", spec=GANESHA)
    path = api.path(StorageBackend, "servers") + "/status"

    for manager, name, free in (("agent-0", "nfs-0", 10), ("agent-1", "nfs-1", 20), ("agent-0", "nfs-0", 5)):
        entry = {"name": name, "totalBytes": 100, "freeBytes": free}
        api.apply(path, manager, StorageBackend, "servers", status={"servers": [entry]})
    api.apply(path, names.OPERATOR_MANAGER, StorageBackend, "servers", status={"conditions": [condition("Ready")]})

    status = StorageBackend.model_validate(api.call("GET", path).json()).status
    assert {each.name: each.free_bytes for each in status.servers} == {"nfs-0": 5, "nfs-1": 20}
    assert [each.type for each in status.conditions] == ["Ready"]


def test_a_full_status_passes_through_the_server_unchanged(api: Any) -> None:
    full = {
        "phase": "READY",
        "observedGeneration": 1,
        "id": "abcdefgh",
        "capacity": "1Gi",
        "placement": {"backend": "shared", "engine": "ganesha", "server": "moorage-nfs-0"},
        "release": "Retain",
        "share": {
            "state": "Failed",
            "server": "moorage-nfs-0",
            "address": "moorage-nfs-0.moorage.svc",
            "path": "/vol/abcdefgh",
            "exportId": 65535,
            "sizeBytes": 2**56,
            "reason": "NoCapacity",
            "message": "the pool is full: delete volumes or enlarge it",
        },
        "bucketName": "models-abcdefgh",
        "attributes": {"type": "shared", "mount": "nfs"},
        "secretRef": {"name": "models-s3", "namespace": "default"},
        "claimName": "full",
        "attached": 3,
        "conditions": [condition("Ready")],
    }
    api.create(StorageVolume, "full", spec=SHARED)

    api.merge(api.path(StorageVolume, "full") + "/status", {"status": full})

    stored = api.call("GET", api.path(StorageVolume, "full")).json()["status"]
    assert stored == full
    assert StorageVolumeStatus.model_validate(stored).dump() == full


def test_a_full_status_of_an_attachment_passes_through_the_server_unchanged(api: Any) -> None:
    full = {
        "phase": "ATTACHING",
        "phaseSince": "2026-01-01T00:00:00.123456Z",
        "observedGeneration": 3,
        "id": "bcdefghi",
        "volumeHandle": "research/training-data/abcdefgh-bcdefghi",
        "attributes": {"type": "shared", "mount": "nfs", "mountFrom": "/" + "f" * 1000, "mountAs": "/mnt/imagenet"},
        "secretRef": {"name": "models-s3", "namespace": "research"},
        "claimName": "full",
        "mountAs": "/mnt/imagenet",
        "nodes": "3/4",
        "lagging": ["node-4"],
        "attached": 3,
        "conditions": [condition("Ready")],
    }
    api.create(StorageAttachment, "full", spec={"volume": {"name": "training-data", "namespace": "research"}})

    api.merge(api.path(StorageAttachment, "full") + "/status", {"status": full})

    stored = api.call("GET", api.path(StorageAttachment, "full")).json()["status"]
    assert stored == full
    assert StorageAttachmentStatus.model_validate(stored).dump() == full


def test_an_attachment_status_is_bounded(api: Any) -> None:
    api.create(StorageAttachment, "bounded", spec={"volume": {"name": "training-data"}})
    path = api.path(StorageAttachment, "bounded") + "/status"

    lagging = api.merge(path, {"status": {"lagging": [f"node-{each}" for each in range(11)]}})
    handle = api.merge(path, {"status": {"volumeHandle": "h" * 129}})
    since = api.merge(path, {"status": {"phaseSince": "yesterday"}})

    assert "status.lagging: Too many: 11: must have at most 10 items" in lagging.json()["message"]
    assert "status.volumeHandle: Too long" in handle.json()["message"]
    assert "phaseSince in body must be of type date-time" in since.json()["message"]
    assert "status" not in api.call("GET", api.path(StorageAttachment, "bounded")).json()


def test_a_status_outside_the_documented_values_is_refused(api: Any) -> None:
    api.create(StorageVolume, "undocumented", spec=SHARED)
    path = api.path(StorageVolume, "undocumented") + "/status"

    phase = api.merge(path, {"status": {"phase": "Sleeping"}})
    status = api.merge(path, {"status": {"conditions": [condition("Ready", "Maybe")]}})
    secret = api.merge(path, {"status": {"secretRef": {"name": "s", "namespace": "a.b"}}})
    twice = api.merge(path, {"status": {"conditions": [condition("Ready"), condition("Ready")]}})

    assert 'supported values: "PENDING", "PROVISIONING"' in phase.json()["message"]
    assert 'supported values: "True", "False", "Unknown"' in status.json()["message"]
    assert 'status.secretRef.namespace: Invalid value: "a.b": use lowercase' in secret.json()["message"]
    assert "Duplicate value" in twice.json()["message"]


def test_lists_and_maps_are_bounded(api: Any) -> None:
    api.create(StorageVolume, "bounded", spec=SHARED)
    path = api.path(StorageVolume, "bounded") + "/status"

    attributes = api.merge(path, {"status": {"attributes": {f"key{n}": "" for n in range(17)}}})
    conditions = api.merge(path, {"status": {"conditions": [condition(f"Kind{n}") for n in range(17)]}})

    assert "Too many" in attributes.json()["message"]
    assert "Too many" in conditions.json()["message"]
