"""What every agent does: feeds in, shares of its pool converged, status out."""

import asyncio
import contextlib
import logging
import time

from moorage import adoption, names
from moorage.errors import MoorageError, NotFound, Retry
from moorage.model import Kept, ShareState
from moorage.record import Record
from moorage.share import Place, Seen, Wanted
from moorage_operator.agent.api import BACKENDS, VOLUMES, Api, Feed, Object
from moorage_operator.agent.catalogue import Catalogue, Entry, Standing
from moorage_operator.agent.healing import Healing
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.poolreport import PoolReport
from moorage_operator.agent.reconcile import Exports, Shares
from moorage_operator.agent.report import Site, VolumeReport, share_state, share_status
from moorage_operator.agent.trim import Trimmer
from moorage_operator.agent.troubles import Troubles
from moorage_operator.agent.usage import UsageWatch
from moorage_operator.agent.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 8
_RETRY = 5.0
_PERIOD = 10.0
_RESYNC = 60.0
_GATHER = 0.2  # what changes together is reported once
_SLOW = 1.0  # after this, a share in the making says Creating


class Keeper:
    """Keeps the shares of one pool. How they are served is said by who derives from it."""

    def __init__(
        self,
        site: Site,
        pool: Pool,
        mounts: Mounts,
        exports: Exports,
        catalogue: Catalogue,
        api: Api,
        selector: str = "",
    ) -> None:
        """`selector`: a field selector for the StorageVolumes to watch; empty: all of them."""
        self.pool = pool
        self.mounts = mounts
        self.catalogue = catalogue
        self.failures = Troubles("share")
        self.heartbeat = time.monotonic()
        self._site = site
        self._trimmer = Trimmer(pool, mounts, lambda: self._pool_report.overfull)
        self._shares = Shares(pool, mounts, exports, self._trimmer, self._owner)
        self._queue = WorkQueue(self._work, WORKERS)
        self._volumes = Feed(api, VOLUMES, self._volume_changed, selector, watches=20 if selector else 1)
        self._backends = self._backend_feed(api)
        self._volume_report = VolumeReport(api)
        self._healing = Healing(mounts, site, self._volume_report, lambda: self.catalogue.entries)
        self._usage = UsageWatch(mounts, self._volume_report, lambda: self.catalogue.entries, self._queue.add)
        self._pool_report = PoolReport(api, site, pool, catalogue)
        self._report_due = asyncio.Event()
        self._told: set[str] = set()

    def _backend_feed(self, api: Api) -> Feed:
        return Feed(api, BACKENDS, self._backend_changed)

    @property
    def place(self) -> Place | None:
        """How shares are exported; None: they are not."""
        return None

    def served(self) -> tuple[Record, ...]:
        """Shares on the pool that shall be served, whether or not they are."""
        return tuple(record for record in self.pool.records() if self._shall_serve(record))

    def orphans(self) -> tuple[Record, ...]:
        """Shares whose StorageVolume is gone without a release: kept, not served."""
        return tuple(
            record
            for record in self.pool.records()
            if not record.retained and self.catalogue.standing(record.id) is Standing.orphan
        )

    def kept(self) -> tuple[Kept, ...] | None:
        """Shares that a volume may adopt; None before it is known which volumes there are. Blocking."""
        if not self.catalogue.synced:
            return None
        return adoption.kept(self._shares.source(record) for record in self.pool.records())

    async def restore(self) -> None:
        """Mount what is on the pool, before anything else is done."""
        records = [record for record in await asyncio.to_thread(self.pool.records) if not record.retained]
        gate = asyncio.Semaphore(WORKERS)

        async def one(record: Record) -> None:
            async with gate:
                try:
                    await asyncio.to_thread(self.mounts.ensure_mounted, record.id)
                except (MoorageError, OSError) as error:
                    log.error("share %s is not mounted: %s", record.id, error)
                    return
                self._restored(record)

        await asyncio.gather(*(one(record) for record in records))
        log.info("%d shares on the pool", len(records))

    def _restored(self, record: Record) -> None:
        """A share is mounted again, at the start."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._backends.run())
            group.create_task(self._tick())
            group.create_task(self._usage.run())
            group.create_task(self._trimmer.run())
            # Which volumes are ours depends on the backends.
            await self._backends.listed.wait()
            group.create_task(self._volumes.run())
            await self._volumes.listed.wait()
            self._everything()

    async def _tick(self) -> None:
        looked = 0.0
        while True:
            self.heartbeat = time.monotonic()
            if self.heartbeat - looked > _RESYNC or not self.catalogue.synced:
                looked = self.heartbeat
                self._everything()
            await self._report_pool()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._report_due.wait(), _PERIOD)
                await asyncio.sleep(_GATHER)
            self._report_due.clear()

    async def _report_pool(self) -> None:
        kept = await asyncio.to_thread(self.kept)
        await self._pool_report.write(self._backends.objects.values(), kept)

    def _everything(self) -> None:
        """Look at every share again: all that is wanted, and all that is on the pool."""
        self.catalogue.synced = self._volumes.synced
        for volume_id in self.catalogue.entries.keys() | self.pool.ids():
            self._queue.add(volume_id)

    def _volume_changed(self, uid: str, item: Object | None) -> None:
        volume_id = names.short_id(uid)
        before = self.catalogue.entries.get(volume_id)
        self.catalogue.take_volume(uid, item)
        after = self.catalogue.entries.get(volume_id)
        if item is None:
            self._volume_report.forget(uid)
            self._healing.forget(volume_id)
            self._report_due.set()
        if not before or not after or before.wanted != after.wanted:  # our own status writes come back here too
            self._queue.add(volume_id)

    def _backend_changed(self, _uid: str, _item: Object | None) -> None:
        if self.catalogue.take_backends(self._backends.objects.values()):
            self._report_due.set()
            for uid, item in self._volumes.objects.items():
                self._volume_changed(uid, item)
            self._backends_changed()

    def _backends_changed(self) -> None:
        """Which backends this server belongs to, or what they say."""

    def _shall_serve(self, record: Record) -> bool:
        entry = self.catalogue.entries.get(record.id)
        released = entry and entry.wanted.released
        return not record.retained and not released and self.catalogue.standing(record.id) is not Standing.orphan

    async def _work(self, volume_id: str) -> float | None:
        standing = self.catalogue.standing(volume_id)
        entry = self.catalogue.entries.get(volume_id)
        try:
            wanted = entry.wanted if entry else await self._held(volume_id, standing)
            if not entry and not wanted and standing is not Standing.orphan:
                return None
            if pause := await self._healing.pause(volume_id, entry, wanted):
                return pause
            await self._settle(volume_id, entry, wanted)
        except Retry as error:  # not worth a change of status
            log.debug("share %s: %s", volume_id, error)
            return _RETRY
        except (MoorageError, OSError, ValueError) as error:
            self.failures.note(volume_id, str(error) or type(error).__name__)
            return _RETRY
        return self._healing.settled(volume_id, volume_id in self.failures, _RETRY)

    def _owner(self, record: Record) -> str:
        if not self.catalogue.synced:
            raise Retry("which StorageVolumes there are is not known yet")
        if self.catalogue.standing(record.id) is Standing.orphan:
            return ""
        return f"StorageVolume {record.namespace}/{record.name}"

    async def _held(self, volume_id: str, standing: Standing) -> Wanted | None:
        """Serve on as the record says, for as long as the cluster does not say otherwise."""
        record = await asyncio.to_thread(self.pool.record, volume_id)
        if standing is not Standing.held or not record or record.retained:
            return None
        return Wanted(record.id, record.namespace, record.name, record.uid, record.size, squash=record.squash)

    async def _settle(self, volume_id: str, entry: Entry | None, wanted: Wanted | None) -> None:
        work = asyncio.create_task(self._shares.converge(volume_id, wanted, self.place))
        await asyncio.wait({work}, timeout=_SLOW)
        if not work.done() and entry and not entry.reported:
            await self._volume_report.write(entry, share_state(self._site, entry.wanted, ShareState.Creating))
        try:
            seen, plan = await work
            reason, message = plan.reason, plan.message
        except Retry as error:
            if entry and not entry.reported:
                waiting = share_state(self._site, entry.wanted, ShareState.Creating, error.reason, str(error))
                await self._volume_report.write(entry, waiting)
            raise
        except (MoorageError, OSError) as error:
            reason = error.reason if isinstance(error, MoorageError) else "OSError"
            seen, message = await self._shares.observe(volume_id), str(error)
        reason, message = self._healing.words(volume_id, reason, message)
        self.failures.note(volume_id, message)
        if wanted and wanted.adoption:
            self._report_due.set()
        if entry:
            await self._report(entry, seen, reason, message)
        elif seen.record and not seen.record.retained and not wanted:
            self._tell_orphan(seen.record)

    def _tell_orphan(self, record: Record) -> None:
        if record.id not in self._told:
            self._told.add(record.id)
            log.warning(
                "share %s was StorageVolume %s/%s, which is gone without a release: its data is kept and not served",
                record.id, record.namespace, record.name,
            )  # fmt: skip

    async def _report(self, entry: Entry, seen: Seen, reason: str, message: str) -> None:
        try:
            await self._volume_report.write(entry, share_status(self._site, entry.wanted, seen, reason, message))
        except NotFound:
            log.info("StorageVolume %s/%s is gone", entry.wanted.namespace, entry.wanted.name)
