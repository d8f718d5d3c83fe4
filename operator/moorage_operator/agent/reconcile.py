"""One share: observe, plan, apply. Holds no state; everything is looked up again each time."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from moorage import adoption, share
from moorage.adoption import Source
from moorage.clone import Origin
from moorage.errors import NotOffered, NotReady, Retry
from moorage.ganesha import Export
from moorage.record import Record
from moorage.share import Action, Beginning, Place, Seen, Wanted
from moorage_operator.agent.clones import Clones
from moorage_operator.agent.longwork import in_long_thread
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.trim import Trimmer

log = logging.getLogger(__name__)

_ROUNDS = 5  # adoption, a mount, its export, growth: four; one more shows that nothing is left


class Exports(Protocol):
    """What makes shares reachable from elsewhere."""

    def exported(self, export_id: int) -> Export | None: ...
    async def ensure_exported(self, export: Export) -> None: ...
    async def ensure_unexported(self, export_id: int) -> None: ...


class NoExports:
    """Of shares that are used where they are mounted."""

    def exported(self, export_id: int) -> Export | None:
        return None

    async def ensure_exported(self, export: Export) -> None:
        return

    async def ensure_unexported(self, export_id: int) -> None:
        return


class Shares:
    """The three places where a share is: pool, mount table, exports."""

    def __init__(
        self, pool: Pool, mounts: Mounts, exports: Exports, trimmer: Trimmer, owner: Callable[[Record], str]
    ) -> None:
        """`owner` names the living StorageVolume that has a share, or gives ""; raises Retry when it cannot know."""
        self.pool = pool
        self.mounts = mounts
        self._exports = exports
        self.clones: Clones | None = None
        self._trimmer = trimmer
        self._owner = owner

    async def observe(self, volume_id: str) -> Seen:
        seen = await asyncio.to_thread(self._on_disk, volume_id)
        exported = self._exports.exported(seen.record.export_id) if seen.record else None
        return share.with_export(seen, exported)

    async def converge(self, volume_id: str, wanted: Wanted | None, place: Place | None) -> tuple[Seen, share.Plan]:
        """Act until nothing is left to do; the last look, and the plan's trouble if there is one."""
        for _ in range(_ROUNDS):
            seen = await self.observe(volume_id)
            beginning = await self._beginning(wanted, seen) if wanted else None
            plan = share.plan(wanted, seen, place, beginning)
            if not plan.actions:
                return seen, plan
            for action in plan.actions:
                await self.apply(action)
                log.info("done: %s", action)
        raise Retry(f"share {volume_id} does not settle")

    async def apply(self, action: Action) -> None:
        """Each action states an end, and may be repeated after a crash anywhere."""
        match action:
            case share.EnsureImage(wanted):
                await asyncio.to_thread(self.pool.ensure_image, wanted)
            case share.EnsureCloned(wanted, origin):
                await self._clone(wanted, origin)
            case share.EnsureAdopted(wanted, source):
                await self._exports.ensure_unexported(source.export_id)
                await asyncio.to_thread(self.pool.adopt, wanted, source.id)
            case share.EnsureMounted(volume_id):
                await asyncio.to_thread(self.mounts.ensure_mounted, volume_id)
            case share.EnsureGrown(volume_id, size):
                await asyncio.to_thread(self.mounts.ensure_grown, volume_id, size)
            case share.EnsureSquash(volume_id, squash):
                await asyncio.to_thread(self.pool.ensure_squash, volume_id, squash)
            case share.EnsureExported(export):
                await self._exports.ensure_exported(export)
            case share.EnsureUnexported(export_id):
                await self._exports.ensure_unexported(export_id)
            case share.EnsureUnmounted(volume_id):
                await self._trimmer.let_go(volume_id)
                await asyncio.to_thread(self.mounts.ensure_unmounted, volume_id)
            case share.EnsureRetained(volume_id, retained):
                await asyncio.to_thread(self.pool.ensure_retained, volume_id, retained)
            case share.EnsureAbsent(volume_id):
                if self.clones:
                    await asyncio.to_thread(self.clones.ensure_no_leftovers, volume_id)
                await asyncio.to_thread(self.mounts.ensure_free, volume_id)
                await asyncio.to_thread(self.pool.ensure_absent, volume_id)

    async def _clone(self, wanted: Wanted, origin: Origin) -> None:
        if not self.clones:
            raise NotOffered("this server makes no clones")
        await in_long_thread(self.clones.ensure_cloned, wanted, origin)

    async def _beginning(self, wanted: Wanted, seen: Seen) -> Beginning:
        """What a share that is not there yet begins with."""
        if seen.record or wanted.deleting:
            return None
        if wanted.source and self.clones:
            return await asyncio.to_thread(self.clones.beginning, wanted)
        return await self._source(wanted)

    async def _source(self, wanted: Wanted) -> Source | None:
        """The kept share that a volume without a share of its own asks for; raises Retry while it is still mounted.

        Its own turn in the queue takes it out of service: two hands on one mount would be in each other's way.
        """
        if not wanted.adoption:
            return None
        record = adoption.find(await asyncio.to_thread(self.pool.records), wanted.adoption.id)
        if record is None:
            return None
        source = await asyncio.to_thread(self.source, record)
        if not source.owner and await asyncio.to_thread(self.mounts.mounted, record.id):
            raise NotReady(f"kept share {record.id} is being taken out of service")
        return source

    def source(self, record: Record) -> Source:
        """Blocking."""
        return Source(record, self.pool.image_bytes(record.id), self._owner(record))

    def _on_disk(self, volume_id: str) -> Seen:
        mounted = self.mounts.mounted(volume_id)
        return Seen(
            record=self.pool.record(volume_id),
            image_bytes=self.pool.image_bytes(volume_id),
            fs_bytes=self.mounts.size(volume_id) if mounted else 0,
            mounted=mounted,
            down=mounted and self.mounts.down(volume_id),
            unfinished=self.pool.unfinished(volume_id),
            id=volume_id,
        )
