"""What the operator sees of the filers' workers: their pods, and what the volumes on a filer need."""

import time
from collections.abc import Iterable

from moorage import filerwork, names
from moorage.actions import Manifest, Problem, Reference, part
from moorage.filerpod import WorkerPod
from moorage.filerwork import FilerFacts, Need
from moorage.model import StorageBackend
from moorage_operator.bodies import placed_on
from moorage_operator.cluster import Cluster
from moorage_operator.index import Index
from moorage_operator.store import Key


class Filers:
    """Reads; changes nothing."""

    def __init__(self, cluster: Cluster, index: Index, how: WorkerPod) -> None:
        self._cluster = cluster
        self._index = index
        self._how = how

    async def facts(self, backend: StorageBackend, suspicion: Problem | None) -> FilerFacts | None:
        """None for a backend with another engine. The pod is read freshly: no watch shows one that has ended."""
        if not backend.spec.engine.nfs:
            return None
        name = str(backend.metadata["name"])
        pod = await self._cluster.get(Reference("v1", "Pod", names.filer_worker(name), self._how.namespace))
        needs = tuple(filerwork.need(each) for each in self._index.volumes.values() if placed_on(each) == name)
        return FilerFacts(backend, self._how, time.time(), needs, pod, suspicion)


def stirred(body: Manifest) -> Iterable[Key]:
    """The backend whose worker must look at this volume, or whose worker's pod this is."""
    if body["kind"] == "Pod":
        backend = part(body, "metadata", "labels").get(names.LABEL_BACKEND)
        return [Key("StorageBackend", "", backend)] if backend else []
    placed = part(body, "status", "placement")
    if placed.get("engine") != "nfs" or filerwork.need(body) is not Need.fresh:
        return []
    return [Key("StorageBackend", "", placed["backend"])]
