"""What to do about a Bucket that is being deleted; the same order as a volume's (`moorage.release`)."""

from moorage import bucketplan, keyslots, names, placement
from moorage.actions import Action, Delete, Notice, Plan, Problem, Reference, RemoveBucket, RemoveKey
from moorage.bucketadoption import Found
from moorage.bucketfacts import BucketFacts
from moorage.conditions import DELETION_BLOCKED, Verdict, lifecycle, yes
from moorage.contents import Contents
from moorage.model import BucketStatus, OnDelete, Phase, S3Engine
from moorage.release import RECHECK_HOLDERS, RELEASING, blocked, listed

RECHECK_LOCKED = 60.0  # seconds


def release(facts: BucketFacts) -> Plan[BucketStatus]:
    """The next step of a deletion; the same order as a volume's (`moorage.release`)."""
    status = facts.bucket.status
    if names.FINALIZER not in facts.bucket.metadata.get("finalizers", ()):
        return Plan(status)
    if status.phase == Phase.DESTROYED:  # written last: all is done and told
        return Plan(status, finish=True)
    if status.phase not in RELEASING:
        return _destroying(facts, "no new mount is made; looking who still uses it", 0)
    if facts.holders:
        return _destroying(facts, f"in use by {listed(facts.holders)}", RECHECK_HOLDERS)
    if not facts.is_ours and facts.root_key and not _lost(facts) and not isinstance(facts.found, Found):
        why = facts.found.message if facts.found else "its StorageBackend does not answer"
        return _destroying(facts, f"waiting to hear whose bucket {facts.engine_bucket} is: {why}", RECHECK_HOLDERS)
    return _kept_back(facts) or _destroyed(facts)


def _destroying(
    facts: BucketFacts, message: str, requeue_after: float, obstacle: Verdict | None = None
) -> Plan[BucketStatus]:
    verdicts = (lifecycle(Phase.DESTROYING, message), obstacle or blocked(facts.holders))
    return bucketplan.settle(facts, facts.bucket.status, verdicts, (), requeue_after)


def destroys(facts: BucketFacts) -> bool:
    """Whether the bucket itself would go now: not one that is kept, was never made or adopted, or cannot be reached."""
    spec, status = facts.bucket.spec, facts.bucket.status
    reachable = facts.backend is not None and facts.backend.spec.engine.s3 is not None and not _lost(facts)
    return spec.on_delete == OnDelete.Delete and reachable and facts.is_ours and status.bucket_name is not None


def _kept_back(facts: BucketFacts) -> Plan[BucketStatus] | None:
    """Why the bucket may not go yet: what is in it was not given up, or is locked."""
    if not destroys(facts):
        return None
    found = facts.contents
    if not isinstance(found, Contents):
        why = found.message if isinstance(found, Problem) else "its StorageBackend does not answer"
        return _destroying(facts, f"waiting to hear what is in bucket {facts.engine_bucket}: {why}", RECHECK_HOLDERS)
    problem = _obstacle(facts, found)
    if problem is None:
        return None
    again = RECHECK_LOCKED if found.locked_until else RECHECK_HOLDERS
    return _destroying(facts, problem.message, again, yes(DELETION_BLOCKED, problem.reason, problem.message))


def _obstacle(facts: BucketFacts, found: Contents) -> Problem | None:
    bucket, count = facts.engine_bucket, f"{found.objects}{' or more' if found.more else ''}"
    if found.locked_until:
        least = "at least " if found.more else ""
        text = f"bucket {bucket} holds versions that are locked until {least}{found.locked_until}: it goes after that"
        return Problem(
            "ObjectLocked", f"{text}; write onDelete: Retain to keep it on the engine and end this Bucket now"
        )
    if found.objects and not facts.bucket.spec.empty_on_delete:
        what = "object or version" if count == "1" else "objects and versions"
        text = f"bucket {bucket} is not empty ({count} {what}): delete them, write emptyOnDelete: true to destroy them"
        return Problem("NotEmpty", f"{text}, or onDelete: Retain to keep the bucket")
    return None


def _destroyed(facts: BucketFacts) -> Plan[BucketStatus]:
    kept = facts.bucket.spec.on_delete == OnDelete.Retain
    lost = _lost(facts)
    engine = facts.backend.spec.engine.s3 if facts.backend and not lost and facts.is_ours else None
    empties = facts.bucket.spec.empty_on_delete
    removal = (
        (RemoveBucket(engine, facts.engine_bucket, facts.access_key, kept, facts.owner, empties),) if engine else ()
    )
    message = _farewell(facts, kept, lost)
    status = bucketplan.conclude(facts, facts.bucket.status, (lifecycle(Phase.DESTROYED, message), blocked(())))
    actions = (*_other_slots(facts, engine), *removal, *_own_secret(facts))
    return Plan(status, actions, (*_remains(facts, lost), Notice("Destroyed", message)), finish=True)


def _farewell(facts: BucketFacts, kept: bool, lost: str) -> str:
    if not facts.bucket.status.placement:
        return "it was never made"
    if not facts.is_ours:
        return f"bucket {facts.engine_bucket} was not adopted, and stays as it was"
    if lost:
        return f"the Bucket is gone; {facts.engine_bucket} and its objects stay where they are"
    if kept:
        return f"bucket and objects are kept, as onDelete asks; adopt: {facts.engine_bucket} takes them over"
    return "the bucket, its objects and its key are gone"


def _other_slots(facts: BucketFacts, engine: S3Engine | None) -> tuple[Action, ...]:
    """The key before the current one, if its overlap is not over yet."""
    others = tuple(each for each in keyslots.slots(facts.key) if each != facts.access_key)
    return (RemoveKey(engine, others, ()),) if engine and others else ()


def _own_secret(facts: BucketFacts) -> tuple[Action, ...]:
    if facts.secret is None or bucketplan.secret_conflict(facts):
        return ()
    name = names.bucket_secret(facts.bucket.metadata["name"])
    return (Delete(Reference("v1", "Secret", name, facts.bucket.metadata["namespace"])),)


def _lost(facts: BucketFacts) -> str:
    """Why the engine cannot be asked to remove the bucket, for good as it seems."""
    placed, engine = facts.bucket.status.placement, facts.backend.spec.engine.s3 if facts.backend else None
    if not placed:
        return ""
    if engine and not facts.root_key:
        ref = engine.credentials_secret
        return f"Secret {ref.namespace}/{ref.name} with the engine's root key is gone"
    return placement.lost(facts.backend, placed)


def _remains(facts: BucketFacts, lost: str) -> tuple[Notice, ...]:
    if not lost or not facts.is_ours:
        return ()
    message = f"{lost}: the objects of {facts.engine_bucket} stay where they are"
    return (Notice("DataRemains", message, warning=True),)
