"""What a bucket of an S3 engine shall be: one frozen value, whole. Who may use it is `bucketpolicy`'s."""

from dataclasses import dataclass

from moorage.features import Feature
from moorage.model import CorsRule, LifecycleRule, ObjectLock


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """All settings of a bucket; an absent one is to be off. `quota` is in bytes."""

    versioning: bool = False
    lock: ObjectLock | None = None
    lifecycle: tuple[LifecycleRule, ...] = ()
    cors: tuple[CorsRule, ...] = ()
    quota: int | None = None

    @property
    def needs(self) -> frozenset[Feature]:
        """What an engine must have, so that nothing of this is ignored."""
        asked = {
            Feature.versioning: self.versioning,
            Feature.object_lock: self.lock is not None,
            Feature.lifecycle: bool(self.lifecycle),
            Feature.abort_multipart: any(each.abort_multipart_days is not None for each in self.lifecycle),
            Feature.cors: bool(self.cors),
            Feature.quota: self.quota is not None,
        }
        return frozenset(feature for feature, wanted in asked.items() if wanted)
