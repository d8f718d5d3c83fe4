"""Whether a lock is kept: condition ObjectLockEnforced.

An engine that writes the rule's retention on each new version (`lockStamped`) keeps it by itself. On versitygw 1.8 the
rule alone holds a version that bears no retention: whoever may loosen the rule frees it. So no tenant's key may change
the rule, the operator never loosens it, and a walk gives each version a retention of its own (`moorage_operator.walk`);
until the last walk has reached them all, this condition says so.
"""

from moorage import conditions
from moorage.bucketfacts import BucketFacts
from moorage.bucketwish import lock_text
from moorage.conditions import LOCK_ENFORCED, Verdict, no, yes
from moorage.features import Feature, features
from moorage.model import ObjectLock, S3Engine

_HELD = "until they do, only the bucket's rule holds them, which no tenant's key may change"


def enforced(facts: BucketFacts, engine: S3Engine, lock: ObjectLock | None) -> tuple[Verdict, ...]:
    """Nothing for a bucket without a lock."""
    if lock is None:
        return ()
    return (_verdict(facts, engine, lock),)


def _verdict(facts: BucketFacts, engine: S3Engine, lock: ObjectLock) -> Verdict:
    offered, count = features(engine), facts.count
    if Feature.lock_stamped in offered:
        return yes(LOCK_ENFORCED, "StampedByEngine", f"the engine holds each version: {lock_text(lock)}")
    if count is None:
        return _as_before(facts)
    if count.trouble:
        return no(LOCK_ENFORCED, "StampingFailed", f"versions bear no retention of their own; {_HELD}: {count.trouble}")
    if count.unstamped:
        return no(LOCK_ENFORCED, "StampingBehind", f"not all versions bear a retention of their own yet; {_HELD}")
    text = f"each version bears a retention of its own, {lock_text(lock)}; new ones are given theirs about every minute"
    return yes(LOCK_ENFORCED, "Stamped", text)


def _as_before(facts: BucketFacts) -> Verdict:
    before = conditions.find(facts.bucket.status.conditions, LOCK_ENFORCED)
    if before is None:
        return no(LOCK_ENFORCED, "NotLookedAt", f"nobody has looked yet whether versions bear a retention; {_HELD}")
    return Verdict(before.type, before.status, before.reason, before.message)
