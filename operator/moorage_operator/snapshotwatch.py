"""Which snapshots, and which volumes that begin with something, a change concerns."""

from collections.abc import Callable, Iterable

from moorage.actions import Manifest, part
from moorage_operator.bodies import is_deleting, placed_on
from moorage_operator.index import Index
from moorage_operator.lineage import source_of
from moorage_operator.store import Key, Name, key_of, name_of

Add = Callable[[Key], None]
KIND = "StorageSnapshot"
Mark = tuple[object, ...]


class SnapshotRouter:
    """Keeps the snapshots' part of the index, and fills the queue."""

    def __init__(self, index: Index, add: Add) -> None:
        self._index = index
        self._add = add
        self._marks: dict[tuple[str, Name], Mark] = {}

    def see(self, body: Manifest, deleted: bool) -> None:
        """A StorageSnapshot."""
        self._index.keep_snapshot(body, deleted)
        self._add(key_of(body))
        if self._changed(body, deleted):
            self._wake("StorageVolume", self._index.lineage.begun_with(KIND, name_of(body)))
            self._wake_if_leaving(
                ("StorageVolume", body["metadata"]["namespace"], part(body, "spec").get("volume", ""))
            )

    def volume(self, body: Manifest, deleted: bool) -> None:
        """A volume wakes what waits for it: snapshots, clones, and a source that waits for its clones to be served."""
        if not self._changed(body, deleted):
            return
        name = name_of(body)
        self._wake(KIND, self._index.lineage.snapshots_of(name))
        self._wake("StorageVolume", self._index.lineage.begun_with("StorageVolume", name))
        source = source_of(body)
        if source:
            self._wake_if_leaving(source)

    def backend(self, name: str) -> None:
        """What is on it, and what still waits for a place."""
        for each in self._index.snapshots.values():
            if placed_on(each) in (name, None):
                self._add(key_of(each))

    def _changed(self, body: Manifest, deleted: bool) -> bool:
        key, mark = (body["kind"], name_of(body)), None if deleted else _mark(body)
        if self._marks.get(key) == mark:
            return False
        if mark is None:
            del self._marks[key]
        else:
            self._marks[key] = mark
        return True

    def _wake(self, kind: str, found: Iterable[Name]) -> None:
        for name in found:
            self._add(Key(kind, *name))

    def _wake_if_leaving(self, source: tuple[str, str, str]) -> None:
        kind, namespace, name = source
        store = self._index.snapshots if kind == KIND else self._index.volumes
        if is_deleting(store.get(namespace, name)):
            self._add(Key(kind, namespace, name))


def _mark(body: Manifest) -> Mark:
    """What of a volume or a snapshot concerns those that begin with it, and its snapshots; small, kept for each."""
    metadata, status = body["metadata"], part(body, "status")
    made = part(status, "share") or part(status, "image")
    placed, known = part(status, "placement").get("server"), (made.get("state"), made.get("server"))
    size, reason = made.get("sizeBytes"), made.get("reason")
    return (metadata["uid"], "deletionTimestamp" in metadata, placed, status.get("release"), *known, size, reason)
