"""The share agent: an NFS server in front of the shares of its pool."""

import asyncio
import logging
import time
from typing import TypeGuard

from moorage import ganesha
from moorage.errors import Retry
from moorage.record import Record
from moorage.share import Place
from moorage_operator.agent.api import NODES, Api, Feed, Object
from moorage_operator.agent.catalogue import Catalogue, node_addresses
from moorage_operator.agent.keeper import Keeper
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.server import Server
from moorage_operator.agent.settings import Settings

log = logging.getLogger(__name__)

_PATIENCE = 30.0  # Ganesha may be away this long before its shares are called Failed


class Agent(Keeper):
    """Owns the server of one pool."""

    def __init__(self, settings: Settings, pool: Pool, api: Api) -> None:
        self.server = Server(settings.run_dir, pool.recovery, settings.nfs_port, self._everything)
        catalogue = Catalogue(settings.pod, settings.namespace, settings.stateful_set)
        super().__init__(settings, pool, Mounts(settings.export_root, pool), self.server, catalogue, api)
        self._settings = settings
        self._nodes = Feed(api, NODES, self._node_changed)
        self._clients = pool.state.clients

    @property
    def place(self) -> Place:
        clients = ganesha.client_list(self._clients, self._settings.extra_clients)
        return Place(str(self._settings.export_root), clients)

    async def restore(self) -> None:
        """Before Ganesha starts, so that clients find every export at once."""
        await super().restore()
        log.info("%d shares to export at start", len(self.server.exports))

    def _restored(self, record: Record) -> None:
        if self.place.clients:
            self.server.exports[record.export_id] = self.place.export(record)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.server.run())
            group.create_task(self._nodes.run())
            group.create_task(super().run())

    def _node_changed(self, _uid: str, _item: Object | None) -> None:
        found = ganesha.client_list(node_addresses(self._nodes.objects.values()))
        if found and found != self._clients:  # no node at all is a mistake somewhere: keep the old list
            log.info("clients: %s", ", ".join(found))
            self._clients = found
            self.pool.keep_clients(found)
            self._everything()

    def _passing(self, error: Exception) -> TypeGuard[Retry]:
        """A restart of Ganesha is over before anybody could act on it."""
        down = self.server.down_since
        return isinstance(error, Retry) and (down is None or time.monotonic() - down < _PATIENCE)
