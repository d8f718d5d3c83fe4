"""The own key of a Bucket, the one in its Secret: it rotates as BucketKeys do, in two slots (`moorage.keyslots`).

The first key is made with the bucket. A Bucket from before keys rotated has it, and no slots in its status yet.
"""

from dataclasses import dataclass

from moorage import features, keyslots, manifests, s3secret
from moorage.actions import Action, Apply, Create, MakeKey, Notice, RemoveKey
from moorage.bucketfacts import BucketFacts
from moorage.bucketpolicy import Grant
from moorage.features import Feature
from moorage.model import KeyState, S3Engine

RECHECK = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of the slots, by which actions; `requeue_after` in seconds."""

    state: KeyState | None
    actions: tuple[Action, ...] = ()
    told: tuple[Notice, ...] = ()
    requeue_after: float | None = None


def is_turning(facts: BucketFacts) -> bool:
    """Whether a next key was decided on that the Secret does not have yet."""
    return keyslots.is_being_made(facts.key) and facts.key.previous is not None


def waiting(facts: BucketFacts, soon: bool) -> Turn:
    """Other things come first. `soon`: this plan does them; else a change of the backend brings the next look."""
    return Turn(facts.bucket.status.key, requeue_after=RECHECK if soon else None)


def has_previous(facts: BucketFacts) -> bool:
    """Whether the Secret still has the key before the current one."""
    previous = facts.key.previous
    return previous is not None and s3secret.secret_key(facts.secret, previous.access_key_id) is not None


def turn(facts: BucketFacts, engine: S3Engine, made: bool) -> Turn:
    """The next step of the key, on an engine that answers. Not `made`: the same plan makes bucket, key and Secret."""
    state, rotation = facts.key, facts.bucket.spec.key
    if Feature.keys not in features.features(engine):
        return Turn(facts.bucket.status.key)
    if not made:
        return Turn(keyslots.issued(state, rotation, facts.now), requeue_after=0 if state.previous else None)
    late = keyslots.over(state, facts.now)
    if late:
        return _revoked(facts, engine, late)
    decided = keyslots.step(state, facts.bucket.metadata["uid"], rotation, facts.now)
    if decided != state:  # written down before it is made
        return Turn(decided, requeue_after=0)
    done = keyslots.issued(state, rotation, facts.now)
    again = keyslots.next_change(done, facts.now)
    return (
        Turn(done, _make(facts, engine), _told(done), again) if is_turning(facts) else Turn(done, requeue_after=again)
    )


def secret(facts: BucketFacts, engine: S3Engine, half: str) -> tuple[Action, ...]:
    """The Secret as it shall be, if it is not so."""
    data = s3secret.data(s3secret.KeyText(engine, (facts.engine_bucket,), facts.access_key, half, facts.ca))
    if facts.secret is not None and facts.secret.get("data") == data:
        return ()
    manifest = manifests.bucket_secret(facts.bucket, data)
    return (Create(manifest) if facts.secret is None else Apply(manifest),)


def _make(facts: BucketFacts, engine: S3Engine) -> tuple[Action, ...]:
    """First the engine, then the Secret: who reads it never gets a key that does not work yet."""
    half = s3secret.secret_key(facts.secret, facts.access_key) or facts.new_secret_key
    grants, here = (Grant(facts.engine_bucket),), (facts.owner.namespace, facts.owner.name)
    return (MakeKey(engine, facts.access_key, half, grants, (here,)), *secret(facts, engine, half))


def _revoked(facts: BucketFacts, engine: S3Engine, late: str) -> Turn:
    here = facts.owner.namespace, facts.owner.name
    told = (Notice("KeyRevoked", f"key {late}, the one before {facts.access_key}, does not work any more"),)
    return Turn(keyslots.without_previous(facts.key), (RemoveKey(engine, (late,), (here,)),), told, 0)


def _told(state: KeyState) -> tuple[Notice, ...]:
    previous = state.previous
    until = f"; {previous.access_key_id} works until {previous.revoke_at}" if previous else ""
    return (Notice("KeyRotated", f"the Secret has key {state.access_key_id}{until}"),)
