"""The one door to the Kubernetes API: objects are plain dicts, calls have deadlines, errors are ours."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]

from moorage import names
from moorage.actions import Manifest, Reference, reference
from moorage.errors import Forbidden, InvalidInput, MoorageError, NotFound, Pending, Retry
from moorage_operator.door import admit

DEADLINE = 30.0  # seconds per call
PAGE = 250
HOLD_MANAGER = f"{names.OPERATOR_MANAGER}-hold"  # its own manager: an apply of other fields must not drop the finalizer

_PLURALS = {
    "StorageVolume": "storagevolumes",
    "StorageAttachment": "storageattachments",
    "StorageSnapshot": "storagesnapshots",
    "Bucket": "buckets",
    "BucketKey": "bucketkeys",
    "StorageBackend": "storagebackends",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Secret": "secrets",
    "Namespace": "namespaces",
    "Node": "nodes",
    "Pod": "pods",
    "Event": "events",
    "Lease": "leases",
    "Deployment": "deployments",
    "DaemonSet": "daemonsets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}
_CONTENT = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "json": "application/json",
}


class ApiUnavailable(Retry):
    """The API server did not answer, or asked to come again."""


class ApiConflict(Pending):
    """Somebody else changed or made the object first."""


def plural(kind: str) -> str:
    return _PLURALS[kind]


def resource_path(api_version: str, kind: str, namespace: str = "", name: str = "", sub: str = "") -> str:
    """URL path of a collection or an object."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    inside = f"/namespaces/{namespace}" if namespace else ""
    return root + inside + "".join(f"/{part}" for part in (_PLURALS[kind], name, sub) if part)


class Cluster:
    """Calls on one API server, as one user."""

    def __init__(self, configuration: Any) -> None:
        self.configuration = configuration
        # Chain and host name are verified. Strictness (Python 3.13) would refuse the CAs of many clusters, which lack
        # an authority key identifier or a key usage, and which kubectl accepts.
        configuration.disable_strict_ssl_verification = True
        # Else aiohttp reads the user's .netrc and the proxy variables before each call: a quarter of all our CPU time.
        configuration.client_session_kwargs = {"trust_env": False}
        self._client: Any = client.ApiClient(configuration)

    @classmethod
    async def load(cls) -> "Cluster":
        """From the pod's service account, else from the kubeconfig."""
        configuration: Any = client.Configuration()
        try:
            config.load_incluster_config(configuration)  # pyright: ignore[reportUnknownMemberType]
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)  # pyright: ignore[reportUnknownMemberType]
        return cls(configuration)

    async def close(self) -> None:
        await self._client.close()

    def session(self) -> aiohttp.ClientSession:
        """Another session on the same server, as the same user; its tokens never grow old. The caller closes it."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._client.rest_client.ssl_context)
        return aiohttp.ClientSession(connector=connector, middlewares=(self._authorize,))

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        headers: dict[str, str] = {}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], "/", "GET", None)
        request.headers.update(headers)
        return await handler(request)

    async def get(self, ref: Reference) -> Manifest | None:
        """The object, or None when it is not there."""
        try:
            return await self._call("GET", _path(ref))
        except NotFound:
            return None

    async def pages(
        self, api_version: str, kind: str, namespace: str = "", **selectors: str
    ) -> AsyncGenerator[list[Manifest]]:
        """All objects of a kind, PAGE at a time. Selectors: `labelSelector`, `fieldSelector`."""
        query: dict[str, str] = {"limit": str(PAGE), **selectors}
        while True:
            page = await self._call("GET", resource_path(api_version, kind, namespace), query=query)
            yield [{"apiVersion": api_version, "kind": kind, **each} for each in page["items"]]
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def list_ours(self, kind: str, namespace: str = "", **selectors: str) -> list[Manifest]:
        """All objects of a kind of our own; none when its CRD was removed, which took them along.

        That they are gone is believed only when discovery says so too: what stands between us and the API server may
        answer 404 for reasons of its own, and data goes by what is listed.
        """
        try:
            return [admit(each) for each in await self.list(names.API_VERSION, kind, namespace, **selectors)]
        except NotFound as error:
            if await self._is_served(kind):
                raise ApiUnavailable(f"{error}, but the API server says that it serves the kind") from error
            return []

    async def _is_served(self, kind: str) -> bool:
        try:
            group = await self._call("GET", f"/apis/{names.API_VERSION}")
        except NotFound:  # the last of our CRDs has gone, and the group with it
            return False
        return any(each["name"] == _PLURALS[kind] for each in group["resources"])

    async def list(self, api_version: str, kind: str, namespace: str = "", **selectors: str) -> list[Manifest]:
        """All objects of a kind, as `pages` gives them."""
        return [each async for page in self.pages(api_version, kind, namespace, **selectors) for each in page]

    async def apply(self, manifest: Manifest, sub: str = "", manager: str = names.OPERATOR_MANAGER) -> Manifest:
        """Server-side apply, by force: what we write is ours."""
        query = {"fieldManager": manager, "force": "true"}
        return await self._call("PATCH", _path(reference(manifest), sub), manifest, "apply", query)

    async def create(self, manifest: Manifest) -> Manifest:
        """Raises ApiConflict when the name is taken."""
        ref = reference(manifest)
        path = resource_path(ref.api_version, ref.kind, ref.namespace)
        return await self._call("POST", path, manifest, query={"fieldManager": names.OPERATOR_MANAGER})

    async def replace(self, manifest: Manifest) -> Manifest:
        """Raises ApiConflict when the object has moved on since `metadata.resourceVersion`."""
        return await self._call("PUT", _path(reference(manifest)), manifest)

    async def merge(self, ref: Reference, patch: Manifest) -> Manifest:
        return await self._call("PATCH", _path(ref), patch, "merge", {"fieldManager": names.OPERATOR_MANAGER})

    async def delete(self, ref: Reference) -> None:
        """Absent is fine."""
        try:
            await self._call("DELETE", _path(ref))
        except NotFound:
            return

    async def hold(self, ref: Reference, uid: str) -> Manifest:
        """Put our finalizer on; only on the very object with that uid."""
        metadata = {**_metadata(ref), "uid": uid, "finalizers": [names.FINALIZER]}
        manifest = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}
        return await self.apply(manifest, manager=HOLD_MANAGER)

    async def let_go(self, body: Manifest) -> None:
        """Take our finalizer off the object as it was read; raises ApiConflict when it has changed since."""
        metadata = body["metadata"]
        rest = [each for each in metadata.get("finalizers", ()) if each != names.FINALIZER]
        if rest == metadata.get("finalizers", []):
            return
        patch = {"metadata": {"finalizers": rest, "resourceVersion": metadata["resourceVersion"]}}
        try:
            await self.merge(reference(body), patch)
        except NotFound:
            return

    async def _call(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content: Literal["apply", "merge", "json"] = "json",
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        headers: dict[str, str] = {"Content-Type": _CONTENT[content], "Accept": "application/json"}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=DEADLINE)
            text = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{method} {path}: {type(error).__name__} {error}") from error
        if answer.status >= 300:
            raise _error(answer.status, f"{method} {path}", text)
        return json.loads(text) if text else {}


def _path(ref: Reference, sub: str = "") -> str:
    return resource_path(ref.api_version, ref.kind, ref.namespace, ref.name, sub)


def _metadata(ref: Reference) -> Manifest:
    return {"name": ref.name, "namespace": ref.namespace} if ref.namespace else {"name": ref.name}


def _error(status: int, what: str, text: bytes) -> MoorageError:
    """The class that says whether trying again can help. The API server's message never holds a Secret's value."""
    try:
        message = f"{what}: {json.loads(text).get('message', status)}"
    except ValueError:
        message = f"{what}: HTTP {status}"
    kinds: dict[int, type[MoorageError]] = {
        400: InvalidInput,
        403: Forbidden,
        404: NotFound,
        409: ApiConflict,
        422: InvalidInput,
    }
    return kinds.get(status, ApiUnavailable)(message)
