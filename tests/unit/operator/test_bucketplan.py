import base64
from typing import Any

from moorage import bucketplan, bucketrelease, conditions, names
from moorage.actions import Apply, Create, Delete, Hold, MakeBucket, RemoveBucket
from moorage.bucketfacts import BucketFacts, access_key
from moorage.contents import Contents
from moorage.holders import PodState, Uses
from moorage.model import Bucket, Phase, SecretRef, StorageBackend
from moorage.stumble import stumbled

UID = "0b0c9b4e-0000-4000-8000-000000000001"
SECRET = "s" * 40
ACCOUNT = SecretRef(name="moorage-csi-node", namespace="moorage")
FIRST_STATUS: dict[str, Any] = {"phase": "PROVISIONING", "placement": {"backend": "object", "engine": "s3"}}


def backend(ready: str = "True") -> StorageBackend:
    engine = {
        **{"endpoint": "http://s3:7070", "adminEndpoint": "http://s3:7071"},
        "credentialsSecret": {"name": "root", "namespace": "moorage"},
    }
    condition = {"type": "Ready", "status": ready, "reason": "Ready", "lastTransitionTime": "t"}
    return StorageBackend.model_validate(
        {
            "metadata": {"name": "object", "uid": "b"},
            "spec": {"default": True, "engine": {"s3": engine}},
            "status": {"conditions": [condition]},
        }
    )


def bucket(status: dict[str, Any] | None = None, deleting: bool = False, held: bool = True, **spec: Any) -> Bucket:
    metadata: dict[str, Any] = {"name": "models", "namespace": "ns", "uid": UID, "generation": 1}
    metadata |= {"finalizers": [names.FINALIZER]} if held else {}
    metadata |= {"deletionTimestamp": "t"} if deleting else {}
    return Bucket.model_validate({"metadata": metadata, "spec": spec, "status": status or {}})


def facts(found: Bucket, **more: Any) -> BucketFacts:
    return BucketFacts(found, "2026-01-01T00:00:00Z", SECRET, ACCOUNT, **{"backends": (backend(),), **more})


def made() -> tuple[BucketFacts, dict[str, Any]]:
    """A bucket that was provisioned, and its Secret."""
    first = facts(bucket(FIRST_STATUS))
    step = bucketplan.plan(first)
    secret = next(each.manifest for each in step.actions if isinstance(each, Create))
    return facts(bucket(step.status.dump()), secret=secret, key_reader=True), secret


def test_the_place_is_written_before_anything_is_made() -> None:
    step = bucketplan.plan(facts(bucket(held=False)))

    assert step.actions == (Hold(),)
    assert step.status.phase == Phase.PROVISIONING
    assert step.status.placement
    assert step.status.placement.backend == "object"
    assert step.status.bucket_name == f"models-{names.short_id(UID)}"


def test_the_secret_comes_before_the_user() -> None:
    step = bucketplan.plan(facts(bucket(FIRST_STATUS)))

    assert [type(each) for each in step.actions] == [Create, MakeBucket, Apply, Apply]
    assert step.status.phase == Phase.READY
    assert step.status.secret_name == "models-s3"


def test_a_converged_bucket_plans_nothing() -> None:
    converged, _ = made()

    step = bucketplan.plan(converged)

    assert step.actions == ()
    assert step.status == converged.bucket.status
    assert step.notices == ()


def test_a_key_that_no_longer_works_is_made_to_work_with_the_same_secret() -> None:
    converged, secret = made()

    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True, key_works=False))

    (action,) = step.actions
    assert isinstance(action, MakeBucket)
    assert action.secret_key == SECRET


def test_a_changed_secret_key_is_taken_over() -> None:
    converged, secret = made()
    chosen = base64.b64encode(b"chosen-by-the-user-0001").decode()
    secret["data"] = {**secret["data"], names.SECRET_SECRET_ACCESS_KEY: chosen, names.SECRET_ENDPOINT: "ZXZpbA=="}

    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True))

    apply, make = step.actions
    assert isinstance(apply, Apply)
    assert isinstance(make, MakeBucket)
    assert make.secret_key == "chosen-by-the-user-0001"
    assert base64.b64decode(apply.manifest["data"][names.SECRET_ENDPOINT]) == b"http://s3:7070"


def test_another_tenants_access_key_in_the_secret_is_not_believed() -> None:
    converged, secret = made()
    victim = base64.b64encode(access_key("victim").encode()).decode()
    secret["data"] = {**secret["data"], names.SECRET_ACCESS_KEY_ID: victim}

    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True))

    apply, make = step.actions
    assert isinstance(apply, Apply)
    assert isinstance(make, MakeBucket)
    assert make.access_key == access_key(UID)


def test_no_secret_is_shown_by_a_repr() -> None:
    step = bucketplan.plan(facts(bucket(FIRST_STATUS)))

    assert SECRET not in repr(step)


def test_deletion_says_destroying_first_and_only_then_believes_that_nobody_holds_it() -> None:
    converged, secret = made()
    status = converged.bucket.status.dump()

    first = bucketrelease.release(facts(bucket(status, deleting=True), secret=secret))
    held = bucketrelease.release(
        facts(bucket(first.status.dump(), deleting=True), secret=secret, holders=("StorageVolume ns/v",))
    )
    gone = facts(bucket(held.status.dump(), deleting=True), secret=secret, contents=Contents())
    last = bucketrelease.release(gone)

    assert (first.actions, first.finish, first.status.phase) == ((), False, Phase.DESTROYING)
    assert (held.actions, held.finish) == ((), False)
    assert [type(each) for each in last.actions] == [RemoveBucket, Delete]
    assert (last.finish, last.status.phase) == (True, Phase.DESTROYED)


def test_retain_keeps_the_bucket_and_ends_the_key() -> None:
    converged, secret = made()
    status = {**converged.bucket.status.dump(), "phase": "DESTROYING"}

    step = bucketrelease.release(facts(bucket(status, deleting=True, onDelete="Retain"), secret=secret))

    removal = step.actions[0]
    assert isinstance(removal, RemoveBucket)
    assert removal.keep


def test_without_its_backend_a_deletion_ends_and_says_that_data_remains() -> None:
    converged, secret = made()
    status = {**converged.bucket.status.dump(), "phase": "DESTROYING"}

    step = bucketrelease.release(facts(bucket(status, deleting=True), secret=secret, backends=()))

    assert step.finish
    assert [each.reason for each in step.notices] == ["DataRemains", "Destroyed"]


def test_a_backend_that_is_away_stops_no_ready_bucket() -> None:
    converged, secret = made()

    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True, backends=(backend("False"),)))

    assert step.status.phase == Phase.READY
    assert {each.type: each.status for each in step.status.conditions}["Healthy"] == "False"


def test_an_engine_that_refuses_is_the_reason_in_the_status() -> None:
    from moorage.errors import Forbidden, NotReady

    status = bucket(FIRST_STATUS).status

    away = stumbled(status, {"generation": 1}, NotReady("it does not answer"), "t")
    refused = stumbled(status, {"generation": 1}, Forbidden("wrong root key"), "t")

    assert away.status.phase == Phase.PROVISIONING
    assert refused.status.phase == Phase.FAILED
    assert [(each.reason, each.message) for each in refused.notices] == [("Forbidden", "wrong root key")]


# Who uses it.


def test_the_role_of_a_bucket_is_made_with_it_and_when_it_is_missing() -> None:
    converged, secret = made()

    missing = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=False))

    role, binding = (each.manifest for each in missing.actions if isinstance(each, Apply))
    assert role["metadata"]["name"] == binding["metadata"]["name"] == f"moorage-{names.short_id(UID)}"
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["models-s3"], "verbs": ["get"]}
    ]
    assert binding["subjects"][0] == {"kind": "ServiceAccount", "name": "moorage-csi-node", "namespace": "moorage"}
    assert role["metadata"]["ownerReferences"][0]["uid"] == UID


def test_pods_on_their_way_show_in_the_bucket_and_leave_it_usable() -> None:
    converged, secret = made()
    users = {("ns", "p"): Uses(node="n1", state=PodState.waiting), ("ns", "q"): Uses(node="n2", state=PodState.running)}

    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True, users=users))

    assert (step.status.phase, step.status.attached) == (Phase.ATTACHING, 2)
    assert conditions.is_true(step.status.conditions, conditions.READY)
    assert conditions.message_of(step.status.conditions, conditions.ATTACHED) == "2 pods use it"
    assert [each.reason for each in step.notices] == ["Attaching"]


def test_a_pod_that_uses_it_inline_holds_its_deletion() -> None:
    converged, secret = made()
    status = {**converged.bucket.status.dump(), "phase": "DESTROYING"}

    step = bucketrelease.release(facts(bucket(status, deleting=True), secret=secret, holders=("pod ns/p",)))

    assert (step.actions, step.finish) == ((), False)
    assert "pod ns/p" in conditions.message_of(step.status.conditions, conditions.DELETION_BLOCKED)


def test_a_destroyed_bucket_is_only_let_go() -> None:
    """Destroyed is the last status: what comes after a crash touches no engine and tells nothing again."""
    converged, secret = made()
    status = {**converged.bucket.status.dump(), "phase": "DESTROYED"}

    step = bucketrelease.release(facts(bucket(status, deleting=True), secret=secret, backends=()))

    assert (step.actions, step.notices, step.finish) == ((), (), True)
