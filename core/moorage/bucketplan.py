"""What to do about a Bucket: a bucket in the engine, a user that can use it and nothing else, a Secret with the key.

The Secret is the truth about the secret half of the key and is written first; the engine's user is made to match, again
and again. The access key itself comes from the Bucket's uid and never from the Secret: somebody who may write Secrets
could otherwise name another tenant's key there and have its secret changed.
"""

from dataclasses import replace

from moorage import (
    berth,
    bucketlock,
    bucketusage,
    bucketwish,
    conditions,
    engines,
    features,
    keysenforced,
    manifests,
    names,
    ownkey,
    placement,
    s3secret,
    transit,
    transitions,
)
from moorage.actions import (
    Action,
    Apply,
    Hold,
    MakeBucket,
    Notice,
    Plan,
    Problem,
)
from moorage.bucketadoption import Found, refusal
from moorage.bucketfacts import BucketFacts
from moorage.bucketwish import Wish
from moorage.conditions import CONFIGURED, PROVISIONED, Verdict, lifecycle, no, yes
from moorage.model import Bucket, BucketDrift, BucketStatus, Phase, Placement, S3Engine

RECHECK = 15.0  # seconds; a watch event normally comes first
DRIFT_MAX = 900  # characters; an Event takes 1,000 bytes


def plan(facts: BucketFacts) -> Plan[BucketStatus]:
    """The next step towards a READY bucket; a converged world gives no action and the status that is there."""
    status, spec = facts.bucket.status, facts.bucket.spec
    hold = () if names.FINALIZER in facts.bucket.metadata.get("finalizers", ()) else (Hold(),)
    if status.placement is None:
        placed = placement.place(berth.Asked((engines.S3,), spec.backend, region=spec.region), facts.backends)
        if isinstance(placed, Problem):
            phase = Phase.FAILED if placed.reason in placement.REFUSED else Phase.PENDING
            return _waiting(facts, phase, placed, hold)
        # Written before anything is made: whoever deletes the Bucket after a crash must know where to look.
        return _begun(facts, placed, hold)
    engine = facts.backend.spec.engine.s3 if facts.backend else None
    trouble = trouble_of(facts)
    if engine is None or (trouble and not is_settled(facts.bucket)):
        return _waiting(facts, Phase.PENDING, trouble or _gone(status.placement), hold)
    lacking = bucketwish.refused(spec, status.placement.backend, engine)
    refused = secret_conflict(facts) or (None if conditions.is_true(status.conditions, PROVISIONED) else lacking)
    if refused:
        return _waiting(facts, Phase.FAILED, refused, hold)
    if not facts.is_ours and (waiting := _not_adopted(facts, status.placement)):
        return _waiting(facts, *waiting, hold)
    return _made(facts, engine, hold, trouble, lacking)


def _begun(facts: BucketFacts, placed: Placement, hold: tuple[Action, ...]) -> Plan[BucketStatus]:
    # The name of a bucket that is to be adopted is written when it is ours: a deletion must not take another's.
    name = facts.engine_bucket if facts.is_ours else None
    status = facts.bucket.status.model_copy(update={"placement": placed, "bucket_name": name})
    message = f"bucket {facts.engine_bucket} and its key are being made"
    verdicts = (no(PROVISIONED, "BucketCreating", message), lifecycle(Phase.PROVISIONING, message))
    return settle(facts, status, verdicts, hold, 0)


def _not_adopted(facts: BucketFacts, placed: Placement) -> tuple[Phase, Problem] | None:
    """Why the bucket cannot be adopted now; None when it can."""
    if not isinstance(facts.found, Found):
        asking = Problem("Adopting", f"bucket {facts.engine_bucket} is asked whose it is")
        return Phase.PROVISIONING, facts.found or asking
    refused = refusal(facts.engine_bucket, placed.backend, facts.bucket.metadata["namespace"], facts.found)
    return (Phase.FAILED, refused) if refused else None


def _waiting(facts: BucketFacts, phase: Phase, problem: Problem, actions: tuple[Action, ...]) -> Plan[BucketStatus]:
    verdicts = (no(PROVISIONED, problem.reason, problem.message), lifecycle(phase, problem.message))
    return settle(facts, facts.bucket.status, verdicts, actions, RECHECK)


def _made(
    facts: BucketFacts, engine: S3Engine, hold: tuple[Action, ...], trouble: Problem | None, lacking: Problem | None
) -> Plan[BucketStatus]:
    wanted = bucketwish.wish(facts.bucket.spec, facts.bucket.status, engine, facts.owner, facts.look)
    drifted = bucketwish.drift(wanted, facts.look) if facts.look else ()
    settled = is_settled(facts.bucket)
    turn = ownkey.turn(facts, engine, settled) if not (trouble or drifted) else ownkey.waiting(facts, not trouble)
    status = _as_wanted(facts, engine, wanted).model_copy(update={"key": turn.state})
    healthy = (
        no(conditions.HEALTHY, trouble.reason, trouble.message) if trouble else yes(conditions.HEALTHY, "BackendReady")
    )
    verdicts = (
        yes(PROVISIONED, "Provisioned"),
        transit.ready(facts.users, facts.attachments, f"Secret {status.secret_name} has its key"),
        _configured(lacking),
        healthy,
        *bucketlock.enforced(facts, engine, wanted.settings.lock),
        *keysenforced.enforced(engine),
    )
    made = turn.actions or _make(facts, engine, wanted, bool(drifted))
    actions = (*hold, *made, *_reader(facts))
    told = turn.told
    if drifted and _configured_before(facts):
        what = "; ".join(drifted)[:DRIFT_MAX]
        told += (Notice("Drifted", f"{facts.engine_bucket} was changed on the engine: {what}", warning=True),)
        status = status.model_copy(update={"drift": BucketDrift(at=facts.now, what=what)})
    step = settle(facts, status, verdicts, actions, turn.requeue_after)
    return replace(step, notices=(*told, *step.notices))


def _as_wanted(facts: BucketFacts, engine: S3Engine, wanted: Wish) -> BucketStatus:
    """The status of the bucket as it is when the plan is done."""
    before, lock = facts.bucket.status, wanted.settings.lock
    return before.model_copy(
        update={
            "bucket_name": facts.engine_bucket,
            "endpoint": engine.endpoint,
            "lacks": features.unasked(engine) or None,
            "region": engine.region,
            "secret_name": names.bucket_secret(facts.bucket.metadata["name"]),
            "versioning": _versioning(before, wanted.settings.versioning),
            "lock_mode": lock.mode if lock else None,
            "lock_days": lock.days if lock else None,
            "tag_keys": tuple(sorted(wanted.tags.keys() - facts.owner.tags.keys())),
            "set_fields": bucketwish.set_fields(facts.bucket.spec),
            **bucketusage.told(facts),
        }
    )


def _configured(lacking: Problem | None) -> Verdict:
    """Whether the bucket has all that the spec asks; what is missing stops no one who uses it."""
    return no(CONFIGURED, lacking.reason, lacking.message) if lacking else yes(CONFIGURED, "Configured")


def _configured_before(facts: BucketFacts) -> bool:
    """Whether it had all that this very spec asks: what differs now, somebody else has changed."""
    return is_settled(facts.bucket) and conditions.is_true(facts.bucket.status.conditions, CONFIGURED)


def _versioning(before: BucketStatus, on: bool) -> str | None:
    return "Enabled" if on else "Suspended" if before.versioning else None


def settle(
    facts: BucketFacts,
    status: BucketStatus,
    verdicts: tuple[Verdict, ...],
    actions: tuple[Action, ...],
    requeue_after: float | None,
) -> Plan[BucketStatus]:
    status = conclude(facts, status, verdicts)
    told = transitions.notices(facts.bucket.status.conditions, status.conditions)
    return Plan(status, actions, told, requeue_after)


def conclude(facts: BucketFacts, status: BucketStatus, verdicts: tuple[Verdict, ...]) -> BucketStatus:
    generation = facts.bucket.metadata.get("generation", 0)
    judged = (*verdicts, transit.attached(facts.users))
    update = conditions.outcome(facts.bucket.status, judged, generation, facts.now)
    return status.model_copy(update=update | {"id": facts.id, "attached": len(facts.users)})


# Making it.


def _make(facts: BucketFacts, engine: S3Engine, wanted: Wish, drifted: bool) -> tuple[Action, ...]:
    rotating = ownkey.has_previous(facts)  # its half is not the next one's
    given = facts.handed.secret if facts.handed else None if rotating else s3secret.secret_half(facts.secret)
    secret_key = given or facts.new_secret_key
    write = ownkey.secret(facts, engine, secret_key)
    if not write and is_settled(facts.bucket) and facts.key_works is not False and not drifted:
        return ()
    adopts = facts.found.owner if not facts.is_ours and isinstance(facts.found, Found) else None
    unseen = facts.look is None and facts.key_works is None and is_settled(facts.bucket)
    make = MakeBucket(
        engine,
        facts.engine_bucket,
        facts.access_key,
        secret_key,
        None if unseen else wanted.settings,  # what others may set there cannot be told from what is to go
        facts.owner,
        adopts,
        wanted.tags,
        wanted.dropped,
    )
    return (make, *write) if rotating else (*write, make)


def _reader(facts: BucketFacts) -> tuple[Action, ...]:
    """The node's account reads the Secret for inline volumes: nobody passes it there."""
    if facts.key_reader:
        return ()
    role, binding = manifests.key_reader(facts.bucket, facts.id, facts.node_account)
    return Apply(role), Apply(binding)


def is_settled(bucket: Bucket) -> bool:
    """Made, and made for the spec as it stands."""
    found = conditions.find(bucket.status.conditions, PROVISIONED)
    generation = bucket.metadata.get("generation", 0)
    return bool(found and found.status == "True" and found.observed_generation == generation)


def secret_conflict(facts: BucketFacts) -> Problem | None:
    if facts.secret is None or manifests.is_owned(facts.secret, names.LABEL_BUCKET_UID, facts.bucket.metadata["uid"]):
        return None
    name = facts.secret["metadata"]["name"]
    return Problem(
        "SecretConflict", f"Secret {name} exists and is not of this bucket: delete it, or name the bucket otherwise"
    )


def trouble_of(facts: BucketFacts) -> Problem | None:
    placed = facts.bucket.status.placement
    if placed is None:
        return None
    if facts.backend is None:
        return _gone(placed)
    if conditions.is_true(facts.backend.status.conditions, conditions.READY):
        return None
    return Problem("BackendNotReady", f"StorageBackend {placed.backend}: {placement.why_not_ready(facts.backend)}")


def _gone(placed: Placement) -> Problem:
    return Problem("BackendNotFound", f"StorageBackend {placed.backend} does not exist any more: create it again")
