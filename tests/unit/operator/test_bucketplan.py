import base64
from typing import Any

from moorage import bucketplan, bucketrelease, conditions, names
from moorage.actions import Apply, Create, Delete, Hold, MakeBucket, Plan, Problem, RemoveBucket
from moorage.bucketfacts import BucketFacts, access_key
from moorage.bucketsettings import BucketSettings
from moorage.bucketwish import Look
from moorage.contents import Contents, Count
from moorage.holders import PodState, Uses
from moorage.model import Bucket, BucketStatus, Phase, SecretRef, StorageBackend
from moorage.stumble import stumbled
from moorage.transitions import mark

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


# Settings, drift and locks.


def seen(tags: dict[str, str] | None = None, access: bool = True, **settings: Any) -> Look:
    owned = {names.TAG_NAMESPACE: "ns", names.TAG_NAME: "models", names.TAG_UID: UID}
    return Look(BucketSettings(**settings), {**owned, **(tags or {})}, access)


def settled(**spec: Any) -> tuple[BucketFacts, dict[str, Any]]:
    """A bucket that was made as `spec` says, and its Secret."""
    step = bucketplan.plan(facts(bucket(FIRST_STATUS, **spec)))
    secret = next(each.manifest for each in step.actions if isinstance(each, Create))
    return facts(bucket(step.status.dump(), **spec), secret=secret, key_reader=True), secret


def test_a_change_on_the_engine_is_told_put_back_and_written_down() -> None:
    converged, secret = settled(versioning=True)

    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True, key_works=True, look=seen()))

    (make,) = step.actions
    assert isinstance(make, MakeBucket)
    assert make.settings == BucketSettings(versioning=True)
    assert [(each.reason, each.warning) for each in step.notices] == [("Drifted", True)]
    assert step.status.drift
    assert step.status.drift.what == "versioning was off and is on again"
    assert step.status.phase == Phase.READY


def test_the_next_drift_has_an_event_of_its_own() -> None:
    converged, secret = settled(versioning=True)
    step = bucketplan.plan(facts(converged.bucket, secret=secret, key_reader=True, look=seen()))

    assert mark(converged.bucket.status) != mark(step.status)


def test_what_a_new_spec_asks_is_no_drift() -> None:
    converged, secret = settled()
    changed = bucket(converged.bucket.status.dump(), versioning=True)
    changed.metadata["generation"] = 2

    step = bucketplan.plan(facts(changed, secret=secret, key_reader=True, look=seen()))

    assert [type(each) for each in step.actions] == [MakeBucket]
    assert step.notices == ()
    assert step.status.drift is None


def test_a_bucket_as_it_shall_be_plans_nothing_though_others_have_tags_there() -> None:
    converged, secret = settled(versioning=True)

    step = bucketplan.plan(
        facts(converged.bucket, secret=secret, key_reader=True, look=seen({"admin": "x"}, versioning=True))
    )

    assert (step.actions, step.notices, step.status) == ((), (), converged.bucket.status)


def test_what_the_engine_has_not_is_refused_before_anything_is_made() -> None:
    step = bucketplan.plan(facts(bucket(FIRST_STATUS, quota="1Gi")))

    assert step.actions == ()
    assert step.status.phase == Phase.FAILED
    assert [each.reason for each in step.notices] == ["NotOffered"]


def test_a_ready_bucket_that_asks_too_much_stays_ready_and_says_so() -> None:
    converged, secret = settled()
    status = converged.bucket.status.dump()

    step = bucketplan.plan(facts(bucket(status, quota="1Gi"), secret=secret, key_reader=True))

    assert step.status.phase == Phase.READY
    found = conditions.find(step.status.conditions, conditions.CONFIGURED)
    assert found
    assert (found.status, found.reason) == ("False", "NotOffered")


def test_a_region_that_no_backend_has_waits_for_one_and_a_wrong_backend_fails() -> None:
    nowhere = bucketplan.plan(facts(bucket(region="mars-1")))
    wrong = bucketplan.plan(facts(bucket(region="mars-1", backend="object")))

    assert nowhere.status.phase == Phase.PENDING
    assert wrong.status.phase == Phase.FAILED
    assert [each.reason for each in wrong.notices] == ["RegionMismatch"]


LOCKED: dict[str, Any] = {"versioning": True, "objectLock": {"mode": "Compliance", "days": 3}}


def enforced(count: Count | None, flavor: str = "versitygw", before: dict[str, Any] | None = None) -> tuple[str, str]:
    engine = backend()
    s3 = engine.spec.engine.s3
    assert s3
    spec = engine.spec.model_copy(
        update={"engine": engine.spec.engine.model_copy(update={"s3": s3.model_copy(update={"flavor": flavor})})}
    )
    status = {**FIRST_STATUS, "conditions": [before] if before else []}
    found = facts(bucket(status, **LOCKED), count=count, backends=(engine.model_copy(update={"spec": spec}),))
    told = conditions.find(bucketplan.plan(found).status.conditions, conditions.LOCK_ENFORCED)
    assert told
    return told.status, told.reason


def test_a_lock_is_enforced_when_every_version_bears_its_own_retention() -> None:
    whole = Count(2, 10, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    before = {"type": "ObjectLockEnforced", "status": "True", "reason": "Stamped", "lastTransitionTime": "t"}

    assert enforced(None) == ("False", "NotLookedAt")
    assert enforced(whole) == ("True", "Stamped")
    assert enforced(Count(2, 10, "t", unstamped=1)) == ("False", "StampingBehind")
    assert enforced(Count(2, 10, "t", unstamped=1, trouble="no answer")) == ("False", "StampingFailed")
    assert enforced(None, before=before) == ("True", "Stamped")  # of a walk before this process began
    assert enforced(None, "minio") == ("True", "StampedByEngine")


def test_a_bucket_without_a_lock_says_nothing_of_one() -> None:
    converged, _ = settled(versioning=True)

    assert conditions.find(converged.bucket.status.conditions, conditions.LOCK_ENFORCED) is None


# What is in it holds its deletion.


def going(contents: Contents | Problem | None, **spec: Any) -> Plan[BucketStatus]:
    converged, secret = settled()
    status = {**converged.bucket.status.dump(), "phase": "DESTROYING"}
    return bucketrelease.release(facts(bucket(status, deleting=True, **spec), secret=secret, contents=contents))


def blocked(step: Plan[BucketStatus]) -> tuple[str, str]:
    found = conditions.find(step.status.conditions, conditions.DELETION_BLOCKED)
    return (found.reason, found.message) if found and found.status == "True" else ("", "")


def test_an_empty_bucket_goes() -> None:
    assert going(Contents()).finish


def test_a_bucket_with_something_in_it_stays_and_says_what_to_do() -> None:
    step = going(Contents(2))

    reason, message = blocked(step)
    assert (step.actions, step.finish, reason) == ((), False, "NotEmpty")
    assert "(2 objects and versions)" in message
    assert "emptyOnDelete: true" in message
    assert step.notices[-1].reason == "DeletionBlocked"


def test_a_bucket_that_may_be_emptied_goes_with_what_is_in_it() -> None:
    step = going(Contents(2), emptyOnDelete=True)

    removal = step.actions[0]
    assert isinstance(removal, RemoveBucket)
    assert removal.empties


def test_locked_versions_hold_even_a_bucket_that_may_be_emptied() -> None:
    step = going(Contents(2, "2027-01-01T00:00:00Z", more=True), emptyOnDelete=True)

    reason, message = blocked(step)
    assert (step.finish, reason) == (False, "ObjectLocked")
    assert "locked until at least 2027-01-01T00:00:00Z" in message


def test_a_kept_bucket_is_not_looked_into() -> None:
    assert going(None, onDelete="Retain").finish


def test_nothing_is_destroyed_before_the_engine_has_said_what_is_in_it() -> None:
    unasked, silent = going(None), going(Problem("NotReady", "no answer"), emptyOnDelete=True)

    assert (unasked.actions, unasked.finish) == ((), False)
    assert (silent.actions, silent.finish) == ((), False)
    assert "no answer" in conditions.message_of(silent.status.conditions, conditions.READY)
