"""StorageSnapshots of this server's volumes: feed in, snapshots on the pool, `status.image` out."""

import asyncio
import logging
from collections.abc import Callable

from pydantic import ValidationError

from moorage import names, snapshotshare
from moorage.errors import MoorageError, NotFound, Retry
from moorage.model import ImageState, SnapshotImage, StorageSnapshot
from moorage.record import SnapshotRecord
from moorage.snapshotshare import Action, SeenSnapshot, SnapshotPlan, WantedSnapshot
from moorage_operator.agent.api import SNAPSHOTS, Api, Feed, Object
from moorage_operator.agent.catalogue import Catalogue
from moorage_operator.agent.longwork import in_long_thread
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.snapshotpool import SnapshotPool
from moorage_operator.agent.troubles import Troubles
from moorage_operator.agent.workqueue import WorkQueue

log = logging.getLogger(__name__)

_WORKERS = 4
_RETRY = 5.0
_ROUNDS = 3
_SLOW = 1.0  # after this, a snapshot in the making says Creating


class Snapshots:
    """`changed(namespace, name)` is called when a StorageSnapshot changed: volumes may wait for it."""

    def __init__(
        self,
        api: Api,
        catalogue: Catalogue,
        pool: Pool,
        snapshot_pool: SnapshotPool,
        mounts: Mounts,
        changed: Callable[[str, str], None],
    ) -> None:
        self._api = api
        self._catalogue = catalogue
        self._pool = pool
        self._snapshots = snapshot_pool
        self._mounts = mounts
        self._told_changed = changed
        self._feed = Feed(api, SNAPSHOTS, self._changed)
        self._queue = WorkQueue(self._work, _WORKERS)
        self._items: dict[str, Object] = {}
        self._orphans: set[str] = set()
        self._troubles = Troubles("snapshot")

    def items(self) -> list[Object]:
        return list(self._items.values())

    def ids(self) -> set[str]:
        """Of those on the pool. Blocking."""
        return self._snapshots.ids()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._feed.run())
            await self._feed.listed.wait()
            self.everything()

    def everything(self) -> None:
        """Look at every snapshot again: all that is wanted, and all that is on the pool."""
        for snapshot_id in self._items.keys() | self._snapshots.ids():
            self._queue.add(snapshot_id)

    def _changed(self, uid: str, item: Object | None) -> None:
        snapshot_id = names.short_id(uid)
        known = item or self._items.get(snapshot_id)
        if item is None:
            self._items.pop(snapshot_id, None)
        else:
            self._items[snapshot_id] = item
        self._queue.add(snapshot_id)
        if known:
            self._told_changed(str(known["metadata"]["namespace"]), str(known["metadata"]["name"]))

    async def _work(self, snapshot_id: str) -> float | None:
        item = self._items.get(snapshot_id)
        wanted = self._wanted(item) if item else None
        if (item and not wanted) or (not item and not self._feed.synced):
            return None  # another server's, or not known yet: leave it as it is
        try:
            return await self._settle(snapshot_id, wanted)
        except (MoorageError, OSError, ValueError) as error:
            log.warning("snapshot %s: %s", snapshot_id, error or type(error).__name__)
            return _RETRY

    def _wanted(self, item: Object) -> WantedSnapshot | None:
        try:
            snapshot = StorageSnapshot.model_validate(item)
        except ValidationError as error:
            log.warning("StorageSnapshot %s: %s", item["metadata"].get("name"), error)
            return None
        metadata, status = snapshot.metadata, snapshot.status
        placed, uid = status.placement, str(metadata["uid"])
        if not placed or placed.server != self._catalogue.server or placed.backend not in self._catalogue.backends:
            return None
        if status.id != names.short_id(uid) or not status.volume_id:
            return None
        return WantedSnapshot(
            id=status.id,
            namespace=str(metadata["namespace"]),
            name=str(metadata["name"]),
            uid=uid,
            volume_id=status.volume_id,
            volume_name=snapshot.spec.volume,
            deleting=bool(metadata.get("deletionTimestamp")),
            release=status.release,
            told=status.image,
        )

    async def _settle(self, snapshot_id: str, wanted: WantedSnapshot | None) -> float | None:
        work = asyncio.create_task(self._converge(snapshot_id, wanted))
        await asyncio.wait({work}, timeout=_SLOW)
        if not work.done() and wanted and not wanted.told:
            await self._report(wanted, SnapshotImage(state=ImageState.Creating, server=self._catalogue.server))
        try:
            seen, plan = await work
            reason, message = plan.reason, plan.message
        except (MoorageError, OSError) as error:
            reason = snapshotshare.NOT_YET if isinstance(error, Retry) else _reason(error)
            seen, message = await asyncio.to_thread(self._observe, snapshot_id, wanted), str(error)
        self._troubles.note(snapshot_id, message)
        if wanted:
            await self._report(wanted, snapshotshare.status(self._catalogue.server, wanted, seen, reason, message))
        elif seen.record:
            self._tell_orphan(seen.record)
        return _RETRY if message else None

    async def _converge(self, snapshot_id: str, wanted: WantedSnapshot | None) -> tuple[SeenSnapshot, SnapshotPlan]:
        for _ in range(_ROUNDS):
            seen = await asyncio.to_thread(self._observe, snapshot_id, wanted)
            plan = snapshotshare.plan(snapshot_id, wanted, seen)
            if not plan.actions:
                return seen, plan
            for action in plan.actions:
                await in_long_thread(self._apply, action)
                log.info("done: %s", action)
        raise Retry(f"snapshot {snapshot_id} does not settle")

    def _observe(self, snapshot_id: str, wanted: WantedSnapshot | None) -> SeenSnapshot:
        volume_id = wanted.volume_id if wanted else ""
        mounted = bool(volume_id) and self._mounts.mounted(volume_id)
        return SeenSnapshot(
            record=self._snapshots.record(snapshot_id),
            image_bytes=self._snapshots.image_bytes(snapshot_id),
            unfinished=self._snapshots.unfinished(snapshot_id),
            volume=self._pool.record(volume_id) if volume_id else None,
            volume_image_bytes=self._pool.image_bytes(volume_id) if volume_id else 0,
            shown_bytes=self._mounts.size(volume_id) if mounted else 0,
            clones=self._pool.clones,
        )

    def _apply(self, action: Action) -> None:
        """Each action states an end, and may be repeated after a crash anywhere."""
        match action:
            case snapshotshare.EnsureTaken(wanted, size):
                self._snapshots.take(wanted, self._mounts.point(wanted.volume_id), size)
            case snapshotshare.EnsureSnapshotAbsent(snapshot_id):
                self._snapshots.ensure_absent(snapshot_id)

    async def _report(self, wanted: WantedSnapshot, image: SnapshotImage) -> None:
        """One write per change. The uid keeps it off a new StorageSnapshot of the same name."""
        if wanted.told == image:
            return
        path = f"/apis/{names.API_VERSION}/namespaces/{wanted.namespace}/storagesnapshots/{wanted.name}"
        metadata = {"name": wanted.name, "namespace": wanted.namespace, "uid": wanted.uid}
        status = {"image": image.dump()}
        body = {"apiVersion": names.API_VERSION, "kind": "StorageSnapshot", "metadata": metadata, "status": status}
        try:
            await self._api.apply_status(path, names.AGENT_MANAGER, body)
        except NotFound:
            log.info("StorageSnapshot %s/%s is gone", wanted.namespace, wanted.name)

    def _tell_orphan(self, record: SnapshotRecord) -> None:
        if record.id not in self._orphans:
            self._orphans.add(record.id)
            log.warning(
                "snapshot %s was StorageSnapshot %s/%s, which is gone without a release: its data is kept",
                record.id, record.namespace, record.name,
            )  # fmt: skip


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, MoorageError) else "OSError"
