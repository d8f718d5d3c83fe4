"""A new Bucket takes over a kept bucket of the S3 engine, objects and all: why it may not."""

from dataclasses import dataclass

from moorage.actions import Problem
from moorage.bucketowner import Owner


@dataclass(frozen=True, slots=True)
class Found:
    """What the engine said of the bucket. `lives`: its owner's Bucket still exists."""

    exists: bool
    owner: Owner | None = None
    lives: bool = False


def refusal(bucket: str, backend: str, namespace: str, found: Found) -> Problem | None:
    """Why a Bucket of `namespace` may not adopt it (yet). Each passes when its cause goes."""
    if not found.exists:
        text = f"StorageBackend {backend} has no bucket {bucket}: write the bucketName that the deleted Bucket had"
        return Problem("AdoptNotFound", text)
    if found.owner is None:
        text = f"bucket {bucket} does not say whose it is: an administrator can tag it, see docs/operations.md"
        return Problem("AdoptForbidden", text)
    if found.owner.namespace != namespace:
        text = f"bucket {bucket} is of another namespace: only a Bucket in its own namespace may adopt it"
        return Problem("AdoptForbidden", text)
    if found.lives:
        text = (
            f"bucket {bucket} belongs to {found.owner}: it can be adopted when that is gone and its objects were kept"
        )
        return Problem("AdoptInUse", text)
    return None
