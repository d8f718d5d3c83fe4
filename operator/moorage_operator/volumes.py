"""From the index and a few fresh reads to the facts of a volume. Deletion reads everything freshly."""

from dataclasses import replace

from moorage import conditions, engines, names
from moorage.actions import Manifest, Reference
from moorage.backing import is_served
from moorage.facts import VolumeFacts
from moorage.model import Bucket, StorageSnapshot, StorageVolume
from moorage.release import RELEASING, is_free
from moorage_operator.backends import node_gone
from moorage_operator.bodies import id_of, shown_bucket
from moorage_operator.cluster import Cluster
from moorage_operator.holding import Holding
from moorage_operator.index import Index
from moorage_operator.snapshots import SnapshotObserver
from moorage_operator.times import now


class VolumeObserver:
    """Reads; changes nothing but the index."""

    def __init__(self, cluster: Cluster, index: Index, snapshots: SnapshotObserver, holding: Holding) -> None:
        self._cluster = cluster
        self._index = index
        self._snapshots = snapshots
        self._holding = holding

    async def __call__(self, body: Manifest) -> VolumeFacts:
        volume = StorageVolume.model_validate(body)
        namespace, name = volume.metadata["namespace"], volume.metadata["name"]
        deleting = "deletionTimestamp" in volume.metadata
        bucket = await self._bucket_of(volume, body, fresh=deleting)
        backed = deleting or (volume.status.share is not None and is_served(volume.status.share)) or _is_ready(bucket)
        claimed = deleting or (backed and volume.spec.claim != "None")
        listing = deleting and volume.status.phase in RELEASING and volume.status.release is None
        if volume.status.placement is None:
            self._index.promises.drop((namespace, name))  # of an earlier attempt
        facts = VolumeFacts(
            volume=volume,
            now=now(),
            backends=self._index.all_backends(),
            bucket=bucket,
            claim=await self._claim(namespace, name, fresh=deleting) if claimed else None,
            persistent_volume=await self._persistent_volume(id_of(body), fresh=deleting) if claimed else None,
            holders=await self._holding.volume(volume, body) if listing else (),
            users=self._index.users(body),
            attachments=self._index.attachments_of(body),
            room=self._index.room(),
            source=None if deleting else await self._source_of(volume),
            node_gone=await self._node_gone(volume),
            labels=self._index.namespaces.get(namespace),
        )
        return replace(facts, holders=await self._holding.unseen(volume, body)) if listing and is_free(facts) else facts

    async def _claim(self, namespace: str, name: str, fresh: bool) -> Manifest | None:
        known = None if fresh else self._index.claims.get(namespace, name)
        return known or await self._cluster.get(Reference("v1", "PersistentVolumeClaim", name, namespace))

    async def _persistent_volume(self, id: str, fresh: bool) -> Manifest | None:
        name = names.persistent_volume(id)
        known = None if fresh else self._index.persistent_volumes.get("", name)
        return known or await self._cluster.get(Reference("v1", "PersistentVolume", name))

    async def _source_of(self, volume: StorageVolume) -> StorageSnapshot | StorageVolume | None:
        """What its spec.source names, while it still matters."""
        source, namespace = volume.spec.source, volume.metadata["namespace"]
        if source is None or volume.status.placement:
            return None
        if source.snapshot:
            return await self._snapshots.snapshot(namespace, source.snapshot)
        return await self._snapshots.volume(namespace, source.volume or "")

    async def _node_gone(self, volume: StorageVolume) -> bool:
        placed = volume.status.placement
        if placed is None or placed.engine != engines.LOCAL:
            return False
        return await node_gone(self._cluster, self._index, placed.server)

    async def _bucket_of(self, volume: StorageVolume, body: Manifest, fresh: bool) -> Bucket | None:
        shown = shown_bucket(body)
        if shown is None:
            return None
        found = None if fresh else self._index.buckets.get(*shown)
        if found is None:  # a bucket that we do not know of yet must not be taken for one that we may make
            found = await self._cluster.get(Reference(names.API_VERSION, "Bucket", shown[1], shown[0]))
        return Bucket.model_validate(found) if found else None


def _is_ready(bucket: Bucket | None) -> bool:
    return bucket is not None and conditions.is_true(bucket.status.conditions, conditions.READY)
