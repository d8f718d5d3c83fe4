"""Whose a bucket on the S3 engine is: tags on the bucket, which only the engine's root key can write.

They outlive the Bucket and the cluster, so that a kept bucket can be told from one in use, and one tenant's from
another's. No key's policy (`bucketpolicy`) has bucket tags: a tenant can neither read nor change them (ADR 12).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from moorage import names


@dataclass(frozen=True, slots=True)
class Owner:
    """The Bucket that an engine's bucket belongs to, or belonged to last; name and uid may be unknown."""

    namespace: str
    name: str = ""
    uid: str = ""

    @property
    def tags(self) -> dict[str, str]:
        return {names.TAG_NAMESPACE: self.namespace, names.TAG_NAME: self.name, names.TAG_UID: self.uid}

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Self | None:
        """None for a bucket that does not say; an administrator may give one to a namespace by that tag alone."""
        namespace = tags.get(names.TAG_NAMESPACE)
        return cls(namespace, tags.get(names.TAG_NAME, ""), tags.get(names.TAG_UID, "")) if namespace else None

    def __str__(self) -> str:
        return f"Bucket {self.namespace}/{self.name}"
