"""This server's entry in `status.servers` of its backends: what its pool holds, and what it could still take."""

import asyncio
import logging
from collections.abc import Iterable

from moorage import imagesize, names
from moorage.errors import MoorageError
from moorage.model import BackendServer, Kept, StorageBackend
from moorage_operator.agent.api import BACKENDS, Api, Object
from moorage_operator.agent.catalogue import Catalogue
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.report import Site, status_body

log = logging.getLogger(__name__)

_WORTH = 100  # a change of room of more than one part in so many of the pool is written
_SCARCE = 8  # or of more than one part in so many of the room itself: on a nearly full pool a little is much


class BackendReport:
    """Each server has a field manager of its own: one for all would take the others' entries away."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._said: dict[str, tuple[str, BackendServer]] = {}  # by backend: as it was then, and what was said of it

    async def write(self, item: Object, now: BackendServer, kept: tuple[Kept, ...] | None) -> None:
        """The entry of server `now` with `kept` in it; None: not known yet, so what was said before stands."""
        backend = StorageBackend.model_validate(item)
        name, seen = str(backend.metadata["name"]), str(backend.metadata.get("resourceVersion", ""))
        before = next((server for server in backend.status.servers if server.name == now.name), None)
        if seen and self._said.get(name, ("",))[0] == seen:  # it was not looked at since
            before = self._said[name][1]
        now = now.model_copy(update={"kept": (before.kept if before else ()) if kept is None else kept})
        if before and not differs(before, now):
            return
        body = status_body("StorageBackend", {"name": name}, {"servers": [now.dump()]})
        await self._api.apply_status(f"{BACKENDS}/{name}", names.agent_manager(now.name), body)
        self._said[name] = seen, now


class PoolReport:
    """The pool of a server with images of its own."""

    def __init__(self, api: Api, site: Site, pool: Pool, catalogue: Catalogue) -> None:
        self.overfull = False
        self._report = BackendReport(api)
        self._site = site
        self._pool = pool
        self._catalogue = catalogue

    async def write(self, backends: Iterable[Object], kept: tuple[Kept, ...] | None) -> None:
        """To those that this server belongs to. `kept` None: not known yet, so what was said before stands."""
        seen = await asyncio.to_thread(self.look)
        for item in backends:
            name = str(item["metadata"]["name"])
            if name not in self._catalogue.backends:
                continue
            # Where nothing is reserved the whole rest of the pool is room.
            free = seen.free_bytes if self._catalogue.overcommits(name) else imagesize.room(seen.free_bytes)
            try:
                await self._report.write(item, seen.model_copy(update={"free_bytes": free}), kept)
            except MoorageError as error:
                log.warning("%s", error)

    def look(self) -> BackendServer:
        """The pool as it is, `free_bytes` as statfs(2) has it. Blocking."""
        total, free = self._pool.space()
        records = self._pool.records()
        overcommitted = any(record.sparse for record in records) or self._catalogue.overcommits_any
        self.overfull = overcommitted and imagesize.overfull(total, free, self.overfull)
        return BackendServer(
            name=self._site.server,
            total_bytes=total,
            free_bytes=free,
            promised_bytes=sum(record.size for record in records),
            node=self._site.node,
            clones=self._pool.clones,
            overfull=self.overfull,
        )


def differs(before: BackendServer, now: BackendServer) -> bool:
    """Whether it is worth a write: free room changes with every file on an overcommitted pool."""
    moved, most = abs(before.free_bytes - now.free_bytes), max(before.free_bytes, now.free_bytes)
    told = moved * _WORTH > now.total_bytes or (moved >= imagesize.LOG_BYTES and moved * _SCARCE > most)
    return told or before.model_copy(update={"free_bytes": now.free_bytes}) != now
