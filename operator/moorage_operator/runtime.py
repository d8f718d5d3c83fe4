"""The operator as one value: index, queue, reconciler and their loops. `run` ends when it is cancelled or fails."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from itertools import chain

import kopf

from moorage import names
from moorage.actions import Manifest
from moorage.attachmentfacts import HolderImage
from moorage.errors import MoorageError, NotFound
from moorage_operator import handlers
from moorage_operator.apply import Applier
from moorage_operator.attachments import AttachmentObserver
from moorage_operator.backends import BackendObserver
from moorage_operator.bucketaccess import admitted
from moorage_operator.buckets import BucketObserver
from moorage_operator.cluster import Cluster
from moorage_operator.engines.desk import Engines
from moorage_operator.filers import Filers
from moorage_operator.holding import Holding
from moorage_operator.index import Index
from moorage_operator.keys import KeyObserver
from moorage_operator.metrics import Metrics
from moorage_operator.observe import Observers
from moorage_operator.probe import Probe, Prober
from moorage_operator.queue import WorkQueue
from moorage_operator.reconcile import Reconciler
from moorage_operator.settings import Settings, kopf_settings
from moorage_operator.snapshots import SnapshotObserver
from moorage_operator.store import Key, key_of
from moorage_operator.strays import Strays
from moorage_operator.volumes import VolumeObserver
from moorage_operator.walks import Walks
from moorage_operator.watch import WATCHED, Router

SECOND_LISTING = 10.0  # seconds after the start: what vanished between our listing and kopf's
ENDING = 10.0  # seconds
OURS = frozenset(kind for version, kind, _ in WATCHED if version == names.API_VERSION)
STALE = 3  # relist periods without a good listing, after which the process is called dead

log = logging.getLogger(__name__)


class WatchesEnded(MoorageError):
    """Only a fresh process watches everything again."""


class Operator:
    """`probe` stands in for the network in tests where there is no cluster DNS."""

    def __init__(self, cluster: Cluster, settings: Settings, probe: Probe | None = None) -> None:
        self._cluster = cluster
        self._settings = settings
        self.index = Index()
        self.metrics = Metrics()
        engines = Engines(cluster, lambda name: admitted(self.index, name))
        self._walks = Walks(engines, self.index, self._wake, self._look_deeply, settings.walk, settings.stamp)
        holding, snapshots = Holding(cluster, self.index), SnapshotObserver(cluster, self.index)
        account, image = settings.node_service_account, HolderImage(settings.holder_image, settings.holder_pull_policy)
        filers = Filers(cluster, self.index, settings.filer_worker)
        self._observers = Observers(
            volumes=VolumeObserver(cluster, self.index, snapshots, holding),
            attachments=AttachmentObserver(cluster, self.index, image),
            snapshots=snapshots,
            buckets=BucketObserver(cluster, self.index, engines, holding, account, self._walks.counts, settings.deep),
            keys=KeyObserver(cluster, self.index, engines),
            backends=BackendObserver(cluster, self.index, probe or Prober(engines), filers),
        )
        reconciler = Reconciler(
            cluster,
            self.index,
            self._observers,
            Applier(cluster, self.index, engines),
            self.metrics,
            settings.identity,
        )
        self.queue = WorkQueue[Key](reconciler, settings.workers)
        self._strays = Strays(cluster, self.index, settings.identity)
        self._router = Router(self.index, self.queue.add, self.queue.add_after)
        self._listed = time.monotonic()
        self.hung = False  # kopf's tasks did not end
        self._absent: frozenset[str] = frozenset()  # kinds of ours without a CRD when they were last listed
        self._unwatched: frozenset[str] = frozenset()  # and when the watches began
        self.metrics.watch_depth(lambda: self.queue.depth)
        self.metrics.watch_objects(self._phased)
        self.metrics.watch_backends(self.index.backends.values)

    async def run(self, ready: asyncio.Event | None = None, on_watch: Callable[[], None] = lambda: None) -> None:
        """List, then watch, reconcile and list again now and then.

        `on_watch` is called when kopf has been started: it takes the signals of the process, who wants them takes them
        back then.
        """
        await self._list_when_there()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            group.create_task(self._resync())
            group.create_task(self._relist())
            group.create_task(self._strays.run())
            group.create_task(self._walks.run())
            group.create_task(self._watch(ready, on_watch))

    def _wake(self, body: Manifest) -> None:
        self.queue.add(key_of(body))

    def _look_deeply(self, body: Manifest) -> None:
        self._observers.forget(body["metadata"]["uid"])
        self._wake(body)

    def trouble(self) -> str | None:
        """What is wrong with this process, for its liveness probe."""
        silence = time.monotonic() - self._listed
        if silence > STALE * self._settings.relist:
            return f"no good listing of the API for {silence:.0f} s"
        return None

    def see(self, body: Manifest, deleted: bool = False, listed: bool = False) -> None:
        self.metrics.last_event.set_to_current_time()
        self._router.see(body, deleted, listed)

    async def _watch(self, ready: asyncio.Event | None, on_watch: Callable[[], None]) -> None:
        registry = kopf.OperatorRegistry()
        settings = kopf_settings()
        handlers.register(registry, settings, self._cluster, self.see)
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=settings,
            clusterwide=True,
            standalone=True,
            ready_flag=ready,
        )
        on_watch()
        # Not kopf.operator(): when it stops, it cancels and awaits every younger task of the process, whoever made it.
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # kopf 1.4x asserts in a callback when it is stopped after a watch has failed, and then waits for ever.
            _, pending = await asyncio.wait(tasks, timeout=ENDING)
            self.hung = bool(pending)
        reasons = [str(task.exception() or task.get_name()) for task in done if not task.cancelled()]
        raise WatchesEnded(f"the watches have ended ({'; '.join(reasons)}); stopping, so that a fresh process starts")

    def _phased(self) -> Iterable[Manifest]:
        index = self.index
        stores = (index.volumes, index.attachments, index.snapshots, index.buckets, index.keyring.store)
        return chain.from_iterable(store.values() for store in stores)

    async def _resync(self) -> None:
        """One more look at everything, spread over some turns.

        Watches show what matters to volumes and attachments; none shows that somebody has deleted a bucket's Secret.
        """
        index = self.index
        for turn in itertools.count():
            await asyncio.sleep(self._settings.resync)
            for body in index.backends.values():
                self.queue.add(key_of(body))
            for store, turns in (
                (index.buckets, 2),
                (index.volumes, 10),
                (index.attachments, 10),
                (index.snapshots, 10),
                (index.keyring.store, 5),
            ):
                for body in store.values()[turn % turns :: turns]:
                    self.queue.add(key_of(body))

    async def _relist(self) -> None:
        pause = min(SECOND_LISTING, self._settings.relist)
        while True:
            await asyncio.sleep(pause)
            pause = self._settings.relist
            try:
                await self._list()
            except WatchesEnded:
                raise
            except MoorageError as error:
                log.warning("listing failed: %s", error)

    async def _list_when_there(self) -> None:
        """The chart's CRDs may still be on their way when we start; or some of them were removed for good.

        Then the others are served, or their objects would keep our finalizers for ever, and their CRDs with them.
        """
        until = time.monotonic() + self._settings.crds_patience
        while True:
            await self._list()
            if not self._absent or (time.monotonic() > until and self._absent < OURS):
                self._unwatched = self._absent
                return
            log.warning("waiting for the CRDs of %s: kubectl apply -f crds/", ", ".join(sorted(self._absent)))
            await asyncio.sleep(1)

    async def _list(self) -> None:
        absent: set[str] = set()
        for api_version, kind, selectors in WATCHED:
            before, looks = self.index.known(kind), self.index.slender(kind)
            there: set[str] = set()
            try:
                async for page in self._cluster.pages(api_version, kind, **selectors):
                    there.update(_identity(each) for each in page)
                    for body in page:
                        self._router.see(body, listed=True)
            except NotFound:  # its CRD is gone, and its objects with it
                if kind not in OURS:
                    raise
                absent.add(kind)
            newer = _newer(looks, self.index.slender(kind))
            for uid, body in before.items():
                if uid not in there and uid not in newer:  # known before the listing began and not in it: gone
                    self._router.see(body, deleted=True)
        self._listed, self._absent = time.monotonic(), frozenset(absent)
        if back := self._unwatched - self._absent:
            raise WatchesEnded(f"the CRDs of {', '.join(sorted(back))} are back; stopping, so that they are watched")


def _newer(before: dict[str, object], after: dict[str, object]) -> set[str]:
    """Those that a watch has shown during the listing: such a one may have been made anew under its old name."""
    return {name for name, value in after.items() if value is not before.get(name)}


def _identity(body: Manifest) -> str:
    metadata = body["metadata"]
    slender = body["kind"] in ("Pod", "Node", "Namespace")
    return f"{metadata.get('namespace', '')}/{metadata['name']}" if slender else metadata["uid"]
