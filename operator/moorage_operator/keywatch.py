"""Which BucketKeys a change concerns: their own objects, their Buckets, their namespace's labels, their backend."""

import json
from collections.abc import Callable, Iterable

from moorage import conditions
from moorage.actions import Manifest, part
from moorage_operator.bodies import placed_on
from moorage_operator.index import Index
from moorage_operator.store import Key, Name, key_of, name_of

Add = Callable[[Key], None]
KIND = "BucketKey"


class KeyRouter:
    """Keeps the keys' part of the index, and fills the queue."""

    def __init__(self, index: Index, add: Add) -> None:
        self._index = index
        self._add = add
        self._marks: dict[Name, str] = {}  # of buckets
        self._labels: dict[str, object] = {}  # of namespaces

    def see(self, body: Manifest, deleted: bool) -> None:
        """A BucketKey."""
        self._index.keyring.see(body, deleted)
        self._add(key_of(body))

    def bucket(self, body: Manifest, deleted: bool) -> None:
        """A bucket wakes its keys when what they have of it changes, not when an object or a pod comes or goes."""
        name, mark = name_of(body), "" if deleted else _mark(body)
        if self._marks.get(name, "") == mark:
            return
        if mark:
            self._marks[name] = mark
        else:
            del self._marks[name]
        self._wake(self._index.keyring.names_of(name))

    def namespace(self, name: str) -> None:
        """Called when the index has its new labels."""
        labels = self._index.namespaces.get(name)
        if self._labels.get(name) == labels:
            return
        self._labels[name] = labels
        self._wake(name_of(each) for each in self._index.keyring.store.values() if name_of(each)[0] == name)

    def backend(self, name: str) -> None:
        found = self._index.keyring.store.values()
        self._wake(name_of(each) for each in found if placed_on(each) in (name, None))

    def _wake(self, keys: Iterable[Name]) -> None:
        for each in keys:
            if self._index.keyring.store.get(*each):
                self._add(Key(KIND, *each))


def _mark(bucket: Manifest) -> str:
    status, metadata = part(bucket, "status"), bucket["metadata"]
    found: list[Manifest] = status.get("conditions", [])
    made = next((each["status"] for each in found if each["type"] == conditions.PROVISIONED), "")
    backend = placed_on(bucket)
    share = json.dumps(part(bucket, "spec", "share"), sort_keys=True)
    going = metadata.get("deletionTimestamp", "")
    return "/".join((metadata["uid"], going, made, str(backend), str(status.get("bucketName")), share))
