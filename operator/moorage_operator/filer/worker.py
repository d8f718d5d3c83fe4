"""The worker of one StorageBackend: feeds in, folders settled, status out; and an end when there is nothing to do."""

import asyncio
import logging
import time

from moorage import filer, filermount, names
from moorage.errors import MoorageError, NotFound, Retry
from moorage.filer import Around, Seen
from moorage.model import BackendServer, NfsEngine, Share, ShareState
from moorage_operator.agent.api import BACKENDS, VOLUMES, Api, Feed, Object
from moorage_operator.agent.poolreport import BackendReport
from moorage_operator.agent.report import VolumeReport
from moorage_operator.agent.workqueue import WorkQueue
from moorage_operator.filer.catalogue import Catalogue, Entry, share
from moorage_operator.filer.folders import Folders, Outcome
from moorage_operator.filer.mounting import FilerFailed
from moorage_operator.filer.trouble import judged

log = logging.getLogger(__name__)

_WORKERS = 4
_RETRY = 2.0
_PATIENCE = 60.0
_ANSWER = 20.0  # seconds in which the filer must tell its room
_LOOK = 0.5
_REPORT_EVERY = 10.0
_LEAVE = 30.0  # seconds for the operator to let go of a volume whose folder is settled


class Worker:
    """`idle` and `life` in seconds: when it ends by itself."""

    def __init__(
        self, api: Api, backend: str, engine: NfsEngine, server: str, folders: Folders, node: str = ""
    ) -> None:
        self._api = api
        self._engine = engine
        self._server = server
        self._node = node
        self._folders = folders
        self._catalogue = Catalogue(backend, server)
        self._queue = WorkQueue(self._work, _WORKERS)
        self._feed = Feed(api, VOLUMES, self._changed)
        self._volume_report = VolumeReport(api)
        self._backend_report = BackendReport(api)
        self._moved = time.monotonic()
        self._failure: MoorageError | None = None

    async def run(self, idle: float, life: float) -> None:
        """Until there was nothing to do for `idle` seconds, or for `life`.

        Raises FilerFailed when the filer is lost, Retry when nobody says which StorageVolumes there are.
        """
        began = time.monotonic()
        tasks = [asyncio.create_task(self._feed.run()), asyncio.create_task(self._queue.run())]
        try:
            await self._listed()
            for id in filer.unfinished(self._folders.home.records.values(), frozenset(self._catalogue.living)):
                self._queue.add(id)
            told = 0.0
            while not self._is_over(began, idle, life):
                if time.monotonic() - told > _REPORT_EVERY:
                    told = time.monotonic()
                    await self._tell_backend()
                await asyncio.sleep(_LOOK)
                for task in tasks:
                    if task.done():
                        task.result()
            await self._tell_backend()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listed(self) -> None:
        try:
            await asyncio.wait_for(self._feed.listed.wait(), _PATIENCE)
        except TimeoutError as error:
            raise Retry("the API server does not list the StorageVolumes") from error
        self._moved = time.monotonic()

    def _is_over(self, began: float, idle: float, life: float) -> bool:
        if self._failure:
            raise self._failure
        if self._queue.busy:
            self._moved = time.monotonic()
        now, patience = time.monotonic(), max(idle, _LEAVE) if self._catalogue.leaving else idle
        return now - self._moved > patience or now - began > life

    async def _tell_backend(self) -> None:
        try:
            total, free = await asyncio.wait_for(asyncio.to_thread(self._folders.space), _ANSWER)
        except TimeoutError as error:
            words = f"no answer within {_ANSWER:.0f} s"
            raise FilerFailed(filermount.lost(self._engine, words)) from error
        except OSError as error:
            raise judged(self._engine, error) from error
        home = self._folders.home
        now = BackendServer(
            name=self._server,
            total_bytes=total,
            free_bytes=free,
            promised_bytes=sum(each.size for each in home.records.values() if each.folder),
            node=self._node,
        )
        kept = filer.kept(self._around()) if self._feed.synced else None
        try:
            item = await self._api.get(f"{BACKENDS}/{self._catalogue.backend}")
            await self._backend_report.write(item, now, kept)
        except MoorageError as error:
            log.warning("%s", error)

    def _around(self) -> Around:
        home = self._folders.home
        return Around(self._catalogue.backend, self._engine, dict(home.records), frozenset(self._catalogue.living))

    def _changed(self, uid: str, item: Object | None) -> None:
        id = names.short_id(uid)
        before = self._catalogue.entries.get(id)
        self._catalogue.take(uid, item)
        after = self._catalogue.entries.get(id)
        if after and (not before or before.wanted != after.wanted):
            self._queue.add(id)

    async def _work(self, id: str) -> float | None:
        if not self._feed.synced:  # who lives is not known yet
            return _LOOK
        entry = self._catalogue.entries.get(id)
        if not entry and id in self._catalogue.living:
            return None
        try:
            return await self._settle(id, entry)
        except FilerFailed as error:
            self._failure = error
        except Retry as error:
            log.info("share %s: %s", id, error)
            return _RETRY
        except MoorageError as error:
            log.warning("share %s: %s", id, error)
        return None

    async def _settle(self, id: str, entry: Entry | None) -> float | None:
        try:
            done = await asyncio.to_thread(self._folders.settle, id, entry.wanted if entry else None, self._around)
        except (OSError, MoorageError) as error:
            if isinstance(error, Retry):
                raise
            if entry:
                await self._report_failure(entry, judged(self._engine, error) if isinstance(error, OSError) else error)
            return None
        if done.unfinished:
            return 0.0
        if entry:
            await self._report(entry, done)
        return None

    async def _report(self, entry: Entry, done: Outcome) -> None:
        plan, server = done.plan, self._server
        await self._write(entry, share(server, self._engine, entry, done.seen, plan.reason, plan.message, plan.note))

    async def _report_failure(self, entry: Entry, error: MoorageError) -> None:
        """What is served stays so: nodes have it mounted."""
        before, wanted = entry.reported, entry.wanted
        if before and before.state == ShareState.Served and not wanted.released:
            found = before.model_copy(update={"reason": error.reason, "message": str(error)})
        else:
            found = share(self._server, self._engine, entry, Seen(), error.reason, str(error))
        await self._write(entry, found)

    async def _write(self, entry: Entry, found: Share) -> None:
        if found.message:
            log.warning("share %s: %s", entry.wanted.id, found.message)
        try:
            await self._volume_report.write(entry, found)
        except NotFound:
            log.info("StorageVolume %s/%s is gone", entry.wanted.namespace, entry.wanted.name)
