"""Who may use a bucket at this moment: asked right before its policy is written, under the lock of that bucket.

Several reconciles write one bucket's policy: the Bucket's, and those of all BucketKeys that name it. Each writes all of
it as the index has it then, intentions included (statuses are written, and put there, before anything is made). So the
last one to write knows what all before it knew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from moorage.keygrants import Openers
from moorage.model import Access, Bucket
from moorage_operator.index import Index
from moorage_operator.store import Name
from moorage_operator.times import now


@dataclass(frozen=True, slots=True)
class Admitted:
    """A bucket (its name on the engine), and who may do what with it, by access key."""

    bucket: str
    access: Mapping[str, Access] = field(default_factory=dict[str, Access])
    public_read: bool = False


def admitted(index: Index, name: Name) -> Admitted | None:
    """None for a Bucket that is gone, or that has nothing on the engine yet."""
    bucket = bucket_of(index, name)
    if bucket is None or not bucket.status.bucket_name:
        return None
    openers = Openers.of(bucket, index.keyring.of_bucket(name), index.namespaces)
    return Admitted(bucket.status.bucket_name, openers.access(now()), bucket.spec.public_read)


def bucket_of(index: Index, name: Name) -> Bucket | None:
    body = index.buckets.get(*name)
    try:
        return Bucket.model_validate(body) if body else None
    except ValidationError:
        return None
