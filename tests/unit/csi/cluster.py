"""An API server in memory, with an operator that answers as the test says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from moorage import errors
from moorage_csi import api
from moorage_csi.api import Object
from moorage_csi.request import GIB, MIB

from .conftest import SHARED, capability

CLASS = {"type": "shared", "csi.storage.k8s.io/pvc/namespace": "team"}
CAPABILITIES = (capability(),)
PATH = api.volume_path("team", "pvc-1")
Operator = Callable[[Object], None]


def condition(kind: str, status: str, reason: str = "Ready", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def serves(volume: Object) -> None:
    """An operator that has everything ready at once, and grows a share when asked."""
    size = volume["spec"].get("size", "1Gi")
    volume["status"] = {
        "id": "abcd2345",
        "attributes": SHARED,
        "share": {"sizeBytes": int(size[:-2]) * (GIB if size.endswith("Gi") else MIB)},
        "conditions": [condition("Ready", "True")],
    }


def silent(volume: Object) -> None:
    """An operator that is not there."""


def full(volume: Object) -> None:
    volume["status"] = {"conditions": [condition("Ready", "False", "NoCapacity", "backend shared has 1 GiB left")]}


def keeps(volume: Object) -> None:
    """An operator that does not let a volume go while a pod uses it."""
    serves(volume)
    volume["metadata"]["finalizers"] = ["moorage.dev/finalizer"]
    if "deletionTimestamp" in volume["metadata"]:
        volume["status"]["conditions"].append(condition("DeletionBlocked", "True", "InUse", "pod team/train uses it"))


@dataclass
class Cluster:
    """Objects by path; the operator sees each one whenever it is read."""

    operator: Operator = serves
    objects: dict[str, Object] = field(default_factory=dict[str, Object])

    async def get(self, path: str) -> Object:
        parts = urlsplit(path)
        if parts.query:
            return {"items": self._listed(parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()})}
        if path not in self.objects:
            raise errors.NotFound(path)
        if "/namespaces/" in path:
            self.operator(self.objects[path])
        return self.objects[path]

    def _listed(self, path: str, query: dict[str, str]) -> list[Object]:
        kind = path.rpartition("/")[2]
        namespace = path.split("/")[-2] if "/namespaces/" in path else ""
        found = [
            each
            for where, each in sorted(self.objects.items())
            if where.split("/")[-2] == kind and namespace in ("", each["metadata"].get("namespace"))
        ]
        labels = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
        name, _, value = query.get("fieldSelector", "").removeprefix("spec.").partition("=")
        return [
            each
            for each in found
            if labels.items() <= each["metadata"].get("labels", {}).items()
            and (not name or each["spec"][name] == value)
        ]

    async def apply(self, path: str, body: Object) -> Object:
        self.objects[path] = body | {"metadata": body["metadata"] | {"uid": f"u-{path}", "resourceVersion": "1"}}
        return self.objects[path]

    async def patch(self, path: str, body: Object) -> Object:
        volume = self.objects[path]
        volume["spec"] |= body.get("spec", {})
        volume["metadata"].setdefault("annotations", {}).update(body["metadata"].get("annotations", {}))
        return volume

    async def delete(self, path: str, uid: str) -> None:
        volume = self.objects[path]
        assert volume["metadata"]["uid"] == uid
        if volume["metadata"].get("finalizers"):
            volume["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.objects[path]

    def node(self, name: str, **labels: str) -> None:
        """A node with the label that the kubelet makes of its topology."""
        metadata = {"name": name, "labels": {"topology.moorage.dev/node": name} | labels}
        self.objects[api.node_path(name)] = {"metadata": metadata}

    def backends(self, *found: Object) -> None:
        self.objects[api.BACKENDS] = {"items": list(found)}


def backend(name: str, engine: str, default: bool = True, group: dict[str, str] | None = None, **free: int) -> Object:
    """A StorageBackend whose servers, `free`, have so many bytes of room."""
    spec: dict[str, Any] = {"engine": {engine: {}}, "default": default}
    if group:
        spec["nodeSelector"] = group
    servers = [{"name": server.replace("_", "-"), "freeBytes": room} for server, room in free.items()]
    return {"metadata": {"name": name}, "spec": spec, "status": {"servers": servers}}
