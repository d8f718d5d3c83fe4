"""The operator in process, on a real kube-apiserver and a real S3 engine, in a namespace of its own (fixture `bed`).

Two stand-ins play what is not here: the share agent (writes `status.share` as the agent does) and the kube controllers
(take the protection finalizers off unused claims and volumes, bind claims).
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from kubernetes.aio import client

from moorage import names
from moorage.actions import Manifest, Problem, Reference, part
from moorage.errors import MoorageError
from moorage.model import StorageBackend
from moorage_operator import hooks
from moorage_operator.cluster import Cluster, resource_path
from moorage_operator.engines.desk import Engines
from moorage_operator.probe import Prober
from moorage_operator.runtime import Operator
from moorage_operator.settings import Settings

MINE = names.API_VERSION
PATIENCE = 60.0  # seconds; what is waited for comes in one or two on an idle machine
SERVER = "moorage-nfs-0"
GI = 2**30


class Bed:
    """A namespace of its own, the operator, the stand-ins, and short words for what tests do."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.acting = cluster  # the operator's own connection: as whom it acts
        self.namespace = namespace
        self.trouble: Problem | None = None  # what a probe of the NFS server finds
        self.agent_state = "Served"
        self.agent_works = True
        self.servers = {SERVER: 2**50}  # of backends with engine ganesha: free bytes of each
        self.disks: dict[str, int] = {}  # of those with engine local, by node
        self.holder_image = Settings.holder_image
        self.tasks: set[asyncio.Task[Any]] = set()
        self.operator: Operator | None = None
        self._running: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        settings = Settings(
            self.namespace, "tester", resync=1.0, deep=1.0, walk=1.0, stamp=0.5, holder_image=self.holder_image
        )
        self.operator = Operator(self.acting, settings, self._probe)
        ready = asyncio.Event()
        self._running = asyncio.create_task(self.operator.run(ready))
        up = asyncio.create_task(ready.wait())
        await asyncio.wait({self._running, up}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():  # it must not
            await self._running

    @property
    def running(self) -> bool:
        return self._running is not None and not self._running.done()

    async def kill(self) -> None:
        """No goodbye: the operator's tasks are cancelled wherever they are."""
        if self._running:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError, ExceptionGroup):
                await self._running
            self._running = None

    async def _probe(self, backend: StorageBackend) -> Problem | None:
        return self.trouble if backend.spec.engine.ganesha else await Prober(Engines(self.acting))(backend)

    def ref(self, kind: str, name: str, api: str = MINE) -> Reference:
        scoped = kind in ("StorageBackend", "PersistentVolume", "Node")
        return Reference(api, kind, name, "" if scoped else self.namespace)

    async def make(self, kind: str, name: str, api: str = MINE, **fields: Any) -> Manifest:
        ref = self.ref(kind, name, api)
        metadata: Manifest = {"name": name} | ({"namespace": ref.namespace} if ref.namespace else {})
        metadata |= fields.pop("metadata", {})
        return await self.cluster.create({"apiVersion": api, "kind": kind, "metadata": metadata, **fields})

    async def get(self, kind: str, name: str, api: str = MINE) -> Manifest | None:
        return await self.cluster.get(self.ref(kind, name, api))

    async def phase(self, name: str, phase: str, kind: str = "StorageVolume") -> Manifest:
        async def reached() -> Manifest | None:
            found = await self.get(kind, name)
            return found if found and found.get("status", {}).get("phase") == phase else None

        return await until(reached, lambda: self._story(kind, name, phase))

    async def condition(self, name: str, type: str, status: str, kind: str = "StorageVolume") -> Manifest:
        async def reached() -> Manifest | None:
            found = condition(await self.get(kind, name), type)
            return found if found.get("status") == status else None

        return await until(reached, lambda: self._story(kind, name, f"{type}={status}"))

    async def gone(self, kind: str, name: str, api: str = MINE) -> None:
        async def absent() -> bool:
            return await self.get(kind, name, api) is None

        await until(absent, lambda: self._story(kind, name, "gone", api))

    async def _story(self, kind: str, name: str, wanted: str, api: str = MINE) -> str:
        return f"{kind} {name} is not {wanted}: {await self.get(kind, name, api)}"

    async def delete(self, kind: str, name: str, api: str = MINE) -> None:
        await self.cluster.delete(self.ref(kind, name, api))

    async def events(self, name: str, kind: str = "StorageVolume") -> list[str]:
        found = await self.cluster.list("events.k8s.io/v1", "Event", self.namespace)
        mine = [each for each in found if (each["regarding"]["kind"], each["regarding"]["name"]) == (kind, name)]
        return [each["reason"] for each in sorted(mine, key=lambda each: each["eventTime"])]

    async def pod(self, name: str, *volumes: Manifest, node: str = "node-1") -> None:
        container = {"name": "c", "image": "busybox"}
        spec = {"nodeName": node, "containers": [container], "volumes": list(volumes)}
        await self.make("Pod", name, "v1", spec=spec)

    async def delete_pod(self, name: str) -> None:
        await self.cluster._call(
            "DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{name}", {"gracePeriodSeconds": 0}
        )

    # The stand-ins.

    async def play_agent(self) -> None:
        while True:
            for backend in await self.cluster.list_ours("StorageBackend"):
                with contextlib.suppress(MoorageError):  # torn away in between
                    await self._tell_room(backend)
            for volume in await self.cluster.list_ours("StorageVolume", self.namespace) if self.agent_works else ():
                share = self._share(volume)
                if share and share != volume["status"].get("share"):
                    metadata = {key: volume["metadata"][key] for key in ("name", "namespace", "uid")}
                    body = {
                        "apiVersion": MINE,
                        "kind": "StorageVolume",
                        "metadata": metadata,
                        "status": {"share": share},
                    }
                    with contextlib.suppress(Exception):
                        await self.cluster.apply(body, sub="status", manager=names.AGENT_MANAGER)
            for each in await self.cluster.list_ours("StorageSnapshot", self.namespace) if self.agent_works else ():
                await self._take(each)
            await asyncio.sleep(0.05)

    async def _take(self, snapshot: Manifest) -> None:
        """As the agent does: the size is the volume's, while it is there."""
        status = snapshot.get("status", {})
        server, told = part(status, "placement").get("server"), part(status, "image")
        if not server or told.get("state") == ("Released" if status.get("release") else "Ready"):
            return
        volume = await self.get("StorageVolume", part(snapshot, "spec").get("volume", ""))
        size = part(volume, "status", "share").get("sizeBytes", 0)
        image = told or {"server": server, "sizeBytes": size, "taken": "2026-01-01T00:00:00Z"}
        state = "Released" if status.get("release") else "Ready"
        metadata = {key: snapshot["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": MINE, "kind": "StorageSnapshot", "metadata": metadata}
        with contextlib.suppress(MoorageError):
            whole = {**body, "status": {"image": {**image, "state": state}}}
            await self.cluster.apply(whole, sub="status", manager=names.AGENT_MANAGER)

    async def _tell_room(self, backend: Manifest) -> None:
        """As the agents do: each server writes its own entry, when it has changed."""
        told = {each["name"]: each.get("freeBytes", 0) for each in part(backend, "status").get("servers") or ()}
        engine = part(backend, "spec", "engine")
        have = self.servers if "ganesha" in engine else self.disks if "local" in engine else told
        for name, free in have.items() if told != have else ():
            entry = {"name": name, "totalBytes": 2**50, "freeBytes": free, "promisedBytes": 0, "clones": True}
            metadata = {"name": backend["metadata"]["name"]}
            body = {"apiVersion": MINE, "kind": "StorageBackend", "metadata": metadata}
            status = {"status": {"servers": [{**entry, "overfull": False}]}}
            await self.cluster.apply(body | status, sub="status", manager=f"{names.AGENT_MANAGER}-{name}")

    def _share(self, volume: Manifest) -> Manifest | None:
        status = volume.get("status", {})
        server = part(status, "placement").get("server")
        if server not in {**self.servers, **self.disks}:
            return None
        if status.get("release"):
            return {**status.get("share", {"server": server}), "state": "Released"}
        size = int(volume["spec"]["size"].removesuffix("Gi")) * GI
        if self.agent_state == "Full" and status.get("share"):  # it cannot grow, and is served as it was
            return {**status["share"], "reason": "NoCapacity", "message": "the pool is full"}
        if self.agent_state == "Failed":
            return {"state": "Failed", "server": server, "reason": "NoCapacity", "message": "the pool is full"}
        address = f"{server}.moorage.svc.cluster.local"
        path = f"/vol/{status['id']}"
        return {
            **{"state": "Served", "server": server, "address": address, "path": path},
            **{"exportId": 7, "sizeBytes": size},
        }

    async def play_controllers(self) -> None:
        while True:
            with contextlib.suppress(MoorageError):  # torn away in between: controllers look again
                await self._bind()
                await self._unprotect()
            await asyncio.sleep(0.05)

    async def _unprotect(self) -> None:
        for kind in ("PersistentVolumeClaim", "PersistentVolume"):
            for each in await self.cluster.list("v1", kind):
                if "deletionTimestamp" in each["metadata"] and each["metadata"].get("finalizers"):
                    await self.cluster.merge(self._of(each), {"metadata": {"finalizers": None}})

    async def _bind(self) -> None:
        for each in await self.cluster.list("v1", "PersistentVolume"):
            claim = each["spec"].get("claimRef", {})
            ref = Reference("v1", "PersistentVolumeClaim", claim.get("name", ""), claim.get("namespace", ""))
            found = await self.cluster.get(ref) if claim else None
            bound = bool(found and claim.get("uid", found["metadata"]["uid"]) == found["metadata"]["uid"])
            if bound and "uid" not in claim:
                await self.cluster.merge(self._of(each), {"spec": {"claimRef": {"uid": found["metadata"]["uid"]}}})
            phase = "Bound" if bound else "Released" if "uid" in claim else "Available"
            if each.get("status", {}).get("phase") != phase:
                path = f"/api/v1/persistentvolumes/{each['metadata']['name']}/status"
                with contextlib.suppress(Exception):
                    await self.cluster._call("PATCH", path, {"status": {"phase": phase}}, "merge")

    def _of(self, body: Manifest) -> Reference:
        metadata = body["metadata"]
        return Reference(body["apiVersion"], body["kind"], metadata["name"], metadata.get("namespace", ""))


async def until(check: Callable[[], Awaitable[Any]], story: Callable[[], Awaitable[str]]) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        found = await check()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(await story())
        await asyncio.sleep(0.05)


def condition(body: Manifest | None, type: str) -> Manifest:
    found = (body or {}).get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == type), {})


def claim(name: str) -> Manifest:
    return {"name": "d", "persistentVolumeClaim": {"claimName": name}}


@pytest.fixture
async def cluster(api: Any) -> AsyncIterator[Cluster]:
    configuration = client.Configuration(host=api.url, api_key={"BearerToken": f"Bearer {api.token}"})
    configuration.ssl_ca_cert = str(api.certificate)
    cluster = Cluster(configuration)
    yield cluster
    await cluster.close()


@pytest.fixture
async def bed(cluster: Cluster, s3_server: Any) -> AsyncIterator[Bed]:
    await _sweep(cluster)  # what tests of the API server alone have made
    namespace = f"t-{secrets.token_hex(4)}"
    await cluster._call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    bed = Bed(cluster, namespace)
    ganesha = {"namespace": namespace, "statefulSet": "moorage-nfs"}
    await bed.make("StorageBackend", "shared", spec={"default": True, "engine": {"ganesha": ganesha}})
    key = {names.SECRET_ACCESS_KEY_ID: s3_server.access, names.SECRET_SECRET_ACCESS_KEY: s3_server.secret}
    await bed.make("Secret", "root", "v1", stringData=key)
    s3 = {
        **{"endpoint": s3_server.endpoint, "adminEndpoint": s3_server.admin_endpoint},
        "credentialsSecret": {"name": "root", "namespace": namespace},
    }
    await bed.make("StorageBackend", "object", spec={"default": True, "engine": {"s3": s3}})
    players = [asyncio.create_task(bed.play_agent()), asyncio.create_task(bed.play_controllers())]
    await bed.start()
    for backend in ("shared", "object"):
        await bed.condition(backend, "Ready", "True", "StorageBackend")
    yield bed
    await bed.kill()
    for each in players:
        each.cancel()
    await asyncio.gather(*players, return_exceptions=True)
    await _sweep(cluster)


async def _sweep(cluster: Cluster) -> None:
    for kind in (*hooks.KINDS, "DaemonSet", "PersistentVolumeClaim", "PersistentVolume", "Pod"):
        api_version = MINE if kind in hooks.KINDS else "apps/v1" if kind == "DaemonSet" else "v1"
        for each in await cluster.list(api_version, kind):
            metadata = each["metadata"]
            ref = Reference(api_version, kind, metadata["name"], metadata.get("namespace", ""))
            if metadata.get("finalizers"):
                await cluster.merge(ref, {"metadata": {"finalizers": None}})
            with contextlib.suppress(Exception):
                await cluster._call("DELETE", _object_path(ref), {"gracePeriodSeconds": 0})


def _object_path(ref: Reference) -> str:
    return resource_path(ref.api_version, ref.kind, ref.namespace, ref.name)
