"""What the driver asks of the Kubernetes API. The real client is `rest`: imported only by those who need it."""

from typing import Any, Protocol

from moorage import names

Object = dict[str, Any]

BACKENDS = f"/apis/{names.API_VERSION}/storagebackends"
VOLUMES = f"/apis/{names.API_VERSION}/storagevolumes"
SNAPSHOTS = f"/apis/{names.API_VERSION}/storagesnapshots"
NODES = "/api/v1/nodes"


def volume_path(namespace: str, name: str) -> str:
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/storagevolumes/{name}"


def snapshots_path(namespace: str) -> str:
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/storagesnapshots"


def snapshot_path(namespace: str, name: str) -> str:
    return f"{snapshots_path(namespace)}/{name}"


def attachment_path(namespace: str, name: str) -> str:
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/storageattachments/{name}"


def bucket_path(namespace: str, name: str) -> str:
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/buckets/{name}"


def secret_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def node_path(name: str) -> str:
    return f"{NODES}/{name}"


def part(body: Object, *keys: str) -> Object:
    """An object within an object; empty when it is not there."""
    for key in keys:
        found: Object | None = body.get(key)
        body = found or {}
    return body


class Api(Protocol):
    """Paths are as in the URL; objects are plain JSON."""

    async def get(self, path: str) -> Object: ...
    async def apply(self, path: str, body: Object) -> Object: ...
    async def patch(self, path: str, body: Object) -> Object: ...
    async def delete(self, path: str, uid: str) -> None: ...
