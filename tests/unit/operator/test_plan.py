"""Plans of volumes: the waiting, the failing, the ready and the leaving, as values."""

from typing import Any

import pytest

from moorage import names, plan, release
from moorage.actions import Action, Apply, Create, Delete, Hold
from moorage.facts import VolumeFacts
from moorage.model import Bucket, Phase, SecretRef, StorageBackend, StorageVolume

UID = "0b0c9b4e-0000-4000-8000-000000000002"
ID = names.short_id(UID)
NOW = "2026-01-01T00:00:00Z"
PLACED = {"backend": "shared", "engine": "ganesha", "server": "moorage-nfs-0"}
SERVED = {
    **{"state": "Served", "server": "moorage-nfs-0", "address": "nfs", "path": f"/vol/{ID}", "sizeBytes": 5 * 2**30},
    "exportId": 3,
}


def backend(name: str = "shared", ready: str = "True", default: bool = True, **metadata: Any) -> StorageBackend:
    condition = {"type": "Ready", "status": ready, "reason": "x", "message": "no route", "lastTransitionTime": NOW}
    engine = {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}}
    return StorageBackend.model_validate(
        {
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2026", **metadata},
            "spec": {"default": default, "engine": engine},
            "status": {"conditions": [condition], "servers": [{"name": "moorage-nfs-0", "freeBytes": 2**40}]},
        }
    )


def volume(
    status: dict[str, Any] | None = None, deleting: bool = False, held: bool = True, **spec: Any
) -> StorageVolume:
    metadata: dict[str, Any] = {"name": "data", "namespace": "ns", "uid": UID, "generation": 1}
    metadata |= {"finalizers": [names.FINALIZER]} if held else {}
    metadata |= {"deletionTimestamp": NOW} if deleting else {}
    wanted = {"type": "shared", "size": "5Gi", **spec}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    return StorageVolume.model_validate({"metadata": metadata, "spec": wanted, "status": status or {}})


def facts(found: StorageVolume, **more: Any) -> VolumeFacts:
    return VolumeFacts(found, NOW, **{"backends": (backend(),), **more})


def manifests_of(actions: tuple[Action, ...]) -> dict[str, dict[str, Any]]:
    return {each.reference.kind: each.manifest for each in actions if isinstance(each, Apply | Create)}


def ready() -> VolumeFacts:
    """A READY shared volume with its claim and PersistentVolume."""
    step = plan.plan(facts(volume({"placement": PLACED, "share": SERVED})))
    made = manifests_of(step.actions)
    claim = made["PersistentVolumeClaim"]
    claim["metadata"]["uid"] = "c1"
    bound = made["PersistentVolume"]
    bound["spec"]["claimRef"]["uid"] = "c1"
    return facts(volume(step.status.dump()), claim=claim, persistent_volume=bound)


def reason(status: Any, type: str = "Provisioned") -> str:
    return next(each.reason for each in status.conditions if each.type == type)


def test_a_new_volume_is_held_and_placed_on_the_default_backend() -> None:
    step = plan.plan(facts(volume(held=False)))

    assert step.actions == (Hold(),)
    assert step.status.phase == Phase.PROVISIONING
    assert step.status.placement
    assert step.status.placement.dump() == PLACED
    assert step.status.id == ID


@pytest.mark.parametrize(
    ("backends", "named", "expected"),
    [
        ((), None, "NoBackend"),
        ((backend(default=False),), None, "NoBackend"),
        ((backend(),), "other", "BackendNotFound"),
        ((backend(ready="False"),), None, "BackendNotReady"),
        ((backend(deletionTimestamp=NOW),), "shared", "BackendNotFound"),
    ],
)
def test_without_a_place_it_waits_and_says_why(backends: Any, named: str | None, expected: str) -> None:
    step = plan.plan(facts(volume(backend=named), backends=backends))

    assert (step.status.phase, reason(step.status)) == (Phase.PENDING, expected)
    assert [each.reason for each in step.notices] == [expected]
    assert step.status.placement is None


def test_the_oldest_of_two_defaults_is_taken() -> None:
    younger, older = backend("younger", creationTimestamp="2027"), backend("older", creationTimestamp="2025")

    step = plan.plan(facts(volume(), backends=(younger, older)))

    assert step.status.placement
    assert step.status.placement.backend == "older"


def test_a_share_of_another_server_is_not_ours() -> None:
    step = plan.plan(facts(volume({"placement": PLACED, "share": {**SERVED, "server": "moorage-nfs-1"}})))

    assert step.status.phase == Phase.PROVISIONING
    assert step.actions == ()


def test_a_share_that_cannot_be_made_is_the_reason() -> None:
    share = {"state": "Failed", "server": "moorage-nfs-0", "reason": "NoCapacity", "message": "the pool is full"}

    step = plan.plan(facts(volume({"placement": PLACED, "share": share})))

    assert (step.status.phase, reason(step.status)) == (Phase.FAILED, "NoCapacity")
    assert [(each.reason, each.warning) for each in step.notices] == [("NoCapacity", True)]


def test_a_served_share_becomes_a_claim_with_the_whole_mount_plan() -> None:
    step = plan.plan(facts(volume({"placement": PLACED, "share": SERVED})))

    made = manifests_of(step.actions)
    csi = made["PersistentVolume"]["spec"]["csi"]
    assert step.status.phase == Phase.READY
    assert csi["volumeHandle"] == f"ns/data/{ID}"
    assert csi["volumeAttributes"] == step.status.attributes
    assert made["PersistentVolume"]["spec"]["capacity"] == {"storage": "5Gi"}
    assert made["PersistentVolumeClaim"]["spec"]["volumeName"] == f"moorage-{ID}"


def test_a_converged_volume_plans_nothing() -> None:
    world = ready()

    step = plan.plan(world)

    assert (step.actions, step.notices, step.requeue_after) == ((), (), None)
    assert step.status == world.volume.status


def test_a_decimal_size_is_the_same_size() -> None:
    world = ready()
    share = {**SERVED, "sizeBytes": 5 * 10**9}
    status = {**world.volume.status.dump(), "share": share}
    seen = world.persistent_volume
    assert seen
    seen["spec"]["capacity"]["storage"] = "5G"

    step = plan.plan(facts(volume(status, size="5G"), claim=world.claim, persistent_volume=seen))

    assert step.actions == ()
    assert step.status.capacity == "5000000000"


def test_growth_is_shown_while_it_lasts() -> None:
    world = ready()
    grown = volume(world.volume.status.dump(), size="9Gi")

    step = plan.plan(facts(grown, claim=world.claim, persistent_volume=world.persistent_volume))

    assert step.status.phase == Phase.READY
    assert reason(step.status, "Resized") == "Resizing"
    assert step.status.capacity == "5Gi"


def test_growth_that_fails_leaves_the_volume_usable() -> None:
    world = ready()
    share = {**SERVED, "reason": "NoCapacity", "message": "the pool is full"}
    grown = volume({**world.volume.status.dump(), "share": share}, size="9Gi")

    step = plan.plan(facts(grown, claim=world.claim, persistent_volume=world.persistent_volume))

    assert step.status.phase == Phase.READY
    assert reason(step.status, "Resized") == "NoCapacity"
    assert [(each.reason, each.warning) for each in step.notices] == [("NoCapacity", True)]


def test_a_claim_made_again_is_bound_again() -> None:
    world = ready()
    assert world.claim
    again = {**world.claim, "metadata": {**world.claim["metadata"], "uid": "c2"}}

    step = plan.plan(facts(world.volume, claim=again, persistent_volume=world.persistent_volume))

    assert manifests_of(step.actions)["PersistentVolume"]["spec"]["claimRef"]["uid"] == "c2"


def test_a_claim_of_somebody_else_is_left_alone() -> None:
    foreign = {"metadata": {"name": "data", "namespace": "ns"}, "spec": {}}

    step = plan.plan(facts(volume({"placement": PLACED, "share": SERVED}), claim=foreign))

    assert step.actions == ()
    assert (step.status.phase, reason(step.status)) == (Phase.FAILED, "ClaimConflict")


# Object volumes.


def bucket(phase: str | None = "READY", owner: str = "", **metadata: Any) -> Bucket:
    ready = "True" if phase in ("READY", "ATTACHING", "DETACHING") else "False"
    condition = {"type": "Ready", "status": ready, "reason": "x", "lastTransitionTime": NOW}
    status = {
        **{
            "conditions": [condition],
            "phase": phase,
            "placement": {"backend": "object", "engine": "s3"},
            "endpoint": "http://s3:7070",
        },
        **{"region": "us-east-1", "bucketName": "models-x", "secretName": "models-s3"},
    }
    labels = {names.LABEL_VOLUME_UID: owner} if owner else {}
    meta = {"name": "models", "namespace": "ns", "uid": "b", "labels": labels, **metadata}
    return Bucket.model_validate({"metadata": meta, "spec": {}, "status": status})


def object_volume(**status: Any) -> StorageVolume:
    return volume(status, type="object", size=None, bucket={"name": "models", "prefix": "p/"})


@pytest.mark.parametrize(
    ("shown", "phase", "expected"),
    [
        (None, Phase.PENDING, "BucketNotFound"),
        (bucket("PENDING"), Phase.PENDING, "BucketPending"),
        (bucket(None), Phase.PROVISIONING, "BucketNotReady"),
        (bucket("PROVISIONING"), Phase.PROVISIONING, "BucketNotReady"),
        (bucket("FAILED"), Phase.FAILED, "BucketFailed"),
        (bucket(deletionTimestamp=NOW), Phase.PENDING, "BucketDestroying"),
    ],
)
def test_an_object_volume_waits_for_its_bucket(shown: Bucket | None, phase: Phase, expected: str) -> None:
    step = plan.plan(facts(object_volume(), bucket=shown))

    assert (step.status.phase, reason(step.status)) == (phase, expected)
    assert step.actions == ()


def test_an_object_volume_is_mounted_with_the_buckets_secret() -> None:
    step = plan.plan(facts(object_volume(), bucket=bucket()))

    made = manifests_of(step.actions)
    assert step.status.secret_ref == SecretRef(name="models-s3", namespace="ns")
    assert made["PersistentVolume"]["spec"]["csi"]["nodeStageSecretRef"] == {"name": "models-s3", "namespace": "ns"}
    assert made["PersistentVolume"]["spec"]["csi"]["volumeAttributes"]["prefix"] == "p/"
    assert set(made) == {"PersistentVolume", "PersistentVolumeClaim"}


def test_a_volume_without_bucket_makes_one_and_never_takes_one() -> None:
    mine = volume(type="object", size=None)

    absent = plan.plan(facts(mine))
    foreign = plan.plan(facts(mine, bucket=bucket()))
    own = plan.plan(facts(mine, bucket=bucket(owner=UID)))

    assert [type(each) for each in absent.actions] == [Create]
    assert reason(foreign.status) == "BucketConflict"
    assert own.status.phase == Phase.READY


# Deletion.


def leaving(world: VolumeFacts, **more: Any) -> VolumeFacts:
    return facts(volume(world.volume.status.dump(), deleting=True), **more)


def test_destroying_is_written_before_anybody_is_asked() -> None:
    step = release.release(leaving(ready(), holders=()))

    assert (step.status.phase, step.actions, step.requeue_after) == (Phase.DESTROYING, (), 0)
    assert step.status.release is None


def test_holders_are_named_and_nothing_is_touched() -> None:
    world = ready()
    first = release.release(leaving(world))
    holders = tuple(f"pod ns/p{number:02}" for number in range(12))

    step = release.release(facts(volume(first.status.dump(), deleting=True), claim=world.claim, holders=holders))

    blocked = next(each for each in step.status.conditions if each.type == "DeletionBlocked")
    assert step.actions == ()
    assert blocked.status == "True"
    assert "pod ns/p00" in blocked.message
    assert "and 2 more" in blocked.message


def test_claim_and_persistent_volume_go_before_the_data() -> None:
    world = ready()
    status = release.release(leaving(world)).status.dump()
    deleting = volume(status, deleting=True)

    standing = release.release(facts(deleting, claim=world.claim, persistent_volume=world.persistent_volume))
    empty = release.release(facts(deleting))

    assert [each.reference.kind for each in standing.actions if isinstance(each, Delete)] == [
        *("PersistentVolumeClaim", "PersistentVolume")
    ]
    assert standing.status.release is None
    assert empty.status.release == "Delete"


def test_the_object_goes_when_the_agent_has_answered() -> None:
    status = {**ready().volume.status.dump(), "phase": "DESTROYING", "release": "Delete"}

    waiting = release.release(facts(volume(status, deleting=True)))
    answered = release.release(facts(volume({**status, "share": {**SERVED, "state": "Released"}}, deleting=True)))

    assert (waiting.finish, waiting.status.phase) == (False, Phase.DESTROYING)
    assert (answered.finish, answered.status.phase) == (True, Phase.DESTROYED)
    assert [each.reason for each in answered.notices] == ["Destroyed"]


def test_without_its_backend_the_object_goes_and_says_that_data_remains() -> None:
    status = {**ready().volume.status.dump(), "phase": "DESTROYING", "release": "Delete"}

    step = release.release(facts(volume(status, deleting=True), backends=()))

    assert step.finish
    assert [(each.reason, each.warning) for each in step.notices] == [("DataRemains", True), ("Destroyed", False)]


def test_what_was_never_placed_goes_at_once() -> None:
    step = release.release(facts(volume({"phase": "DESTROYING", "release": "Delete"}, deleting=True)))

    assert step.finish
