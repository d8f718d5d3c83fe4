"""Tells pods that wait for a node, and their claims, which nodes their volume can be used on."""

import asyncio
import logging
from collections.abc import Iterator

from moorage import stray
from moorage.actions import Manifest, Notice, Reference, part
from moorage.errors import MoorageError
from moorage.holders import Use, ways_of
from moorage_operator import events
from moorage_operator.cluster import Cluster
from moorage_operator.index import Index
from moorage_operator.store import name_of

LOOK_EVERY = 15.0  # seconds
WAITING = "spec.nodeName=,status.phase=Pending"

log = logging.getLogger(__name__)


class Strays:
    """No watch shows pods without a node: they use nothing. They are listed while some nodes only can use a volume."""

    def __init__(self, cluster: Cluster, index: Index, instance: str) -> None:
        self._cluster = cluster
        self._index = index
        self._instance = instance

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except MoorageError as error:
                log.warning("pods without a node cannot be listed: %s", error)

    async def look(self) -> None:
        """One list, and an Event for each pod and each claim that was not told yet."""
        if not any(part(each, "status").get("topology") for each in self._index.volumes.values()):
            return
        async for page in self._cluster.pages("v1", "Pod", fieldSelector=WAITING):
            for pod in filter(stray.is_stray, page):
                for way, volume in self._elsewhere(pod):
                    await self._tell(pod, way, volume)

    def _elsewhere(self, pod: Manifest) -> Iterator[tuple[Use, Manifest]]:
        for way in ways_of(pod):
            for key in self._index.volumes_by([way]):
                volume = self._index.volumes.get(*key)
                if volume and part(volume, "status").get("topology"):
                    yield way, volume

    async def _tell(self, pod: Manifest, way: Use, volume: Manifest) -> None:
        """Once for a pod and a volume, and once for its claim."""
        told = stray.notice(volume, part(volume, "status", "topology"))
        await self._post(pod, told, volume)
        claim = self._index.claims.get(*way.claim) or await self._claim(way)
        if claim:
            await self._post(claim, told, volume)

    async def _claim(self, way: Use) -> Manifest | None:
        namespace, name = way.claim
        return await self._cluster.get(Reference("v1", "PersistentVolumeClaim", name, namespace)) if name else None

    async def _post(self, about: Manifest, told: Notice, volume: Manifest) -> None:
        mark = "/".join(name_of(volume))
        await events.post(self._cluster, events.event(about, told, mark, self._instance))
