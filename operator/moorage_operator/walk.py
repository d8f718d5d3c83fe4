"""One walk through a bucket, in bounded turns: how much is in it, and a retention for each version of a locked one.

Of a locked bucket only versions that are newer than the last walk are looked at; `MARGIN` covers those that were being
written then. Source of the need: versitygw 1.8 keeps a bucket's rule, but writes no retention on what it holds.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from moorage.contents import Count, Version, moment, stamp, written
from moorage.errors import MoorageError
from moorage.model import Bucket, ObjectLock
from moorage_operator.engines.protocol import ObjectEngine
from moorage_operator.s3 import Query

TURN = 15.0  # seconds
STAMPS = 8  # at a time
MARGIN = timedelta(minutes=15)
REMEMBERED = 50_000  # stamped versions, so that those within the margin are not asked for again and again

Stamped = set[tuple[str, str | None]]


@dataclass
class Walk:
    """As far as it is. `since`: versions that are older bear a retention already, as those in `known` do."""

    begun: datetime
    since: datetime | None = None
    known: Stamped = field(default_factory=Stamped)
    stamped: Stamped = field(default_factory=Stamped)
    after: Query = ()
    objects: int = 0
    size: int = 0
    newest: str = ""
    unstamped: int = 0
    trouble: str = ""

    @classmethod
    def begin(cls, bucket: Bucket, known: Stamped) -> Self:
        to = bucket.status.stamped_to
        return cls(datetime.now(UTC), moment(to) - MARGIN if to else None, known)

    def count(self) -> Count:
        stamped_to = "" if self.unstamped or not self.stamped else self.newest
        return Count(self.objects, self.size, written(self.begun), stamped_to, self.unstamped, self.trouble)

    async def turn(self, engine: ObjectEngine, bucket: str, lock: ObjectLock | None) -> bool:
        """`lock`: what versions are to be given. True when the walk is through."""
        until = time.monotonic() + TURN
        while True:
            page = await engine.versions(bucket, self.after)
            self.objects += len(page.versions)
            self.size += sum(each.size for each in page.versions)
            self.newest = max((self.newest, *(each.modified for each in page.versions)))
            if lock:
                await self._stamp(engine, bucket, lock, page.versions)
            if page.after is None:
                return True
            self.after = page.after
            if time.monotonic() > until:
                return False

    async def _stamp(self, engine: ObjectEngine, bucket: str, lock: ObjectLock, versions: tuple[Version, ...]) -> None:
        gate, now = asyncio.Semaphore(STAMPS), datetime.now(UTC)

        async def one(version: Version) -> None:
            wanted = stamp(version, lock, now)
            if wanted is None:  # its time is over
                return
            async with gate:
                try:
                    if await engine.retention(bucket, version) is None:
                        await engine.retain(bucket, version, wanted)
                except MoorageError as error:
                    self.unstamped += 1
                    self.trouble = str(error)
                else:
                    self._remember(version)

        async with asyncio.TaskGroup() as group:
            for each in versions:
                if self.since and moment(each.modified) < self.since:
                    continue
                if (each.key, each.id) in self.known:
                    self._remember(each)
                else:
                    group.create_task(one(each))

    def _remember(self, version: Version) -> None:
        if len(self.stamped) < REMEMBERED:
            self.stamped.add((version.key, version.id))
