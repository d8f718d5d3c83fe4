"""From the index to the facts of a snapshot, and who holds a snapshot or a volume because something begins with it."""

from collections.abc import Iterator

from pydantic import ValidationError

from moorage import names, origin
from moorage.actions import Manifest, Reference, part
from moorage.model import ImageState, StorageSnapshot, StorageVolume
from moorage.snapshotfacts import SnapshotFacts
from moorage_operator.bodies import full_name, id_of
from moorage_operator.cluster import Cluster
from moorage_operator.index import Index
from moorage_operator.store import Name, name_of
from moorage_operator.times import now


class SnapshotObserver:
    """Reads; changes nothing."""

    def __init__(self, cluster: Cluster, index: Index) -> None:
        self._cluster = cluster
        self._index = index

    async def __call__(self, body: Manifest) -> SnapshotFacts:
        snapshot = StorageSnapshot.model_validate(body)
        deleting = "deletionTimestamp" in snapshot.metadata
        waiting = not deleting and snapshot.status.placement is None
        return SnapshotFacts(
            snapshot=snapshot,
            now=now(),
            backends=self._index.all_backends(),
            volume=await self.volume(name_of(body)[0], snapshot.spec.volume) if waiting else None,
            holders=waiting_clones(self._index, "StorageSnapshot", name_of(body)) if deleting else (),
            room=self._index.room(),
        )

    async def volume(self, namespace: str, name: str) -> StorageVolume | None:
        """One that we do not know of yet must not be taken for one that is not there."""
        found = self._index.volumes.get(namespace, name)
        found = found or await self._cluster.get(Reference(names.API_VERSION, "StorageVolume", name, namespace))
        return StorageVolume.model_validate(found) if found else None

    async def snapshot(self, namespace: str, name: str) -> StorageSnapshot | None:
        found = self._index.snapshots.get(namespace, name)
        found = found or await self._cluster.get(Reference(names.API_VERSION, "StorageSnapshot", name, namespace))
        return StorageSnapshot.model_validate(found) if found else None


def holders_of(index: Index, volume: Manifest) -> tuple[str, ...]:
    """What is made of the volume just now, in words: it is read until that is done."""
    return (*waiting_clones(index, "StorageVolume", name_of(volume)), *_being_taken(index, volume))


def waiting_clones(index: Index, kind: str, source: Name) -> tuple[str, ...]:
    """The volumes that begin with it and are not served yet, in words."""
    found = (index.volumes.get(*each) for each in index.lineage.begun_with(kind, source))
    return tuple(f"StorageVolume {full_name(each)} (being cloned)" for each in found if each and _waits(each))


def _waits(volume: Manifest) -> bool:
    try:
        return origin.is_waited_for(StorageVolume.model_validate(volume))
    except ValidationError:  # an object that cannot be read is served by nobody
        return False


def _being_taken(index: Index, volume: Manifest) -> Iterator[str]:
    for name in index.lineage.snapshots_of(name_of(volume)):
        snapshot = index.snapshots.get(*name)
        if snapshot and _reads(snapshot, id_of(volume)):
            yield f"StorageSnapshot {'/'.join(name)} (being taken)"


def _reads(snapshot: Manifest, volume_id: str) -> bool:
    status = part(snapshot, "status")
    done = part(status, "image").get("state") in (ImageState.Ready, ImageState.Failed, ImageState.Released)
    return status.get("volumeId") == volume_id and not done and "deletionTimestamp" not in snapshot["metadata"]
