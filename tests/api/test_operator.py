"""The operator against a real kube-apiserver and a real S3 engine."""

import asyncio
import time
from typing import Any

import pytest
from bed import PATIENCE, Bed, claim, condition, until
from filled import boto, key_in

from moorage import names
from moorage.actions import Manifest, Problem
from moorage_operator import hooks
from moorage_operator.lease import Lease

# Shared volumes.


async def test_a_shared_volume_gets_its_claim_and_a_whole_mount_plan(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})

    volume = await bed.phase("data", "READY")

    id = volume["status"]["id"]
    attributes = {
        **{"type": "shared", "mount": "nfs", "server": "moorage-nfs-0.moorage.svc.cluster.local", "path": f"/vol/{id}"},
        "options": "vers=4.1,hard,noresvport,timeo=600,retrans=2",
    }
    status = volume["status"]
    assert id == names.short_id(volume["metadata"]["uid"])
    assert (status["capacity"], status["claimName"], status["attributes"]) == ("5Gi", "data", attributes)
    assert status["placement"] == {"backend": "shared", "engine": "ganesha", "server": "moorage-nfs-0"}
    assert status["observedGeneration"] == volume["metadata"]["generation"]
    assert volume["metadata"]["finalizers"] == [names.FINALIZER]
    pv = await bed.get("PersistentVolume", f"moorage-{id}", "v1")
    assert pv
    assert pv["spec"]["csi"] == {
        **{"driver": names.DRIVER, "volumeHandle": f"{bed.namespace}/data/{id}", "volumeAttributes": attributes}
    }
    assert pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    pvc = await bed.get("PersistentVolumeClaim", "data", "v1")
    assert pvc
    assert pvc["spec"]["volumeName"] == f"moorage-{id}"
    assert pvc["metadata"]["ownerReferences"][0]["uid"] == volume["metadata"]["uid"]
    assert await bed.events("data") == ["Provisioning", "Ready"]


async def test_a_ready_volume_is_not_written_again(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    ready = await bed.phase("data", "READY")
    assert bed.operator

    await asyncio.sleep(5)  # more than two resyncs

    after = await bed.get("StorageVolume", "data")
    assert after
    assert after["metadata"]["resourceVersion"] == ready["metadata"]["resourceVersion"]
    assert bed.operator.metrics.status_writes.labels("StorageVolume")._value.get() == 2  # placed, and READY


async def test_a_volume_without_claim_gets_none(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi", "claim": "None"})

    volume = await bed.phase("data", "READY")

    assert await bed.get("PersistentVolumeClaim", "data", "v1") is None
    assert await bed.get("PersistentVolume", f"moorage-{volume['status']['id']}", "v1") is None


async def test_growth_reaches_status_and_persistent_volume(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    ready = await bed.phase("data", "READY")

    await bed.cluster.merge(bed.ref("StorageVolume", "data"), {"spec": {"size": "8Gi"}})

    async def grown() -> bool:
        pv = await bed.get("PersistentVolume", f"moorage-{ready['status']['id']}", "v1")
        volume = await bed.get("StorageVolume", "data")
        return bool(pv and volume and pv["spec"]["capacity"]["storage"] == volume["status"]["capacity"] == "8Gi")

    await until(grown, lambda: bed._story("StorageVolume", "data", "grown"))
    await bed.condition("data", "Resized", "True")


async def test_without_room_it_is_failed_and_heals_when_there_is(bed: Bed) -> None:
    bed.agent_state = "Failed"
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    failed = await bed.phase("data", "FAILED")

    bed.agent_state = "Served"

    await bed.phase("data", "READY")
    assert condition(failed, "Provisioned")["reason"] == "NoCapacity"
    assert "NoCapacity" in await bed.events("data")


async def test_a_missing_backend_is_named_and_healed_when_it_comes(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi", "backend": "late"})
    pending = await bed.phase("data", "PENDING")

    ganesha = {"namespace": bed.namespace, "statefulSet": "moorage-nfs"}
    await bed.make("StorageBackend", "late", spec={"engine": {"ganesha": ganesha}})

    await bed.phase("data", "READY")
    assert "late" in condition(pending, "Ready")["message"]
    assert (await bed.events("data"))[0] == "BackendNotFound"


async def test_an_unreachable_backend_holds_new_volumes_back_and_marks_old_ones(bed: Bed) -> None:
    await bed.make("StorageVolume", "old", spec={"type": "shared", "size": "5Gi"})
    await bed.phase("old", "READY")
    bed.trouble = Problem("Unreachable", "connection refused")
    backend = bed.ref("StorageBackend", "shared")
    await bed.cluster.merge(backend, {"spec": {"default": False}})  # a change, so that nobody waits for the timer
    await bed.cluster.merge(backend, {"spec": {"default": True}})
    await bed.condition("shared", "Ready", "False", "StorageBackend")

    await bed.make("StorageVolume", "new", spec={"type": "shared", "size": "5Gi"})
    pending = await bed.phase("new", "PENDING")
    await bed.condition("old", "Healthy", "False")
    bed.trouble = None

    await bed.phase("new", "READY")
    assert condition(pending, "Provisioned")["reason"] == "BackendNotReady"
    assert condition(await bed.phase("old", "READY"), "Ready")["status"] == "True"


async def test_a_wrong_volume_does_not_stop_the_others(bed: Bed) -> None:
    await bed.make("PersistentVolumeClaim", "taken", "v1", spec=foreign_claim())
    await bed.make("StorageVolume", "taken", spec={"type": "shared", "size": "5Gi"})
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})

    failed = await bed.phase("taken", "FAILED")
    await bed.phase("data", "READY")
    await bed.delete("PersistentVolumeClaim", "taken", "v1")

    await bed.phase("taken", "READY")
    assert condition(failed, "Provisioned")["reason"] == "ClaimConflict"


async def test_a_volume_whose_closed_files_can_be_lost_says_so(bed: Bed) -> None:
    await bed.make("StorageVolume", "scratch", spec={"type": "object", "mounter": "rclone"})

    volume = await bed.phase("scratch", "READY")

    told = condition(volume, "CloseIsStored")
    assert (told["status"], told["reason"]) == ("False", "Writeback")
    assert volume["status"]["attributes"]["mount"] == "rclone"


def foreign_claim() -> Manifest:
    return {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "other",
    }


async def test_a_deleted_claim_comes_back_and_is_bound_again(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    ready = await bed.phase("data", "READY")
    before = await bed.get("PersistentVolumeClaim", "data", "v1")
    assert before

    await bed.delete("PersistentVolumeClaim", "data", "v1")

    async def bound_again() -> bool:
        pvc = await bed.get("PersistentVolumeClaim", "data", "v1")
        pv = await bed.get("PersistentVolume", f"moorage-{ready['status']['id']}", "v1")
        fresh = bool(pvc and pvc["metadata"]["uid"] != before["metadata"]["uid"])
        return fresh and bool(pv and pv["spec"]["claimRef"].get("uid") == pvc["metadata"]["uid"])

    await until(bound_again, lambda: bed._story("PersistentVolumeClaim", "data", "bound again", "v1"))


async def test_the_phases_of_many_volumes_converge_quickly(bed: Bed) -> None:
    started = time.monotonic()
    for number in range(50):
        await bed.make("StorageVolume", f"v{number}", spec={"type": "shared", "size": "1Gi"})

    for number in range(50):
        await bed.phase(f"v{number}", "READY")

    assert time.monotonic() - started < PATIENCE


# Attachment and deletion.


async def test_pods_are_counted_while_they_use_the_volume(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.phase("data", "READY")

    inline = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": {"volume": "data"}}}
    await bed.pod("one", claim("data"))
    await bed.pod("two", inline)

    async def both() -> bool:
        volume = await bed.get("StorageVolume", "data")
        return bool(volume and volume["status"].get("attached") == 2)

    await until(both, lambda: bed._story("StorageVolume", "data", "attached twice"))
    await bed.delete_pod("one")
    await bed.delete_pod("two")
    await bed.condition("data", "Attached", "False")


@pytest.mark.parametrize("road", ["claim", "inline"])
async def test_a_pod_holds_back_deletion_and_is_named(bed: Bed, road: str) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    ready = await bed.phase("data", "READY")
    inline = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": {"volume": "data"}}}
    await bed.pod("user", claim("data") if road == "claim" else inline)

    await bed.delete("StorageVolume", "data")
    blocked = await bed.condition("data", "DeletionBlocked", "True")
    held = await bed.phase("data", "DESTROYING")
    claim_there = await bed.get("PersistentVolumeClaim", "data", "v1")
    await bed.delete_pod("user")
    await bed.gone("StorageVolume", "data")

    assert f"pod {bed.namespace}/user" in blocked["message"]
    assert "release" not in held["status"]
    assert condition(held, "Ready")["status"] == "False"
    assert claim_there
    assert "deletionTimestamp" not in claim_there["metadata"]
    assert await bed.get("PersistentVolumeClaim", "data", "v1") is None
    assert await bed.get("PersistentVolume", f"moorage-{ready['status']['id']}", "v1") is None
    assert (await bed.events("data"))[-3:] == ["Destroying", "DeletionBlocked", "Destroyed"]


@pytest.mark.parametrize("shown", [True, False], ids=["", "before any watch has shown it"])
async def test_a_bound_claim_of_a_dynamic_volume_holds_back_deletion(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    if not shown:
        monkeypatch.setattr(bed.operator.index, "put_persistent_volume", lambda body: None)
    await bed.make("StorageVolume", "pvc-1", spec={"type": "shared", "size": "5Gi", "claim": "None"})
    ready = await bed.phase("pvc-1", "READY")
    spec = {**foreign_claim(), "storageClassName": "moorage-shared", "volumeName": "pvc-1"}
    pvc = await bed.make("PersistentVolumeClaim", "scratch", "v1", spec=spec)
    where = {"name": "scratch", "namespace": bed.namespace, "uid": pvc["metadata"]["uid"]}
    csi = {"driver": names.DRIVER, "volumeHandle": f"{bed.namespace}/pvc-1/{ready['status']['id']}"}
    pv = {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany"], "csi": csi, "claimRef": where}
    await bed.make("PersistentVolume", "pvc-1", "v1", spec=pv)

    async def bound() -> bool:
        found = await bed.get("PersistentVolume", "pvc-1", "v1")
        return bool(found and found.get("status", {}).get("phase") == "Bound")

    await until(bound, lambda: bed._story("PersistentVolume", "pvc-1", "bound", "v1"))
    await bed.delete("StorageVolume", "pvc-1")
    blocked = await bed.condition("pvc-1", "DeletionBlocked", "True")
    await bed.delete("PersistentVolumeClaim", "scratch", "v1")
    await bed.gone("StorageVolume", "pvc-1")

    assert f"claim {bed.namespace}/scratch" in blocked["message"]


async def test_data_is_released_only_after_everybody_left(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi", "onDelete": "Retain"})
    await bed.phase("data", "READY")
    bed.agent_works = False

    await bed.delete("StorageVolume", "data")

    async def released() -> Manifest | None:
        found = await bed.get("StorageVolume", "data")
        return found if found and found["status"].get("release") else None

    waiting = await until(released, lambda: bed._story("StorageVolume", "data", "released"))
    assert waiting["status"]["release"] == "Retain"
    assert await bed.get("PersistentVolumeClaim", "data", "v1") is None
    assert names.FINALIZER in waiting["metadata"]["finalizers"]
    bed.agent_works = True
    await bed.gone("StorageVolume", "data")


async def test_a_backend_in_use_stays_until_its_volumes_are_gone(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.phase("data", "READY")

    await bed.delete("StorageBackend", "shared")
    blocked = await bed.condition("shared", "DeletionBlocked", "True", "StorageBackend")
    await bed.delete("StorageVolume", "data")

    await bed.gone("StorageVolume", "data")
    await bed.gone("StorageBackend", "shared")
    assert f"StorageVolume {bed.namespace}/data" in blocked["message"]


# Buckets and object volumes.


async def test_a_bucket_gets_a_secret_that_opens_it(bed: Bed) -> None:
    await bed.make("Bucket", "models", spec={})

    bucket = await bed.phase("models", "READY", "Bucket")

    secret = await bed.get("Secret", "models-s3", "v1")
    assert secret
    key = key_in(secret)
    assert key["BUCKET"] == bucket["status"]["bucketName"] == f"models-{bucket['status']['id']}"
    assert bucket["status"]["secretName"] == "models-s3"
    boto(key).put_object(Bucket=key["BUCKET"], Key="k", Body=b"1")
    assert await bed.events("models", "Bucket") == ["Provisioning", "Ready"]


async def test_a_deleted_bucket_takes_secret_and_objects_along(bed: Bed, s3_server: Any) -> None:
    await bed.make("Bucket", "models", spec={"versioning": True, "emptyOnDelete": True})
    await bed.phase("models", "READY", "Bucket")
    secret = await bed.get("Secret", "models-s3", "v1")
    assert secret
    key = key_in(secret)
    boto(key).put_object(Bucket=key["BUCKET"], Key="k", Body=b"1")
    boto(key).put_object(Bucket=key["BUCKET"], Key="k", Body=b"2")

    await bed.delete("Bucket", "models")
    await bed.gone("Bucket", "models")

    root = {**key, "AWS_ACCESS_KEY_ID": s3_server.access, "AWS_SECRET_ACCESS_KEY": s3_server.secret}
    assert await bed.get("Secret", "models-s3", "v1") is None
    assert key["BUCKET"] not in [each["Name"] for each in boto(root).list_buckets()["Buckets"]]
    assert (await bed.events("models", "Bucket"))[-1] == "Destroyed"


async def test_a_secret_of_somebody_else_is_never_overwritten(bed: Bed) -> None:
    await bed.make("Secret", "models-s3", "v1", stringData={"mine": "1"})
    await bed.make("Bucket", "models", spec={})

    failed = await bed.phase("models", "FAILED", "Bucket")
    secret = await bed.get("Secret", "models-s3", "v1")

    assert condition(failed, "Provisioned")["reason"] == "SecretConflict"
    assert secret
    assert key_in(secret) == {"mine": "1"}


async def test_an_object_volume_of_a_named_bucket(bed: Bed) -> None:
    spec = {"type": "object", "bucket": {"name": "models", "prefix": "checkpoints/"}}
    await bed.make("StorageVolume", "part", spec=spec)
    pending = await bed.phase("part", "PENDING")
    await bed.make("Bucket", "models", spec={})

    volume = await bed.phase("part", "READY")

    status = volume["status"]
    secret = {"name": "models-s3", "namespace": bed.namespace}
    assert condition(pending, "Provisioned")["reason"] == "BucketNotFound"
    assert status["secretRef"] == secret
    assert status["attributes"]["bucket"] == status["bucketName"]
    assert status["attributes"]["prefix"] == "checkpoints/"
    pv = await bed.get("PersistentVolume", f"moorage-{status['id']}", "v1")
    assert pv
    assert pv["spec"]["csi"]["nodeStageSecretRef"] == secret


async def test_the_nodes_account_may_read_the_buckets_secret_and_the_volume_grants_nothing(bed: Bed) -> None:
    rbac = "rbac.authorization.k8s.io/v1"
    await bed.make("StorageVolume", "own", spec={"type": "object"})

    volume, bucket = await bed.phase("own", "READY"), await bed.phase("own", "READY", "Bucket")

    role = await bed.get("Role", f"moorage-{bucket['status']['id']}", rbac)
    binding = await bed.get("RoleBinding", f"moorage-{bucket['status']['id']}", rbac)
    assert role
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["own-s3"], "verbs": ["get"]}
    ]
    assert role["metadata"]["ownerReferences"][0]["uid"] == bucket["metadata"]["uid"]
    assert binding
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "moorage-csi-node", "namespace": bed.namespace}]
    assert await bed.get("Role", f"moorage-{volume['status']['id']}", rbac) is None


async def test_a_role_that_is_missing_after_an_upgrade_is_made(bed: Bed) -> None:
    rbac = "rbac.authorization.k8s.io/v1"
    await bed.make("Bucket", "models", spec={})
    name = f"moorage-{(await bed.phase('models', 'READY', 'Bucket'))['status']['id']}"
    await bed.kill()
    await bed.delete("Role", name, rbac)
    await bed.delete("RoleBinding", name, rbac)

    await bed.start()

    async def both() -> bool:
        return bool(await bed.get("Role", name, rbac) and await bed.get("RoleBinding", name, rbac))

    await until(both, lambda: bed._story("Role", name, "made", rbac))


async def test_a_bucket_that_a_volume_shows_is_held_and_the_volume_is_named(bed: Bed) -> None:
    await bed.make("Bucket", "models", spec={})
    await bed.make("StorageVolume", "part", spec={"type": "object", "bucket": {"name": "models"}})
    await bed.phase("part", "READY")

    await bed.delete("Bucket", "models")
    blocked = await bed.condition("models", "DeletionBlocked", "True", "Bucket")
    await bed.delete("StorageVolume", "part")

    await bed.gone("StorageVolume", "part")
    await bed.gone("Bucket", "models")
    assert f"StorageVolume {bed.namespace}/part" in blocked["message"]


async def test_an_object_volume_without_bucket_owns_one_and_takes_it_along(bed: Bed) -> None:
    await bed.make("StorageVolume", "own", spec={"type": "object"})
    volume = await bed.phase("own", "READY")
    bucket = await bed.get("Bucket", "own")
    assert bucket
    owner = bucket["metadata"]["ownerReferences"][0]["uid"]

    await bed.delete("StorageVolume", "own")
    await bed.gone("StorageVolume", "own")

    assert owner == volume["metadata"]["uid"]
    assert await bed.get("Bucket", "own") is None
    assert await bed.get("Secret", "own-s3", "v1") is None


async def test_a_bucket_of_somebody_else_is_not_taken_over(bed: Bed) -> None:
    await bed.make("Bucket", "own", spec={})
    await bed.make("StorageVolume", "own", spec={"type": "object"})

    failed = await bed.phase("own", "FAILED")
    await bed.delete("StorageVolume", "own")
    await bed.gone("StorageVolume", "own")

    assert condition(failed, "Provisioned")["reason"] == "BucketConflict"
    assert await bed.phase("own", "READY", "Bucket")


# Restarts.


async def test_an_operator_killed_again_and_again_still_converges(bed: Bed) -> None:
    for number in range(6):
        await bed.make("StorageVolume", f"v{number}", spec={"type": "shared", "size": "1Gi"})
    await bed.make("StorageVolume", "obj", spec={"type": "object"})

    for pause in (0.0, 0.02, 0.05, 0.1):
        await bed.kill()
        await bed.start()
        await asyncio.sleep(pause)

    for name in (*(f"v{number}" for number in range(6)), "obj"):
        await bed.phase(name, "READY")
    for number in range(6):
        await bed.delete("StorageVolume", f"v{number}")
    await bed.delete("StorageVolume", "obj")
    for pause in (0.0, 0.05, 0.1):
        await bed.kill()
        await bed.start()
        await asyncio.sleep(pause)
    for name in (*(f"v{number}" for number in range(6)), "obj"):
        await bed.gone("StorageVolume", name)
    for number in range(6):
        assert await bed.events(f"v{number}") == ["Provisioning", "Ready", "Destroying", "Destroyed"]


async def test_what_was_deleted_while_no_operator_ran_is_finished(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.phase("data", "READY")
    await bed.kill()

    await bed.delete("StorageVolume", "data")
    await bed.start()

    await bed.gone("StorageVolume", "data")


async def test_one_lease_has_one_holder_and_passes_on(bed: Bed) -> None:
    first = Lease(bed.cluster, bed.namespace, "first", duration=5.0)
    second = Lease(bed.cluster, bed.namespace, "second", duration=5.0)
    await first.acquire()

    waiting = asyncio.create_task(second.acquire())
    keeping = asyncio.create_task(first.keep())
    await asyncio.sleep(7)
    both = (first.held, second.held)
    keeping.cancel()

    async with asyncio.timeout(60):
        await waiting
    assert both == (True, False)
    assert second.held


async def test_cleanup_frees_every_object_and_keeps_it(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.make("Bucket", "models", spec={})
    await bed.make("BucketKey", "key", spec={"buckets": [{"name": "models"}]})
    await bed.make("StorageAttachment", "again", spec={"volume": {"name": "data"}})
    await bed.make("StorageSnapshot", "monday", spec={"volume": "data"})
    await bed.phase("data", "READY")
    await bed.phase("monday", "READY", "StorageSnapshot")
    await bed.phase("models", "READY", "Bucket")
    await bed.phase("key", "READY", "BucketKey")
    await bed.phase("again", "READY", "StorageAttachment")
    await bed.kill()

    await hooks.cleanup(bed.cluster, bed.namespace)

    freed = {
        "StorageVolume": "data",
        "StorageAttachment": "again",
        "Bucket": "models",
        "BucketKey": "key",
        "StorageBackend": "shared",
        "StorageSnapshot": "monday",
    }
    assert set(freed) == set(hooks.KINDS)
    for kind, name in freed.items():
        found = await bed.get(kind, name)
        assert found
        assert "finalizers" not in found["metadata"]
