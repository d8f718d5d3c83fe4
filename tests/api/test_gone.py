"""A deletion ends, and says where data stays, when something around the object went first. Real kube-apiserver and S3.

Peers hang here for ever: on a backend, a Secret or a StorageClass that is gone, in a namespace that is going, on
objects that were torn away, on CRDs that are removed.
"""

import contextlib
from typing import Any

import pytest
from bed import Bed, condition, until
from filled import bucket, has_data, shared

from moorage import names
from moorage.actions import Problem, Reference
from moorage.errors import MoorageError

RBAC = "rbac.authorization.k8s.io/v1"
AWAY = Problem("Unreachable", "nobody answers")


async def notes(bed: Bed) -> dict[str, str]:
    """Event notes by reason, of all objects in the namespace."""
    found = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)
    return {each["reason"]: each["note"] for each in found}


async def tear(bed: Bed, kind: str, name: str, api: str = names.API_VERSION) -> None:
    """Away with it, finalizers or not."""
    await bed.delete(kind, name, api)
    while await bed.get(kind, name, api) is not None:
        with contextlib.suppress(MoorageError):
            await bed.cluster.merge(bed.ref(kind, name, api), {"metadata": {"finalizers": None}})


# The backend.


async def test_a_volume_goes_when_its_backend_was_torn_away_and_says_that_data_remains(bed: Bed) -> None:
    await shared(bed)
    bed.agent_works = False
    await tear(bed, "StorageBackend", "shared")

    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")

    told = await notes(bed)
    assert "StorageBackend shared is gone: the data of the volume stays where it is" in told["DataRemains"]
    assert told["Destroyed"] == "the volume is gone; its data stays where it is"


async def test_a_bucket_goes_when_its_backend_was_torn_away_and_says_that_data_remains(
    bed: Bed, s3_server: Any
) -> None:
    key = await bucket(bed)
    await tear(bed, "StorageBackend", "object")

    await bed.delete("Bucket", "models")
    await bed.gone("Bucket", "models")

    assert has_data(key, s3_server)
    assert key["BUCKET"] in (await notes(bed))["DataRemains"]
    assert await bed.get("Secret", "models-s3", "v1") is None


async def test_a_backend_that_is_deleted_and_does_not_answer_and_its_volume_do_not_wait_for_each_other(
    bed: Bed,
) -> None:
    await shared(bed)
    bed.agent_works, bed.trouble = False, AWAY
    await bed.condition("shared", "Ready", "False", "StorageBackend")

    await bed.delete("StorageVolume", "data")
    waiting = await bed.phase("data", "DESTROYING")
    await bed.delete("StorageBackend", "shared")

    await bed.gone("StorageVolume", "data")
    await bed.gone("StorageBackend", "shared")
    assert names.FINALIZER in waiting["metadata"]["finalizers"]
    assert "StorageBackend shared is being deleted and does not answer" in (await notes(bed))["DataRemains"]


async def test_a_backend_that_is_away_is_waited_for_and_nothing_remains(bed: Bed) -> None:
    await shared(bed)
    bed.agent_works, bed.trouble = False, AWAY
    await bed.condition("shared", "Ready", "False", "StorageBackend")
    await bed.delete("StorageVolume", "data")

    async def says() -> bool:
        return "nobody answers" in condition(await bed.get("StorageVolume", "data"), "Ready").get("message", "")

    await until(says, lambda: bed._story("StorageVolume", "data", "waiting"))
    bed.agent_works, bed.trouble = True, None

    await bed.gone("StorageVolume", "data")
    assert "DataRemains" not in await notes(bed)


# Secrets.


async def test_a_bucket_goes_when_the_engines_root_key_is_gone_and_says_that_data_remains(
    bed: Bed, s3_server: Any
) -> None:
    key = await bucket(bed)
    await bed.delete("Secret", "root", "v1")

    await bed.delete("Bucket", "models")
    await bed.gone("Bucket", "models")

    assert has_data(key, s3_server)
    remains = f"Secret {bed.namespace}/root with the engine's root key is gone: the objects of {key['BUCKET']} stay"
    assert remains in (await notes(bed))["DataRemains"]


async def test_a_bucket_goes_with_its_objects_when_its_own_secret_is_gone(bed: Bed, s3_server: Any) -> None:
    key = await bucket(bed)
    await bed.delete("Bucket", "models")
    await bed.delete("Secret", "models-s3", "v1")

    await bed.gone("Bucket", "models")

    assert not has_data(key, s3_server)


async def test_an_object_volume_goes_when_bucket_secret_and_rights_were_torn_away(bed: Bed) -> None:
    await bed.make("StorageVolume", "own", spec={"type": "object"})
    await bed.phase("own", "READY")
    await bed.kill()
    await bed.delete("StorageVolume", "own")
    await tear(bed, "Bucket", "own")
    await bed.delete("Secret", "own-s3", "v1")
    for kind in ("Role", "RoleBinding"):
        for each in await bed.cluster.list(RBAC, kind, bed.namespace):
            await bed.delete(kind, each["metadata"]["name"], RBAC)

    await bed.start()

    await bed.gone("StorageVolume", "own")


# Claim, PersistentVolume, StorageClass.


@pytest.mark.parametrize("gone", [["claim"], ["pv"], ["claim", "pv"]])
async def test_a_volume_goes_when_its_claim_or_persistent_volume_was_torn_away(bed: Bed, gone: list[str]) -> None:
    ready = await shared(bed)
    pv = f"moorage-{ready['status']['id']}"
    await bed.kill()
    if "claim" in gone:
        await tear(bed, "PersistentVolumeClaim", "data", "v1")
    if "pv" in gone:
        await tear(bed, "PersistentVolume", pv, "v1")
    await bed.delete("StorageVolume", "data")

    await bed.start()

    await bed.gone("StorageVolume", "data")
    assert await bed.get("PersistentVolumeClaim", "data", "v1") is None
    assert await bed.get("PersistentVolume", pv, "v1") is None


async def test_a_dynamic_volume_goes_when_its_storage_class_is_gone(bed: Bed) -> None:
    ready = await shared(bed, "pvc-1", claim="None")
    csi = {"driver": names.DRIVER, "volumeHandle": f"{bed.namespace}/pvc-1/{ready['status']['id']}"}
    where = {"name": "gone", "namespace": bed.namespace, "uid": "0b0c9b4e-0000-4000-8000-000000000001"}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "csi": csi, "claimRef": where}
    await bed.make("PersistentVolume", "pvc-1", "v1", spec={**spec, "storageClassName": "never-was"})

    await bed.delete("StorageVolume", "pvc-1")

    await bed.gone("StorageVolume", "pvc-1")


# The namespace.


@pytest.mark.parametrize("root_key_too", [False, True])
async def test_everything_in_a_namespace_that_is_going_goes(bed: Bed, s3_server: Any, root_key_too: bool) -> None:
    """What the namespace controller does, in an order that suits us least: Secrets first. Nothing new can be made."""
    await shared(bed)
    await bed.make("StorageVolume", "own", spec={"type": "object"})
    await bed.phase("own", "READY")
    key = await bucket(bed)
    await bed.cluster._call("DELETE", f"/api/v1/namespaces/{bed.namespace}")
    with pytest.raises(MoorageError, match="being terminated"):
        await bed.make("Secret", "late", "v1")

    order = (("v1", "Secret"), (RBAC, "Role"), ("v1", "PersistentVolumeClaim"), (names.API_VERSION, "Bucket"))
    for api, kind in (*order, (names.API_VERSION, "StorageVolume")):
        for each in await bed.cluster.list(api, kind, bed.namespace):
            if root_key_too or each["metadata"]["name"] != "root":
                await bed.delete(kind, each["metadata"]["name"], api)

    for kind, name in (("StorageVolume", "data"), ("StorageVolume", "own"), ("Bucket", "own"), ("Bucket", "models")):
        await bed.gone(kind, name)
    assert has_data(key, s3_server) == root_key_too


async def test_what_waits_in_a_namespace_that_is_going_does_not_stop_others(bed: Bed) -> None:
    bed.trouble = AWAY
    await bed.condition("shared", "Ready", "False", "StorageBackend")
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "1Gi"})
    await bed.phase("data", "PENDING")
    await bed.cluster._call("DELETE", f"/api/v1/namespaces/{bed.namespace}")
    bed.trouble = None

    async def refused() -> bool:
        """Its claim cannot be made any more."""
        found = await bed.get("StorageVolume", "data")
        return "terminat" in condition(found, "Ready").get("message", "")

    await until(refused, lambda: bed._story("StorageVolume", "data", "refused"))
    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")


# Objects that were torn away.


async def test_a_volume_that_was_torn_away_leaves_no_claim_on_its_name(bed: Bed) -> None:
    await shared(bed)
    await tear(bed, "StorageVolume", "data")
    claim = await bed.cluster.get(Reference("v1", "PersistentVolumeClaim", "data", bed.namespace))
    assert claim
    await bed.delete("PersistentVolumeClaim", "data", "v1")  # the garbage collector does this: it has an owner

    fresh = await shared(bed)

    assert fresh["status"]["claimName"] == "data"
