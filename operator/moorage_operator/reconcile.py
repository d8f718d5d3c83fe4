"""observe -> plan -> apply, for one object at a time; one status write, and none when nothing changed."""

import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from moorage import (
    attachmentplan,
    attachmentrelease,
    backendplan,
    bucketplan,
    bucketrelease,
    conditions,
    keyplan,
    keyrelease,
    names,
    plan,
    quantity,
    snapshotplan,
    snapshotrelease,
    stumble,
    transitions,
)
from moorage.actions import Manifest, Plan, part, reference
from moorage.errors import MoorageError
from moorage.model import (
    BucketKeyStatus,
    BucketStatus,
    Model,
    StorageAttachmentStatus,
    StorageBackendStatus,
    StorageSnapshotStatus,
    StorageVolumeStatus,
)
from moorage.release import release
from moorage_operator import events
from moorage_operator.apply import Applier
from moorage_operator.cluster import ApiConflict, ApiUnavailable, Cluster
from moorage_operator.index import Index
from moorage_operator.metrics import Metrics, Stay
from moorage_operator.observe import Observers
from moorage_operator.store import Key, name_of
from moorage_operator.times import now

Status = TypeVar(
    "Status",
    StorageVolumeStatus,
    StorageAttachmentStatus,
    StorageSnapshotStatus,
    BucketStatus,
    BucketKeyStatus,
    StorageBackendStatus,
)

# What other field managers write into the same status; a server-side apply of ours must not name it.
NOT_OURS: Mapping[str, tuple[str, ...]] = {
    "StorageVolume": ("share", "usage"),
    "StorageSnapshot": ("image",),
    "StorageBackend": ("servers",),
}

log = logging.getLogger(__name__)


class Reconciler:
    """Called by the work queue, never twice at a time for one object."""

    def __init__(
        self, cluster: Cluster, index: Index, observers: Observers, apply: Applier, metrics: Metrics, instance: str
    ) -> None:
        self._cluster = cluster
        self._index = index
        self._observers = observers
        self._apply = apply
        self._metrics = metrics
        self._instance = instance

    async def __call__(self, key: Key) -> float | None:
        """Seconds until the object wants another look by itself, or None."""
        body = self._index.stores[key.kind].get(key.namespace, key.name)
        if body is None:
            return None
        started = time.monotonic()
        try:
            return await self._reconcile(key.kind, body)
        except ValidationError as error:  # the API server admits no such object; a newer CRD might
            self._metrics.errors.labels(key.kind, "InvalidObject").inc()
            log.error("%s cannot be read: %s", key, error.errors(include_input=False, include_url=False))
            return None
        except MoorageError as error:
            self._metrics.errors.labels(key.kind, error.reason).inc()
            self._observers.forget(body["metadata"]["uid"])  # what was to be done after a deep look is still to be done
            raise
        finally:
            self._metrics.duration.labels(key.kind).observe(time.monotonic() - started)

    async def _reconcile(self, kind: str, body: Manifest) -> float | None:
        deleting = "deletionTimestamp" in body["metadata"]
        if kind == "StorageVolume":
            volume = await self._observers.volumes(body)
            step = release(volume) if deleting else plan.plan(volume)
            self._promise(body, volume.volume.status, step.status)
            return await self._carry_out(body, volume.volume.status, step)
        if kind == "StorageAttachment":
            attachment = await self._observers.attachments(body)
            step = attachmentrelease.release(attachment) if deleting else attachmentplan.plan(attachment)
            return await self._carry_out(body, attachment.attachment.status, step)
        if kind == "StorageSnapshot":
            snapshot = await self._observers.snapshots(body)
            step = snapshotrelease.release(snapshot) if deleting else snapshotplan.plan(snapshot)
            return await self._carry_out(body, snapshot.snapshot.status, step)
        if kind == "Bucket":
            bucket = await self._observers.buckets(body)
            step = bucketrelease.release(bucket) if deleting else bucketplan.plan(bucket)
            return await self._carry_out(body, bucket.bucket.status, step)
        if kind == "BucketKey":
            key = await self._observers.keys(body)
            step = keyrelease.release(key) if deleting else keyplan.plan(key)
            return await self._carry_out(body, key.key.status, step)
        backend = await self._observers.backends(body)
        return await self._carry_out(body, backend.backend.status, backendplan.plan(backend))

    async def _carry_out(self, body: Manifest, before: Status, step: Plan[Status]) -> float | None:
        try:
            for action in step.actions:
                body = await self._apply(body, action)
        except (ApiUnavailable, ApiConflict):
            raise  # passes; the status stays as it is
        except MoorageError as error:
            if not isinstance(before, StorageBackendStatus):
                await self._settle(body, before, stumble.stumbled(before, body["metadata"], error, now()))
            raise
        body = await self._settle(body, before, step)
        if step.finish:
            await self._finish(body)
        return step.requeue_after

    async def _settle(self, body: Manifest, before: Status, step: Plan[Status]) -> Manifest:
        """Tell what changes, then write the status if it differs; gives the object as it is then.

        In this order, because what starts over after a crash in between comes to the same Events and names them so.
        """
        mark = transitions.mark(before)
        for notice in step.notices:
            await events.post(self._cluster, events.event(body, notice, mark, self._instance))
        if step.status == before:
            return body
        body = await self._write_status(body, step.status)
        old, new = Stay.of(before), Stay.of(step.status)
        if old.phase != new.phase:
            self._metrics.moved(body["kind"], old, new)
            log.info("%s is %s", reference(body), new.phase)
        return body

    async def _write_status(self, body: Manifest, status: Model) -> Manifest:
        """Raises ApiConflict when pods would be let in on an old look: its deletion may have begun since."""
        kind, metadata = body["kind"], body["metadata"]
        whole = status.dump()
        for field in NOT_OURS.get(kind, ()):
            whole.pop(field, None)
        wanted = ("name", "namespace", "uid", *(("resourceVersion",) if _lets_in(status) else ()))
        manifest: dict[str, Any] = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {key: metadata[key] for key in wanted if key in metadata},
            "status": whole,
        }
        self._metrics.status_writes.labels(kind).inc()
        answer = await self._cluster.apply(manifest, sub="status")
        if self._index.stores[kind].put(answer) and kind == "StorageAttachment":
            self._index.links.put(answer)
        if kind == "StorageVolume":
            self._index.keep_place(name_of(answer))
        return answer

    def _promise(self, body: Manifest, before: StorageVolumeStatus, after: StorageVolumeStatus) -> None:
        """Room is taken when a place is chosen: others are placed while this is still being written."""
        placed, size = after.placement, part(body, "spec").get("size")
        if placed and placed.server and size and before.placement is None:
            self._index.promises.make(name_of(body), (placed.backend, placed.server), quantity.parse(size))

    async def _finish(self, body: Manifest) -> None:
        await self._cluster.let_go(body)
        self._observers.forget(body["metadata"]["uid"])


def _lets_in(status: Model) -> bool:
    """Whether the node plugin mounts what has this status."""
    found = () if isinstance(status, StorageBackendStatus) else getattr(status, "conditions", ())
    return conditions.is_true(found, conditions.READY)
