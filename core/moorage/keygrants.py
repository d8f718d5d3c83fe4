"""Who may do what with a bucket: computed whole from the Bucket, the BucketKeys and the labels of namespaces."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moorage import conditions, consent, duration, keyslots
from moorage.actions import Problem
from moorage.bucketpolicy import MAX_KEYS
from moorage.model import Access, Bucket, BucketKey, KeyBucket, OpenedBucket

Name = tuple[str, str]  # namespace, name
Labels = Mapping[str, Mapping[str, str]]  # of namespaces


def bucket_name(key: BucketKey, named: KeyBucket) -> Name:
    return named.namespace or key.metadata["namespace"], named.name


def expires_at(key: BucketKey) -> str | None:
    """When the key ends for good: it counts from the creation of the BucketKey, whatever was rotated."""
    created, after = key.metadata.get("creationTimestamp"), key.spec.expire_after
    return duration.stamp(duration.moment(created) + duration.parse(after)) if created and after else None


def ended(key: BucketKey, now: str) -> Problem | None:
    """Why the key shall not work any more."""
    expires = expires_at(key)
    if key.spec.revoked:
        return Problem("Revoked", "the key is revoked, as spec.revoked asks; set it to false for a new one")
    if expires and duration.until(expires, now) == 0:
        return Problem("Expired", f"the key expired at {expires}; raise spec.expireAfter for a new one")
    return None


def shut(key: BucketKey, bucket: Bucket | None, named: KeyBucket, labels: Labels) -> Problem | None:
    """Why the key does not open the bucket now; each passes when its cause goes."""
    namespace, name = bucket_name(key, named)
    mine = key.metadata["namespace"]
    if bucket is None:
        return Problem("BucketNotFound", f"Bucket {namespace}/{name} does not exist: create it, or take it out")
    if not consent.allows(bucket, mine, labels.get(mine)):
        text = f"Bucket {namespace}/{name} is not shared with namespace {mine}"
        return Problem("NotShared", f"{text}: ask its owner to name it in spec.share")
    if "deletionTimestamp" in bucket.metadata:
        return Problem("BucketDestroying", f"Bucket {namespace}/{name} is being destroyed: take it out of spec.buckets")
    if not bucket.status.bucket_name:
        return unready(key, bucket, named)
    return None


def unready(key: BucketKey, bucket: Bucket, named: KeyBucket) -> Problem | None:
    """Why the bucket cannot be opened for the first time; a key that opens it already is not shut out for that."""
    namespace, name = bucket_name(key, named)
    if not bucket.status.bucket_name or not is_made(bucket):
        said = conditions.message_of(bucket.status.conditions, conditions.READY) or "nobody has looked at it yet"
        return Problem("BucketNotReady", f"Bucket {namespace}/{name} is not Ready: {said}")
    return None


def elsewhere(key: BucketKey, backend: str, bucket: Bucket, named: KeyBucket) -> Problem | None:
    """Why a bucket that could be opened is not: the key is of another backend."""
    placed = bucket.status.placement
    if placed and placed.backend == backend:
        return None
    where, name = placed.backend if placed else "none", "/".join(bucket_name(key, named))
    text = f"Bucket {name} is on StorageBackend {where}, the key is of {backend}"
    return Problem("SeveralBackends", f"{text}: all buckets of a key are on one; make another BucketKey for it")


def is_made(bucket: Bucket) -> bool:
    return conditions.is_true(bucket.status.conditions, conditions.PROVISIONED)


@dataclass(frozen=True, slots=True)
class Openers:
    """The BucketKeys that name one bucket and may open it, the oldest first: no more than a policy holds."""

    bucket: Bucket
    keys: tuple[BucketKey, ...]

    @classmethod
    def of(cls, bucket: Bucket, keys: Iterable[BucketKey], labels: Labels) -> "Openers":
        found = [each for each in keys if (named := naming(each, bucket)) and not shut(each, bucket, named, labels)]
        return cls(bucket, tuple(sorted(found, key=_age)))

    def crowds_out(self, key: BucketKey) -> bool:
        """Whether there are so many older keys that the bucket's policy has no room for this one."""
        return any(each.metadata["uid"] == key.metadata["uid"] for each in self.keys[MAX_KEYS:])

    def access(self, now: str) -> dict[str, Access]:
        """Access keys of the bucket's own key and of all others, and what each may do; no slot that is to be dead."""
        own = dict.fromkeys(own_slots(self.bucket, now), Access.ReadWrite)
        placed = self.bucket.status.placement
        others = [
            (slot, named.access)
            for each in self.keys[:MAX_KEYS]
            if (named := naming(each, self.bucket)) and _lives(each, placed.backend if placed else "", now)
            for slot in keyslots.live(each.status, now)
        ]
        return {**own, **dict(others)}


def own_slots(bucket: Bucket, now: str) -> tuple[str, ...]:
    """The access keys of the bucket's own key; one made before keys rotated has the first."""
    state = bucket.status.key
    if state is None or state.serial == 0:
        return (keyslots.access_key(bucket.metadata["uid"]),)
    return keyslots.live(state, now)


def naming(key: BucketKey, bucket: Bucket) -> KeyBucket | None:
    """Where the key names the bucket."""
    wanted = bucket.metadata["namespace"], bucket.metadata["name"]
    return next((each for each in key.spec.buckets if bucket_name(key, each) == wanted), None)


def opened(key: BucketKey, named: KeyBucket, bucket: Bucket) -> OpenedBucket:
    namespace, name = bucket_name(key, named)
    engine_name = bucket.status.bucket_name or ""
    return OpenedBucket(name=name, namespace=namespace, bucket=engine_name, access=named.access)


def _lives(key: BucketKey, backend: str, now: str) -> bool:
    placed = key.status.placement
    going = "deletionTimestamp" in key.metadata or ended(key, now) is not None
    return not going and placed is not None and placed.backend == backend


def _age(key: BucketKey) -> tuple[str, str, str]:
    metadata = key.metadata
    return metadata.get("creationTimestamp", ""), metadata["namespace"], metadata["name"]
