"""What the rows work on: the cluster, its nodes, the operator, and volumes by the hundred."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from kubernetes.aio import client  # pyright: ignore[reportMissingTypeStubs]

from bench.scale.agent import NAMESPACE, STATEFUL_SET
from bench.scale.calls import Calls
from bench.scale.plane import Plane
from bench.scale.process import OperatorProcess
from bench.scale.watcher import Name, Watcher
from moorage import crd, model, names
from moorage.actions import Manifest, Reference
from moorage_operator.cluster import Cluster, resource_path

SPACES = 50  # namespaces that the volumes are spread over
PARALLEL = 32  # calls of ours at a time
GROUP = {"moorage.dev/bench": "group"}  # the label of a node group
PATIENCE = 900.0  # seconds for the longest wait


@dataclass(frozen=True)
class Size:
    """Smaller is for those who try something out; the goals are for these."""

    volumes: int = 5000
    nodes: int = 1000


class Bed:
    """A context manager: the operator runs in it, and a watcher that knows when each volume was READY."""

    def __init__(self, plane: Plane, size: Size) -> None:
        self.size = size
        self.plane = plane
        configuration: Any = client.Configuration(
            host=plane.url, api_key={"BearerToken": f"Bearer {plane.tokens['admin']}"}
        )
        configuration.ssl_ca_cert = str(plane.certificate)
        self.cluster = Cluster(configuration)
        self.operator = OperatorProcess(plane)
        self.calls = Calls(plane.audit)
        self.volumes = Watcher(self.cluster)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.cluster.close)
        await self._install()
        await self._make_nodes()
        watching = asyncio.create_task(self.volumes.run())
        self._stack.callback(watching.cancel)
        self.operator.start_agent()
        self.operator.start()
        await self.until_backend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def at_once(self, bodies: Iterable[tuple[str, Manifest]]) -> None:
        """POST them all, PARALLEL at a time."""
        gate = asyncio.Semaphore(PARALLEL)

        async def post(path: str, body: Manifest) -> None:
            async with gate:
                await self.call("POST", path, body)

        async with asyncio.TaskGroup() as group:
            for path, body in bodies:
                group.create_task(post(path, body))

    async def call(self, method: str, path: str, body: Manifest | None = None) -> Manifest:
        return await self.cluster._call(method, path, body)  # pyright: ignore[reportPrivateUsage]

    async def make(self, prefix: str, count: int) -> set[Name]:
        """That many shared volumes, as fast as the API server takes them."""
        wanted = [(space(number), f"{prefix}-{number:05}") for number in range(count)]
        await self.at_once(volume(name) for name in wanted)
        return set(wanted)

    async def remove(self, volumes: Iterable[Name]) -> None:
        """Ask for their deletion, and wait until they are gone."""
        volumes = list(volumes)
        refs = [Reference(names.API_VERSION, "StorageVolume", name, namespace) for namespace, name in volumes]
        for start in range(0, len(refs), PARALLEL):
            await asyncio.gather(*(self.cluster.delete(each) for each in refs[start : start + PARALLEL]))
        async with asyncio.timeout(PATIENCE):
            while left := [each for each in volumes if each not in self.volumes.gone]:  # noqa: ASYNC110 - remote
                await asyncio.sleep(0.05 if len(left) < PARALLEL else 0.5)

    async def attach(self, name: str, volume: Name) -> None:
        """The volume on all nodes, in its own namespace."""
        nodes = {"selector": {"matchLabels": GROUP}}
        metadata = {"name": name, "namespace": volume[0]}
        body = {"apiVersion": names.API_VERSION, "kind": "StorageAttachment", "metadata": metadata}
        await self.cluster.create({**body, "spec": {"volume": {"name": volume[1]}, "nodes": nodes}})

    async def until_mounted(self, attachment: str, namespace: str) -> float:
        """The moment at which its status said that all nodes have it; raises TimeoutError with what it says then."""
        ref = Reference(names.API_VERSION, "StorageAttachment", attachment, namespace)
        wanted, end = f"{self.size.nodes}/{self.size.nodes}", time.monotonic() + PATIENCE
        while True:
            found = await self.cluster.get(ref) or {}
            if found.get("status", {}).get("nodes") == wanted:
                return time.monotonic()
            if time.monotonic() > end:
                raise TimeoutError(f"not on all nodes after {PATIENCE:.0f} s: {found.get('status')}")
            await asyncio.sleep(0.2)

    async def until_backend(self) -> None:
        ref = Reference(names.API_VERSION, "StorageBackend", "shared")
        async with asyncio.timeout(60):
            while not _is_ready(await self.cluster.get(ref)):  # noqa: ASYNC110 - remote
                await asyncio.sleep(0.2)

    async def until_settled(self) -> None:
        """Until the operator has had nothing to do for two seconds."""
        quiet, end = time.monotonic(), time.monotonic() + PATIENCE
        while time.monotonic() - quiet < 2.0:
            if time.monotonic() > end:
                raise TimeoutError(f"the operator is still at work after {PATIENCE:.0f} s")
            if await asyncio.to_thread(self.operator.metric, "moorage_queue_depth") != 0:
                quiet = time.monotonic()
            await asyncio.sleep(0.25)

    async def _install(self) -> None:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await self.at_once((definitions, crd.crd(kind)) for kind in model.KINDS)
        spaces = [NAMESPACE, *(space(number) for number in range(SPACES))]
        await self.at_once(("/api/v1/namespaces", {"metadata": {"name": name}}) for name in spaces)
        # what the operator may do is not measured here; that it does not skip the API server's queues is
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        accounts = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts"}
        binding = {"metadata": {"name": "bench"}, "roleRef": role, "subjects": [accounts]}
        await self.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        driver = {"metadata": {"name": names.DRIVER}, "spec": {"attachRequired": False, "podInfoOnMount": True}}
        await self.call("POST", "/apis/storage.k8s.io/v1/csidrivers", driver)
        path = f"/apis/{names.API_VERSION}/storagebackends"
        await asyncio.to_thread(self.plane.until, lambda: self.plane.call("GET", path).ok, "the CRDs are not served")
        engine = {"ganesha": {"namespace": NAMESPACE, "statefulSet": STATEFUL_SET}}
        backend = {"apiVersion": names.API_VERSION, "kind": "StorageBackend", "metadata": {"name": "shared"}}
        await self.cluster.create({**backend, "spec": {"default": True, "engine": engine}})

    async def _make_nodes(self) -> None:
        """Until kwok has made all of them Ready."""
        await self.at_once(node(number) for number in range(self.size.nodes))
        async with asyncio.timeout(PATIENCE):
            while sum(_is_ready(each) for each in (await self.call("GET", "/api/v1/nodes"))["items"]) < self.size.nodes:
                self.plane.check()
                await asyncio.sleep(1)


def space(number: int) -> str:
    return f"team-{number % SPACES:02}"


def volume(name: Name) -> tuple[str, Manifest]:
    """The path to POST to, and a shared volume."""
    metadata = {"name": name[1], "namespace": name[0]}
    body = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata}
    return resource_path(names.API_VERSION, "StorageVolume", name[0]), {
        **body,
        "spec": {"type": "shared", "size": "1Gi"},
    }


def node(number: int) -> tuple[str, Manifest]:
    name = f"node-{number:04}"
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **GROUP}
    return "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def _is_ready(body: Manifest | None) -> bool:
    found = (body or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)
