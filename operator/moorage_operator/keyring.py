"""The BucketKeys as the watches have shown them, found by the Buckets that they name too."""

from collections import defaultdict
from dataclasses import dataclass, field

from pydantic import ValidationError

from moorage import keygrants
from moorage.actions import Manifest
from moorage.model import BucketKey
from moorage_operator.store import Name, Store, name_of


@dataclass
class Keyring:
    """One process, one event loop: no locks."""

    store: Store = field(default_factory=Store)
    _buckets: dict[Name, frozenset[Name]] = field(default_factory=dict[Name, frozenset[Name]])  # by key
    _keys: defaultdict[Name, set[Name]] = field(default_factory=lambda: defaultdict[Name, set[Name]](set))  # by bucket

    def see(self, body: Manifest, deleted: bool) -> None:
        if deleted:
            self.store.drop(body)
        else:
            self.store.put(body)
        self._link(name_of(body))

    def of_bucket(self, bucket: Name) -> tuple[BucketKey, ...]:
        """Those that name the bucket; one that cannot be read opens nothing."""
        found = (self.store.get(*each) for each in self.names_of(bucket))
        return tuple(key for each in found if each and (key := readable(each)))

    def names_of(self, bucket: Name) -> tuple[Name, ...]:
        return tuple(sorted(self._keys.get(bucket, ())))

    def _link(self, name: Name) -> None:
        body = self.store.get(*name)
        key = readable(body) if body else None
        after = frozenset(keygrants.bucket_name(key, each) for each in key.spec.buckets) if key else frozenset[Name]()
        for bucket in self._buckets.pop(name, frozenset[Name]()) - after:
            self._keys[bucket].discard(name)
            if not self._keys[bucket]:
                del self._keys[bucket]
        for bucket in after:
            self._keys[bucket].add(name)
        if after:
            self._buckets[name] = after


def readable(body: Manifest) -> BucketKey | None:
    try:
        return BucketKey.model_validate(body)
    except ValidationError:
        return None
