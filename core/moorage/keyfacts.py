"""A BucketKey and what was seen around it: the input of its plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage import keygrants, names
from moorage.actions import Manifest, Problem
from moorage.bucketpolicy import Grant
from moorage.keygrants import Labels, Name
from moorage.model import Bucket, BucketKey, KeyBucket, OpenedBucket, S3Engine, StorageBackend


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A BucketKey and what was seen around it.

    `new_secret_key`: a random one, for a key that is to be made. `buckets`: those that it names, by namespace and name.
    `labels`: of namespaces, as far as they are known. `secret`: what has the name of its Secret. `works`: whether the
    Secret's key opens all that it shall; None when nobody asked. `crowded`: buckets whose policies have no room for it.
    `ca`: the certificate (PEM) of the engine's CA. `root_key`: whether the engine's root key was there to revoke with.
    """

    key: BucketKey
    now: str
    new_secret_key: str = field(repr=False)
    buckets: Mapping[Name, Bucket] = field(default_factory=dict[Name, Bucket])
    labels: Labels = field(default_factory=dict[str, Mapping[str, str]])
    backends: tuple[StorageBackend, ...] = ()
    secret: Manifest | None = field(default=None, repr=False)
    works: bool | None = None
    crowded: frozenset[Name] = frozenset()
    ca: str = ""
    root_key: bool = True

    @property
    def id(self) -> str:
        return self.key.status.id or names.short_id(self.key.metadata["uid"])

    @property
    def secret_name(self) -> str:
        return self.key.spec.secret_name or names.key_secret(self.key.metadata["name"])

    @property
    def backend_name(self) -> str | None:
        """The backend that the key is of: written down, else that of the first bucket that has one."""
        if self.key.status.placement:
            return self.key.status.placement.backend
        found = (self.buckets.get(keygrants.bucket_name(self.key, each)) for each in self.key.spec.buckets)
        return next((each.status.placement.backend for each in found if each and each.status.placement), None)

    @property
    def backend(self) -> StorageBackend | None:
        return next((each for each in self.backends if each.metadata["name"] == self.backend_name), None)

    @property
    def engine(self) -> S3Engine | None:
        return self.backend.spec.engine.s3 if self.backend else None

    def opened(self) -> tuple[tuple[OpenedBucket, ...], Problem | None]:
        """The buckets that the key opens, and why it does not open the others: the first reason."""
        found: dict[Name, OpenedBucket] = {}
        problems: list[Problem] = []
        for named in self.key.spec.buckets:
            name = keygrants.bucket_name(self.key, named)
            bucket = self.buckets.get(name)
            problem = keygrants.shut(self.key, bucket, named, self.labels)
            if problem is None and bucket:
                problem = self._unfit(named, bucket)
            if problem:
                problems.append(problem)
            elif bucket:
                found.setdefault(name, keygrants.opened(self.key, named, bucket))
        return tuple(found.values()), problems[0] if problems else None

    def _unfit(self, named: KeyBucket, bucket: Bucket) -> Problem | None:
        name = keygrants.bucket_name(self.key, named)
        opens = any((each.namespace, each.name) == name for each in self.key.status.buckets)
        found = None if opens else keygrants.unready(self.key, bucket, named)
        return found or keygrants.elsewhere(self.key, self.backend_name or "", bucket, named) or self._crowd(name)

    def _crowd(self, name: Name) -> Problem | None:
        if name not in self.crowded:
            return None
        text = f"Bucket {'/'.join(name)} has as many keys as its policy holds"
        return Problem("TooManyKeys", f"{text}: remove a BucketKey, or share one among pods")


def grants(opened: tuple[OpenedBucket, ...]) -> tuple[Grant, ...]:
    return tuple(Grant(each.bucket, each.access) for each in opened)


def bucket_names(*opened: tuple[OpenedBucket, ...]) -> tuple[Name, ...]:
    """The Buckets in any of these, each once."""
    return tuple(dict.fromkeys((each.namespace, each.name) for some in opened for each in some))
