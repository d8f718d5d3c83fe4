"""From a probe of its servers to the facts of a StorageBackend."""

from collections.abc import Iterable

from moorage import nodegone
from moorage.actions import Manifest, Reference
from moorage.backendplan import BackendFacts, Probed
from moorage.model import StorageBackend
from moorage_operator.bodies import full_name, placed_on
from moorage_operator.cluster import Cluster
from moorage_operator.filers import Filers
from moorage_operator.index import Index
from moorage_operator.probe import Probe
from moorage_operator.times import now


class BackendObserver:
    """Probes and reads; changes nothing but the index, and what a filer's worker knows."""

    def __init__(self, cluster: Cluster, index: Index, probe: Probe, filers: Filers) -> None:
        self._cluster = cluster
        self._index = index
        self._probe = probe
        self._filers = filers

    async def __call__(self, body: Manifest) -> BackendFacts:
        backend = StorageBackend.model_validate(body)
        deleting = "deletionTimestamp" in backend.metadata
        users = tuple(self._placed_on(backend.metadata["name"])) if deleting else ()
        found = await self._probe(backend)
        probed = found if isinstance(found, Probed) else Probed(found)
        trouble = probed.trouble
        self._index.silent[backend.metadata["name"]] = probed.silent
        filer = await self._filers.facts(backend, trouble)
        return BackendFacts(backend, now(), trouble, users, await self._vanished(backend), filer, probed.silent)

    async def _vanished(self, backend: StorageBackend) -> tuple[str, ...]:
        unseen = nodegone.vanished(backend, self._index.nodes)
        return tuple([each for each in unseen if await node_gone(self._cluster, self._index, each)])

    def _placed_on(self, backend: str) -> Iterable[str]:
        for store in (self._index.volumes, self._index.snapshots, self._index.buckets, self._index.keyring.store):
            yield from (f"{each['kind']} {full_name(each)}" for each in store.values() if placed_on(each) == backend)


async def node_gone(cluster: Cluster, index: Index, node: str) -> bool:
    """Nobody is given up because a watch is late: a node that it has not shown is asked for."""
    return node not in index.nodes and await cluster.get(Reference("v1", "Node", node)) is None
