"""What the operator asks of an S3 engine (ADR 20). Every call states an end and may be made again after a crash.

All raise NotReady when nobody answers, Forbidden when the engine refuses the root key, EngineRefused when it says no to
the call itself, and NotOffered for what its row in `moorage.features` lacks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from moorage.actions import Problem
from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.contents import Retention, Version
from moorage.features import Feature
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.s3 import Query
from moorage_operator.s3versions import Page


@dataclass(frozen=True, slots=True)
class BucketUsage:
    """What a bucket holds; old versions count where the engine counts them."""

    objects: int
    bytes: int


class ObjectEngine(Protocol):
    """One engine, with its root key, for the time of a session."""

    @property
    def features(self) -> frozenset[Feature]: ...

    # Buckets.

    async def ensure_bucket(self, bucket: str, lock: bool = False) -> None:
        """It exists, empty if it is new; `lock`: made so that a lock can be set. Raises InUse if it is another's."""
        ...

    async def tags(self, bucket: str) -> dict[str, str] | None:
        """The bucket's tags, None when there is no such bucket.

        Every engine keeps those of `bucketowner.Owner`, where no tenant can write; others only with Feature.tags.
        """
        ...

    async def put_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        """These and no others."""
        ...

    async def settings(self, bucket: str) -> BucketSettings:
        """As they are; what the engine lacks reads as off."""
        ...

    async def ensure_settings(self, bucket: str, wanted: BucketSettings) -> tuple[str, ...]:
        """Gives the names of the fields of BucketSettings that had to be changed. A lock is never taken away."""
        ...

    async def versions(self, bucket: str, after: Query = ()) -> Page:
        """One page of what is in it, old versions too; `after`: of the page before."""
        ...

    async def retention(self, bucket: str, version: Version) -> Retention | None:
        """What the version itself bears, whatever the bucket's rule says."""
        ...

    async def retain(self, bucket: str, version: Version, wanted: Retention) -> None:
        """The version bears this; one that is there is never shortened."""
        ...

    async def ensure_access(self, bucket: str, access: Mapping[str, Access], public_read: bool = False) -> bool:
        """Who may do what with the bucket, by access key, and nobody else anything; True when it had to be changed.

        Where keys carry their grants themselves (`ensure_key`), only `public_read` is done here.
        """
        ...

    async def access_stands(self, bucket: str, access: Mapping[str, Access], public_read: bool = False) -> bool:
        """Whether `ensure_access` would change nothing."""
        ...

    async def remove_bucket(self, bucket: str) -> None:
        """With all versions and unfinished uploads; raises Pending when that takes longer than a turn."""
        ...

    async def is_empty(self, bucket: str) -> bool:
        """Whether it has no object, no version and no delete marker; a bucket that is not there is empty."""
        ...

    async def usage(self, bucket: str) -> BucketUsage | None:
        """None where no cheap call tells it."""
        ...

    # Keys.

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        """The key exists; where keys carry their grants it opens these buckets and no others, else `ensure_access` does
        that. One with the same access half and another secret is replaced at once; one that is right is not touched.
        """
        ...

    async def remove_key(self, access: str) -> None:
        """Revoked at once. Unknown keys are fine."""
        ...

    async def key_works(self, key: Key, bucket: str) -> bool:
        """Whether the bucket can be listed with it."""
        ...

    # The engine itself.

    async def probe(self) -> Problem | None:
        """Why it cannot be used; None when it answers and knows the root key."""
        ...
