"""The actions of a plan, carried out: on the API server, and on the S3 engines."""

import logging

from moorage import names
from moorage.actions import (
    Action,
    Apply,
    Create,
    Delete,
    DropServer,
    Hold,
    MakeBucket,
    MakeKey,
    Manifest,
    RemoveBucket,
    RemoveKey,
    reference,
)
from moorage_operator.cluster import Cluster
from moorage_operator.engines.desk import Engines
from moorage_operator.index import Index

log = logging.getLogger(__name__)


class Applier:
    """Keeps the index as new as what it did."""

    def __init__(self, cluster: Cluster, index: Index, engines: Engines) -> None:
        self._cluster = cluster
        self._index = index
        self._engines = engines

    async def __call__(self, body: Manifest, action: Action) -> Manifest:
        """Gives the object as it is then."""
        match action:
            case Hold():
                held = await self._cluster.hold(reference(body), body["metadata"]["uid"])
                self._index.stores[body["kind"]].put(held)
                return held
            case Apply():
                self._remember(await self._cluster.apply(action.manifest))
            case Create():
                self._remember(await self._cluster.create(action.manifest))
            case Delete():
                await self._cluster.delete(action.reference)
            case MakeBucket():
                await self._engines.make(action)
            case RemoveBucket():
                await self._engines.remove(action)
            case MakeKey():
                await self._engines.make_key(action)
            case RemoveKey():
                await self._engines.remove_key(action)
            case DropServer():
                await self._drop_server(body, action.server)
        return body

    async def _drop_server(self, body: Manifest, server: str) -> None:
        """In the name of its agent, who owned the entry alone: what an apply does not name any more goes."""
        metadata = {"name": body["metadata"]["name"], "uid": body["metadata"]["uid"]}
        manifest = {"apiVersion": names.API_VERSION, "kind": body["kind"], "metadata": metadata, "status": {}}
        answer = await self._cluster.apply(manifest, sub="status", manager=names.agent_manager(server))
        self._index.stores[body["kind"]].put(answer)
        log.info("%s: server %s is gone from the cluster, and from status.servers", reference(body), server)

    def _remember(self, made: Manifest) -> None:
        """What we made ourselves need not wait for the watch."""
        match made["kind"]:
            case "PersistentVolume":
                self._index.put_persistent_volume(made)
            case "PersistentVolumeClaim":
                self._index.claims.put(made)
            case "Bucket":
                self._index.buckets.put(made)
            case "DaemonSet":
                self._index.daemon_sets.put(made)
            case _:
                return
