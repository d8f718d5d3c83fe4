"""Who is walked through, and when; what was found is in `counts`. No reconcile waits for a walk."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import ValidationError

from moorage import bucketusage
from moorage.actions import Manifest, part
from moorage.bucketwish import known_lock, stricter
from moorage.contents import Count, written
from moorage.errors import MoorageError
from moorage.features import Feature, features
from moorage.model import Bucket, ObjectLock, S3Engine
from moorage_operator.bodies import is_deleting
from moorage_operator.engines.desk import Engines
from moorage_operator.engines.protocol import ObjectEngine
from moorage_operator.index import Index
from moorage_operator.walk import TURN, Stamped, Walk

BUCKETS = 2  # at a time
LOOK = 0.5  # seconds between looks at who is due

log = logging.getLogger(__name__)


@dataclass
class Known:
    """Of one bucket: when it is due, the walk under way, and which versions the last one found stamped."""

    due: float = 0.0
    walk: Walk | None = None
    stamped: Stamped = field(default_factory=Stamped)


class Walks:
    """`every`: seconds between walks through a bucket; `locked`: through one whose versions are to be stamped.

    `news(body)`: a walk found something that the Bucket's status does not say; `loosened(body)`: its lock is looser
    than it shall be.
    """

    def __init__(
        self,
        engines: Engines,
        index: Index,
        news: Callable[[Manifest], None],
        loosened: Callable[[Manifest], None],
        every: float = 300.0,
        locked: float = 60.0,
    ) -> None:
        self.counts: dict[str, Count] = {}
        self._engines = engines
        self._index = index
        self._news = news
        self._loosened = loosened
        self._every = every
        self._locked = locked
        self._known: dict[str, Known] = {}

    async def run(self) -> None:
        """Until cancelled."""
        gate = asyncio.Semaphore(BUCKETS)
        walking: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                walking = {uid: task for uid, task in walking.items() if not task.done()}
                for body in self._due(time.monotonic()):
                    uid = body["metadata"]["uid"]
                    if uid not in walking:
                        walking[uid] = group.create_task(self._walk(gate, body))
                await asyncio.sleep(LOOK)

    def _due(self, now: float) -> list[Manifest]:
        """Buckets that were made and are not going; what is gone is forgotten."""
        bodies = {body["metadata"]["uid"]: body for body in self._index.buckets.values() if not is_deleting(body)}
        for uid in self._known.keys() - bodies.keys():
            del self._known[uid]
            self.counts.pop(uid, None)
        made = (body for body in bodies.values() if part(body, "status").get("secretName"))
        return [body for body in made if self._known.setdefault(body["metadata"]["uid"], Known()).due <= now]

    async def _walk(self, gate: asyncio.Semaphore, body: Manifest) -> None:
        known = self._known[body["metadata"]["uid"]]
        lock: ObjectLock | None = None
        try:
            bucket = Bucket.model_validate(body)
            engine = self._engine_of(bucket)
            if engine is not None:
                lock = _to_stamp(bucket, engine)
                async with gate, asyncio.timeout(4 * TURN), self._engines.open(engine) as opened:
                    await self._turn(opened, body, bucket, known, lock)
        except (MoorageError, TimeoutError, ValidationError) as error:
            log.info("Bucket %s was not walked through: %s", body["metadata"]["name"], error)
            known.walk = None
        except Exception:  # an odd answer of one engine must not end the walks of all
            log.exception("the walk through Bucket %s failed", body["metadata"]["name"])
            known.walk = None
        known.due = 0.0 if known.walk else time.monotonic() + (self._locked if lock else self._every)

    async def _turn(
        self, engine: ObjectEngine, body: Manifest, bucket: Bucket, known: Known, lock: ObjectLock | None
    ) -> None:
        name = bucket.status.bucket_name or ""
        if lock and known.walk is None:
            seen = (await engine.settings(name)).lock
            if stricter(seen, lock) != seen:
                self._loosened(body)
        if lock is None and (told := await engine.usage(name)):
            self._tell(body, bucket, Count(told.objects, told.bytes, written(datetime.now(UTC))))
            return
        walk = known.walk = known.walk or Walk.begin(bucket, known.stamped)
        if await walk.turn(engine, name, lock):
            known.walk, known.stamped = None, walk.stamped
            self._tell(body, bucket, walk.count())

    def _tell(self, body: Manifest, bucket: Bucket, count: Count) -> None:
        uid = body["metadata"]["uid"]
        before, self.counts[uid] = self.counts.get(uid), count
        trouble = (before.unstamped > 0, before.trouble) if before else None
        if trouble != (count.unstamped > 0, count.trouble) or bucketusage.is_news(count, bucket.status):
            self._news(body)

    def _engine_of(self, bucket: Bucket) -> S3Engine | None:
        placed = bucket.status.placement
        found = (
            each.spec.engine.s3
            for each in self._index.all_backends()
            if placed and each.metadata["name"] == placed.backend
        )
        return next(found, None)


def _to_stamp(bucket: Bucket, engine: S3Engine) -> ObjectLock | None:
    """The lock that versions are to be given; None where there is none, or the engine does so by itself."""
    return None if Feature.lock_stamped in features(engine) else known_lock(bucket.status)
