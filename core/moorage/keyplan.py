"""What to do about a BucketKey: a user of the engine that opens the named buckets and nothing else, and its Secret.

What will be made is written in the status first (`keyslots.step`): whoever revokes it after a crash knows what there
may be. Then the user, with a secret half that only this process knows; then the policies; a request with the key as
proof; then the Secret. Who reads the Secret never gets a key that does not work yet. A crash before the Secret makes
the next attempt give the user another half, which nobody had; a crash after it finds the half there.
"""

from moorage import (
    conditions,
    engines,
    features,
    keygrants,
    keyslots,
    manifests,
    names,
    placement,
    s3secret,
    transitions,
)
from moorage.actions import Action, Apply, Create, Delete, Hold, MakeKey, Notice, Plan, Problem, Reference, RemoveKey
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.features import Feature
from moorage.keyfacts import KeyFacts, bucket_names, grants
from moorage.model import BucketKeyStatus, OpenedBucket, Phase, Placement, S3Engine

RECHECK = 15.0  # seconds; a watch event normally comes first
LONGEST = 3600.0  # seconds
FATAL = frozenset({"SeveralBackends", "TooManyKeys", "NotOffered", "SecretConflict"})  # do not pass by themselves


def plan(facts: KeyFacts) -> Plan[BucketKeyStatus]:
    """The next step towards a READY key; a converged world gives no action and the status that is there."""
    hold: tuple[Action, ...] = () if names.FINALIZER in facts.key.metadata.get("finalizers", ()) else (Hold(),)
    end = keygrants.ended(facts.key, facts.now)
    if end:
        return _ending(facts, end, hold)
    conflict = secret_conflict(facts)
    opened, problem = facts.opened()
    trouble = conflict or trouble_of(facts)
    if facts.key.status.access_key_id is None:
        stop = _not_offered(facts) or problem or trouble
        return _waiting(facts, stop, hold) if stop else _begun(facts, hold)
    engine = facts.engine
    if trouble or engine is None:
        return _standing(facts, facts.key.status, trouble or problem, hold, RECHECK)
    return _kept(facts, engine, opened, problem, hold)


def _waiting(facts: KeyFacts, problem: Problem, hold: tuple[Action, ...]) -> Plan[BucketKeyStatus]:
    phase = Phase.FAILED if problem.reason in FATAL else Phase.PENDING
    verdicts = (no(conditions.PROVISIONED, problem.reason, problem.message), lifecycle(phase, problem.message))
    return settle(facts, facts.key.status, verdicts, hold, RECHECK)


def _begun(facts: KeyFacts, hold: tuple[Action, ...]) -> Plan[BucketKeyStatus]:
    """Written before anything is made."""
    placed = facts.key.status.placement or Placement(backend=facts.backend_name or "", engine=engines.S3)
    state = keyslots.begun(facts.key.status, facts.key.metadata["uid"], facts.key.spec)
    message = f"key {state.access_key_id} is being made"
    verdicts = (no(conditions.PROVISIONED, "KeyCreating", message), lifecycle(Phase.PROVISIONING, message))
    return settle(facts, state.model_copy(update={"placement": placed}), verdicts, hold, 0)


# A key that there is.


def _kept(
    facts: KeyFacts,
    engine: S3Engine,
    opened: tuple[OpenedBucket, ...],
    problem: Problem | None,
    hold: tuple[Action, ...],
) -> Plan[BucketKeyStatus]:
    status = facts.key.status
    late = keyslots.over(status, facts.now)
    if late:
        return _revoked_slot(facts, engine, late, hold)
    uid, lost = facts.key.metadata["uid"], _half(facts) is None and not keyslots.is_being_made(status)
    # Whoever has the key of a Secret that was removed goes on with it for the time of the overlap.
    afresh = lost and status.previous is None
    decided = (
        keyslots.begun(status, uid, facts.key.spec) if afresh else keyslots.step(status, uid, facts.key.spec, facts.now)
    )
    if decided != status:
        return _standing(facts, decided, problem, hold, 0)
    made = _make(facts, engine, opened)
    done = keyslots.issued(status, facts.key.spec, facts.now).model_copy(
        update={"buckets": opened, "endpoint": engine.endpoint, "secret_name": facts.secret_name}
    )
    again = RECHECK if problem else None
    told = _rotated(done) if keyslots.is_being_made(status) and done.previous else ()
    return _standing(facts, done, problem, (*hold, *made), again, told)


def _make(facts: KeyFacts, engine: S3Engine, opened: tuple[OpenedBucket, ...]) -> tuple[Action, ...]:
    status, half = facts.key.status, _half(facts)
    access, secret_key = status.access_key_id or "", half or facts.new_secret_key
    wanted = tuple(each.bucket for each in opened)
    data = s3secret.data(s3secret.KeyText(engine, wanted, access, secret_key, facts.ca))
    # With no bucket left, the Secret stays as it is: it is still the key of what may come back.
    stale = facts.secret is None or (bool(opened) and facts.secret.get("data") != data)
    manifest = manifests.key_secret(facts.key, facts.secret_name, data)
    write = (Create(manifest) if facts.secret is None else Apply(manifest),) if stale else ()
    if half and not keyslots.is_being_made(status) and facts.works is not False and status.buckets == opened:
        return write
    touched = bucket_names(opened, status.buckets)
    return (MakeKey(engine, access, secret_key, grants(opened), touched), *write)


def _revoked_slot(facts: KeyFacts, engine: S3Engine, late: str, hold: tuple[Action, ...]) -> Plan[BucketKeyStatus]:
    status = keyslots.without_previous(facts.key.status)
    remove = RemoveKey(engine, (late,), bucket_names(status.buckets))
    told = (Notice("KeyRevoked", f"key {late}, the one before {status.access_key_id}, does not work any more"),)
    return _standing(facts, status, facts.opened()[1], (*hold, remove), 0, told)


def _rotated(status: BucketKeyStatus) -> tuple[Notice, ...]:
    previous = status.previous
    until = f"; {previous.access_key_id} works until {previous.revoke_at}" if previous else ""
    return (Notice("KeyRotated", f"Secret {status.secret_name} has key {status.access_key_id}{until}"),)


def _standing(
    facts: KeyFacts,
    status: BucketKeyStatus,
    problem: Problem | None,
    actions: tuple[Action, ...],
    requeue_after: float | None,
    told: tuple[Notice, ...] = (),
) -> Plan[BucketKeyStatus]:
    """The key works as far as is known, or is about to. It is Ready as long as it opens anything."""
    healthy = no(conditions.HEALTHY, problem.reason, problem.message) if problem else yes(conditions.HEALTHY, "Works")
    first = status.issued_at is None and status.previous is None
    if first or not status.buckets:
        said = problem or Problem("KeyCreating", f"key {status.access_key_id} is being made")
        phase = Phase.PROVISIONING if first else Phase.FAILED if said.reason in FATAL else Phase.PENDING
        verdicts = (no(conditions.PROVISIONED, said.reason, said.message), lifecycle(phase, said.message), healthy)
    else:
        opens = lifecycle(Phase.READY, f"Secret {facts.secret_name} has the key")
        verdicts = (yes(conditions.PROVISIONED, "Provisioned"), opens, healthy)
    return settle(facts, status, verdicts, actions, requeue_after, told)


# The end of it.


def _ending(facts: KeyFacts, end: Problem, hold: tuple[Action, ...]) -> Plan[BucketKeyStatus]:
    """First it is said, then done: an engine that does not answer must not leave the key looking usable."""
    status = facts.key.status
    if keyslots.slots(status) and status.phase != Phase.DESTROYING:
        verdicts = (no(conditions.PROVISIONED, end.reason, end.message), lifecycle(Phase.DESTROYING, end.message))
        return settle(facts, status, verdicts, hold, 0)
    if keyslots.slots(status) and (facts.engine is None or not facts.root_key):
        missing = "is gone" if facts.engine is None else "has no root key (its Secret is gone)"
        text = f"{end.message}; it cannot be revoked: StorageBackend {facts.backend_name} {missing}, create it again"
        verdicts = (no(conditions.PROVISIONED, end.reason, text), lifecycle(Phase.DESTROYING, text))
        return settle(facts, status, verdicts, hold, RECHECK)
    actions, told = removal(facts), (Notice(end.reason, end.message),) if keyslots.slots(status) else ()
    after = keyslots.ended(status).model_copy(update={"buckets": (), "endpoint": None, "secret_name": None})
    verdicts = (no(conditions.PROVISIONED, end.reason, end.message), lifecycle(Phase.DESTROYED, end.message))
    return settle(facts, after, verdicts, (*hold, *actions), None, told)


def removal(facts: KeyFacts) -> tuple[Action, ...]:
    """All that there is of it goes: the engine's users first, so that it ends at once, then the Secret."""
    slots = keyslots.slots(facts.key.status)
    touched = bucket_names(facts.key.status.buckets)
    users = (RemoveKey(facts.engine, slots, touched),) if slots and facts.engine and facts.root_key else ()
    if facts.secret is None or secret_conflict(facts):
        return users
    return (*users, Delete(Reference("v1", "Secret", facts.secret_name, facts.key.metadata["namespace"])))


# In short.


def secret_conflict(facts: KeyFacts) -> Problem | None:
    if facts.secret is None or manifests.is_owned(facts.secret, names.LABEL_KEY_UID, facts.key.metadata["uid"]):
        return None
    text = f"Secret {facts.secret_name} exists and is not of this key"
    return Problem("SecretConflict", f"{text}: delete it, or make another BucketKey with another secretName")


def _not_offered(facts: KeyFacts) -> Problem | None:
    """An engine that makes no keys has none for anybody."""
    why = features.lacking(facts.engine, {Feature.keys}) if facts.engine else ""
    return Problem("NotOffered", f"StorageBackend {facts.backend_name}: {why}") if why else None


def trouble_of(facts: KeyFacts) -> Problem | None:
    """Why the engine cannot be asked for anything now."""
    if facts.backend_name is None:
        return None
    if facts.backend is None:
        return Problem("BackendNotFound", f"StorageBackend {facts.backend_name} does not exist any more")
    if conditions.is_true(facts.backend.status.conditions, conditions.READY):
        return None
    why = placement.why_not_ready(facts.backend)
    return Problem("BackendNotReady", f"StorageBackend {facts.backend_name}: {why}")


def _half(facts: KeyFacts) -> str | None:
    return s3secret.secret_key(facts.secret, facts.key.status.access_key_id or "")


def settle(
    facts: KeyFacts,
    status: BucketKeyStatus,
    verdicts: tuple[Verdict, ...],
    actions: tuple[Action, ...],
    requeue_after: float | None,
    told: tuple[Notice, ...] = (),
) -> Plan[BucketKeyStatus]:
    status = conclude(facts, status, verdicts)
    notices = (*transitions.notices(facts.key.status.conditions, status.conditions), *told)
    change = keyslots.next_change(status, facts.now, status.expires_at if keyslots.slots(status) else None)
    soonest = min(each for each in (requeue_after, change, LONGEST) if each is not None)
    asked = requeue_after is not None or change is not None
    return Plan(status, actions, notices, soonest if asked else None)


def conclude(facts: KeyFacts, status: BucketKeyStatus, verdicts: tuple[Verdict, ...]) -> BucketKeyStatus:
    generation = facts.key.metadata.get("generation", 0)
    update = conditions.outcome(facts.key.status, verdicts, generation, facts.now)
    return status.model_copy(update=update | {"id": facts.id, "expires_at": keygrants.expires_at(facts.key)})
