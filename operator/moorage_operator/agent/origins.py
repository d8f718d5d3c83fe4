"""Where a volume's source is: the object in the volume's namespace, and what the pool has of it."""

from collections.abc import Callable, Iterable

from moorage import names
from moorage.actions import Manifest, part
from moorage.clone import Asked, Origin
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.snapshotpool import SnapshotPool

Objects = Callable[[], Iterable[Manifest]]


class Origins:
    """Blocking. `volumes` and `snapshots` give the objects that the feeds know."""

    def __init__(
        self, volumes: Objects, snapshots: Objects, pool: Pool, snapshot_pool: SnapshotPool, mounts: Mounts
    ) -> None:
        self._volumes = volumes
        self._snapshots = snapshots
        self._pool = pool
        self._snapshot_pool = snapshot_pool
        self._mounts = mounts

    def find(self, namespace: str, asked: Asked) -> Origin | None:
        """None when there is no such object, or one whose data is being destroyed."""
        item = _named(self._snapshots() if asked.is_snapshot else self._volumes(), namespace, asked.name)
        if item is None:
            return None
        uid = str(item["metadata"]["uid"])
        if item["metadata"].get("deletionTimestamp") and part(item, "status").get("release"):
            return None
        id, server = names.short_id(uid), str(part(item, "status", "placement").get("server", ""))
        size = self._snapshot_size(id, uid) if asked.is_snapshot else self._volume_size(id, uid)
        return Origin(id, server, size)

    def _snapshot_size(self, id: str, uid: str) -> int:
        record = self._snapshot_pool.record(id)
        return record.size if record and record.uid == uid and self._snapshot_pool.image_bytes(id) else 0

    def _volume_size(self, id: str, uid: str) -> int:
        record = self._pool.record(id)
        there = record and record.uid == uid and self._pool.image_bytes(id) and self._mounts.mounted(id)
        return self._mounts.size(id) if there else 0


def _named(items: Iterable[Manifest], namespace: str, name: str) -> Manifest | None:
    for item in items:
        metadata = item["metadata"]
        if metadata.get("name") == name and metadata.get("namespace") == namespace:
            return item
    return None
