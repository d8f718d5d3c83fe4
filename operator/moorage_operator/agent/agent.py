"""The share agent: an NFS server in front of the shares of its pool."""

import asyncio
import contextlib
import logging
import time
from typing import TypeGuard

from moorage import ganesha
from moorage.clone import Asked
from moorage.errors import Retry
from moorage.record import Record
from moorage.share import Place
from moorage_operator.agent.api import NODES, Api, Feed, Object
from moorage_operator.agent.catalogue import Catalogue
from moorage_operator.agent.clones import Clones
from moorage_operator.agent.keeper import Keeper
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.origins import Origins
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.server import Server
from moorage_operator.agent.settings import Settings
from moorage_operator.agent.snapshotpool import SnapshotPool
from moorage_operator.agent.snapshots import Snapshots

log = logging.getLogger(__name__)

_GLANCE = 2.0
_PATIENCE = 30.0  # Ganesha may be away this long before its shares are called Failed


class Agent(Keeper):
    """Owns the server of one pool."""

    def __init__(self, settings: Settings, pool: Pool, api: Api) -> None:
        self.server = Server(settings.run_dir, pool.recovery, settings.nfs_port, self._everything)
        catalogue = Catalogue(settings.pod, settings.namespace, settings.stateful_set)
        mounts = Mounts(settings.export_root, pool)
        super().__init__(settings, pool, mounts, self.server, catalogue, api)
        kept = SnapshotPool(pool)
        self.snapshots = Snapshots(api, catalogue, pool, kept, mounts, self._snapshot_changed)
        origins = Origins(lambda: list(self._volumes.objects.values()), self.snapshots.items, pool, kept, mounts)
        self._shares.clones = Clones(pool, kept, mounts, origins, settings.server)
        self._settings = settings
        self._nodes = Feed(api, NODES, self._node_changed)
        self._clients = pool.state.clients

    @property
    def place(self) -> Place:
        """Extra addresses are admitted beside the nodes, and also before those are known."""
        extra = self._settings.extra_clients
        known = self._clients is not None or extra
        clients = ganesha.client_list(self._clients or (), extra) if known else None
        return Place(str(self._settings.export_root), clients)

    async def restore(self) -> None:
        """Before Ganesha starts, so that clients find every export at once."""
        await super().restore()
        log.info("%d shares to export at start", len(self.server.exports))

    def _restored(self, record: Record) -> None:
        if self.place.clients is not None:
            self.server.exports[record.export_id] = self.place.export(record)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nodes.run())
            group.create_task(super().run())
            await self._nodes_seen()
            group.create_task(self.server.run())
            await self._backends.listed.wait()
            group.create_task(self.snapshots.run())

    async def _nodes_seen(self) -> None:
        """Before Ganesha starts, for a moment: a node that is gone since must not be waited for in its grace period."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GLANCE):
                await self._nodes.listed.wait()
                await self._backends.listed.wait()

    def _everything(self) -> None:
        super()._everything()
        self.snapshots.everything()

    def _snapshot_changed(self, namespace: str, name: str) -> None:
        """Room, and volumes that may wait for it."""
        self._report_due.set()
        for volume_id, entry in self.catalogue.entries.items():
            wanted = entry.wanted
            if wanted.namespace == namespace and wanted.source and wanted.source == Asked("snapshot", name):
                self._queue.add(volume_id)

    def _backend_changed(self, uid: str, item: Object | None) -> None:
        super()._backend_changed(uid, item)
        self.snapshots.everything()

    def _backends_changed(self) -> None:
        self._admit()

    def _node_changed(self, _uid: str, _item: Object | None) -> None:
        self._admit()

    def _admit(self) -> None:
        """Exports follow the nodes of our backends; while those are not known the old list stands."""
        found = self.catalogue.clients(self._nodes.objects.values())
        if found is not None and found != self._clients:
            log.info("clients: %s", ", ".join(found) or "none, no node matches the nodeSelector")
            self._clients = found
            self.server.admit(self.place.clients or ())
            self.pool.keep_clients(found)
            self._everything()

    def _passing(self, error: Exception) -> TypeGuard[Retry]:
        """A restart of Ganesha is over before anybody could act on it."""
        down = self.server.down_since
        return isinstance(error, Retry) and (down is None or time.monotonic() - down < _PATIENCE)
