"""Plans of snapshots: what is waited for, what fails, where it goes, and how it goes away."""

from dataclasses import replace
from typing import Any

import pytest

from moorage import names, snapshotplan, snapshotrelease
from moorage.actions import Hold, Plan
from moorage.berth import Room
from moorage.model import Phase, StorageBackend, StorageSnapshot, StorageSnapshotStatus, StorageVolume
from moorage.snapshotfacts import SnapshotFacts

UID = "0b0c9b4e-0000-4000-8000-000000000009"
ID = names.short_id(UID)
NOW = "2026-01-01T00:00:00Z"
PLACED = {"backend": "shared", "engine": "ganesha", "server": "nfs-0"}
SHARE = {"state": "Served", "server": "nfs-0", "sizeBytes": 5 * 2**30}
IMAGE = {"state": "Ready", "server": "nfs-0", "sizeBytes": 5 * 2**30, "taken": NOW}


def backend(ready: str = "True", clones: bool = True, **metadata: Any) -> StorageBackend:
    condition = {"type": "Ready", "status": ready, "reason": "x", "message": "no route", "lastTransitionTime": NOW}
    engine = {"ganesha": {"namespace": "moorage", "statefulSet": "nfs"}}
    status = {"conditions": [condition], "servers": [{"name": "nfs-0", "freeBytes": 1, "clones": clones}]}
    body = {"metadata": {"name": "shared", **metadata}, "spec": {"engine": engine}, "status": status}
    return StorageBackend.model_validate(body)


def volume(type: str = "shared", deleting: bool = False, **status: Any) -> StorageVolume:
    metadata = {"name": "data", "namespace": "ns"} | ({"deletionTimestamp": NOW} if deleting else {})
    whole = {"id": "aaaabbbb", "placement": PLACED, "share": SHARE, **status}
    return StorageVolume.model_validate(
        {"metadata": metadata, "spec": {"type": type, "size": "5Gi"}, "status": {k: v for k, v in whole.items() if v}}
    )


def snapshot(deleting: bool = False, held: bool = True, **status: Any) -> StorageSnapshot:
    metadata: dict[str, Any] = {"name": "monday", "namespace": "ns", "uid": UID, "generation": 1}
    metadata |= {"finalizers": [names.FINALIZER]} if held else {}
    metadata |= {"deletionTimestamp": NOW} if deleting else {}
    return StorageSnapshot.model_validate({"metadata": metadata, "spec": {"volume": "data"}, "status": status})


def facts(found: StorageSnapshot, **more: Any) -> SnapshotFacts:
    return SnapshotFacts(found, NOW, **{"backends": (backend(),), "volume": volume(), **more})


def seen(step: Plan[StorageSnapshotStatus]) -> tuple[Phase | None, str]:
    return step.status.phase, next(each.reason for each in step.status.conditions if each.type == "Provisioned")


def test_a_new_snapshot_is_held_and_goes_where_its_volume_is() -> None:
    step = snapshotplan.plan(facts(snapshot(held=False)))

    assert step.actions == (Hold(),)
    assert seen(step) == (Phase.PROVISIONING, "SnapshotCreating")
    assert step.status.placement and step.status.placement.dump() == PLACED
    assert (step.status.id, step.status.volume_id) == (ID, "aaaabbbb")


WAITS = {
    "no volume": ({"volume": None}, Phase.PENDING, "VolumeNotFound"),
    "a volume without a place": ({"volume": volume(placement=None, share=None)}, Phase.PENDING, "VolumeNotReady"),
    "a volume in the making": ({"volume": volume(share=None)}, Phase.PENDING, "VolumeNotReady"),
    "a share of another server": (
        {"volume": volume(share={**SHARE, "server": "nfs-1"})},
        Phase.PENDING,
        "VolumeNotReady",
    ),
    "a volume that goes": ({"volume": volume(deleting=True)}, Phase.PENDING, "VolumeNotReady"),
    "a bucket": ({"volume": volume("object", placement=None, share=None)}, Phase.FAILED, "ClonesNotOffered"),
    "a local volume": ({"volume": volume("local")}, Phase.FAILED, "ClonesNotOffered"),
    "a filer": ({"volume": volume(placement={**PLACED, "engine": "nfs"})}, Phase.FAILED, "ClonesNotOffered"),
    "no reflink": ({"backends": (backend(clones=False),)}, Phase.FAILED, "ClonesNotOffered"),
    "a sick backend": ({"backends": (backend("False"),)}, Phase.PENDING, "BackendNotReady"),
    "no backend": ({"backends": ()}, Phase.PENDING, "BackendNotFound"),
    "a silent server": ({"room": Room(silent={"shared": {"nfs-0": "refused"}})}, Phase.PENDING, "ServerNotReady"),
}


@pytest.mark.parametrize(("more", "phase", "reason"), WAITS.values(), ids=WAITS.keys())
def test_what_cannot_be_taken_says_why(more: dict[str, Any], phase: Phase, reason: str) -> None:
    step = snapshotplan.plan(facts(snapshot(), **more))

    assert seen(step) == (phase, reason)
    assert [each.reason for each in step.notices] == [reason]
    assert step.status.placement is None


def test_a_taken_snapshot_is_ready_even_when_its_volume_is_gone() -> None:
    step = snapshotplan.plan(facts(snapshot(placement=PLACED, image=IMAGE), volume=None))

    assert seen(step) == (Phase.READY, "Provisioned")
    assert step.status.size == "5Gi"


def test_a_ready_snapshot_is_converged() -> None:
    first = snapshotplan.plan(facts(snapshot(placement=PLACED, image=IMAGE)))

    again = snapshotplan.plan(facts(snapshot(**first.status.dump())))

    assert (again.actions, again.notices, again.status) == ((), (), first.status)


def test_what_the_agent_cannot_do_is_the_reason() -> None:
    image = {**IMAGE, "state": "Failed", "reason": "NoCapacity", "message": "the pool is full"}

    assert seen(snapshotplan.plan(facts(snapshot(placement=PLACED, image=image)))) == (Phase.FAILED, "NoCapacity")


def test_an_image_of_another_server_is_not_ours() -> None:
    step = snapshotplan.plan(facts(snapshot(placement=PLACED, image={**IMAGE, "server": "nfs-1"})))

    assert seen(step) == (Phase.PROVISIONING, "SnapshotCreating")


# Deletion.


def leaving(**status: Any) -> StorageSnapshot:
    return snapshot(deleting=True, **{"placement": PLACED, "image": IMAGE, "phase": "DESTROYING", **status})


def test_destroying_is_written_before_anything_goes() -> None:
    step = snapshotrelease.release(facts(snapshot(deleting=True, placement=PLACED, image=IMAGE, phase="READY")))

    assert (step.status.phase, step.status.release, step.finish) == (Phase.DESTROYING, False, False)
    assert step.requeue_after == 0


def test_volumes_that_begin_with_it_hold_it_and_are_named() -> None:
    step = snapshotrelease.release(facts(leaving(), holders=("StorageVolume ns/copy (being cloned)",)))

    blocked = next(each for each in step.status.conditions if each.type == "DeletionBlocked")
    assert (step.status.release, blocked.status) == (False, "True")
    assert "StorageVolume ns/copy (being cloned)" in blocked.message
    assert [each.reason for each in step.notices] == ["Destroying", "DeletionBlocked"]


def test_then_the_agent_is_told_and_waited_for() -> None:
    told = snapshotrelease.release(facts(leaving()))
    waiting = snapshotrelease.release(facts(leaving(release=True)))
    done = snapshotrelease.release(facts(leaving(release=True, image={**IMAGE, "state": "Released"})))

    assert (told.status.release, told.finish) == (True, False)
    assert (waiting.status.phase, waiting.finish) == (Phase.DESTROYING, False)
    assert (done.status.phase, done.finish) == (Phase.DESTROYED, True)
    assert done.notices[-1].message == "the snapshot and its data are gone"


ENDS = {
    "never placed": ({"placement": None, "image": None}, {}, "it was never taken"),
    "its backend is gone": ({}, {"backends": ()}, "the snapshot is gone; its data stays where it is"),
    "its backend goes and is mute": (
        {},
        {"backends": (backend("False", deletionTimestamp=NOW),)},
        "the snapshot is gone; its data stays where it is",
    ),
}


@pytest.mark.parametrize(("status", "more", "message"), ENDS.values(), ids=ENDS.keys())
def test_it_ends_without_an_agent(status: dict[str, Any], more: dict[str, Any], message: str) -> None:
    step = snapshotrelease.release(facts(leaving(release=True, **status), **more))

    assert (step.finish, step.notices[-1].message) == (True, message)


def test_a_destroyed_one_only_lets_go() -> None:
    world = facts(leaving(release=True, phase="DESTROYED"))

    assert snapshotrelease.release(world) == Plan(world.snapshot.status, finish=True)
    assert not snapshotrelease.release(replace(world, snapshot=snapshot(deleting=True, held=False))).finish
