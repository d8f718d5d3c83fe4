"""A Bucket that takes over a kept bucket: what it waits for, and what it never touches."""

from typing import Any

import pytest

from moorage import bucketplan, bucketrelease, names
from moorage.actions import Create, MakeBucket, Problem, RemoveBucket
from moorage.bucketadoption import Found
from moorage.bucketfacts import BucketFacts
from moorage.bucketowner import Owner
from moorage.model import Bucket, Phase, SecretRef, StorageBackend

UID = "0b0c9b4e-0000-4000-8000-000000000001"
KEPT, OLD = "models-7f3k9x2a", Owner("ns", "models", "uid-old")
PLACED: dict[str, Any] = {"phase": "PROVISIONING", "placement": {"backend": "object", "engine": "s3"}}


def backend(ready: str = "True", **metadata: str) -> StorageBackend:
    engine = {
        **{"endpoint": "http://s3:7070", "adminEndpoint": "http://s3:7071"},
        "credentialsSecret": {"name": "root", "namespace": "moorage"},
    }
    condition = {"type": "Ready", "status": ready, "reason": "x", "message": "away", "lastTransitionTime": "t"}
    body = {"metadata": {"name": "object", "uid": "b", **metadata}, "spec": {"default": True, "engine": {"s3": engine}}}
    return StorageBackend.model_validate({**body, "status": {"conditions": [condition]}})


def facts(found: Found | Problem | None, status: dict[str, Any] = PLACED, **more: Any) -> BucketFacts:
    metadata: dict[str, Any] = {"name": "again", "namespace": "ns", "uid": UID, "finalizers": [names.FINALIZER]}
    if more.pop("deleting", False):
        metadata["deletionTimestamp"], status = "t", {**status, "phase": "DESTROYING"}
    bucket = Bucket.model_validate({"metadata": metadata, "spec": {"adopt": KEPT}, "status": status})
    account = SecretRef(name="moorage-csi-node", namespace="moorage")
    return BucketFacts(bucket, "now", "s" * 40, account, **{"backends": (backend(),), **more}, found=found)


def test_the_name_is_not_written_before_the_bucket_is_ours() -> None:
    step = bucketplan.plan(facts(None, {}))

    assert (step.status.phase, step.status.bucket_name) == (Phase.PROVISIONING, None)


def test_a_kept_bucket_is_taken_from_the_owner_that_was_seen() -> None:
    step = bucketplan.plan(facts(Found(True, OLD)))

    (make,) = [each for each in step.actions if isinstance(each, MakeBucket)]
    assert (make.bucket, make.adopts, make.owner) == (KEPT, OLD, Owner("ns", "again", UID))
    assert (step.status.phase, step.status.bucket_name) == (Phase.READY, KEPT)


@pytest.mark.parametrize(
    ("found", "phase", "reason"),
    [
        (Found(False), Phase.FAILED, "AdoptNotFound"),
        (Found(True), Phase.FAILED, "AdoptForbidden"),
        (Found(True, Owner("others", "models", "uid-old")), Phase.FAILED, "AdoptForbidden"),
        (Found(True, OLD, lives=True), Phase.FAILED, "AdoptInUse"),
        (Problem("NotReady", "no answer"), Phase.PROVISIONING, "NotReady"),
        (None, Phase.PROVISIONING, "Adopting"),
    ],
)
def test_a_refused_adoption_makes_nothing_and_looks_again(
    found: Found | Problem | None, phase: Phase, reason: str
) -> None:
    step = bucketplan.plan(facts(found))

    assert not [each for each in step.actions if isinstance(each, MakeBucket | Create)]
    assert step.status.phase == phase
    assert reason in [each.reason for each in step.status.conditions]
    assert step.requeue_after


@pytest.mark.parametrize("found", [Found(False), Found(True, OLD), Found(True, OLD, lives=True), Found(True)])
def test_a_bucket_that_was_never_adopted_is_left_alone_by_the_deletion(found: Found) -> None:
    step = bucketrelease.release(facts(found, deleting=True))

    assert not [each for each in step.actions if isinstance(each, RemoveBucket)]
    assert step.finish
    assert f"bucket {KEPT} was not adopted, and stays as it was" in [each.message for each in step.notices]


def test_a_bucket_that_was_adopted_just_before_a_crash_is_destroyed_by_the_deletion() -> None:
    step = bucketrelease.release(facts(Found(True, Owner("ns", "again", UID)), deleting=True))

    assert [type(each) for each in step.actions] == [RemoveBucket]


def test_a_deletion_waits_to_hear_whose_the_bucket_is() -> None:
    step = bucketrelease.release(facts(Problem("NotReady", "no answer"), deleting=True))

    assert (step.actions, step.finish) == ((), False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"backends": ()}, "StorageBackend object is gone"),
        ({"backends": (backend("False", deletionTimestamp="t"),)}, "is being deleted and does not answer"),
        ({"root_key": False}, "Secret moorage/root with the engine's root key is gone"),
    ],
)
def test_a_deletion_that_cannot_remove_the_objects_ends_and_says_so(more: dict[str, Any], words: str) -> None:
    step = bucketrelease.release(facts(None, {**PLACED, "bucketName": KEPT}, deleting=True, **more))

    told = {each.reason: each.message for each in step.notices}
    assert (step.actions, step.finish) == ((), True)
    assert words in told["DataRemains"]
    assert told["Destroyed"] == f"the Bucket is gone; {KEPT} and its objects stay where they are"
