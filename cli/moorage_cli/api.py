"""StorageVolumes on the API server, as the user of the kubeconfig (or of the pod's service account)."""

import json
from pathlib import Path
from typing import Any, Protocol, Self, cast

import aiohttp
from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]

from moorage import names
from moorage.errors import Forbidden, InvalidInput, MoorageError, NotFound, Retry, Unauthenticated

DEADLINE = 15.0  # seconds per call
MANAGER = "moor"
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_ERRORS: dict[int, type[MoorageError]] = {
    400: InvalidInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    422: InvalidInput,
}

Body = dict[str, Any]


class Volumes(Protocol):
    """What `moor` asks of a cluster."""

    async def get(self, namespace: str, name: str) -> Body: ...
    async def grow(self, namespace: str, name: str, size: str) -> Body: ...


class Api:
    """Calls on one API server. `namespace`: of the kubeconfig's context, or of the pod."""

    def __init__(self, configuration: Any, namespace: str) -> None:
        self._configuration = configuration
        configuration.disable_strict_ssl_verification = True  # chain and host name are verified
        self._client: Any = client.ApiClient(configuration)
        self.namespace = namespace

    @classmethod
    async def connect(cls, context: str | None = None) -> Self:
        """Raises InvalidInput when there is no cluster to talk to."""
        configuration: Any = client.Configuration()
        try:
            await config.load_kube_config(context=context, client_configuration=configuration)  # pyright: ignore[reportUnknownMemberType]
            return cls(configuration, _context_namespace(context))
        except config.ConfigException as error:
            if context or not _own_namespace():
                raise InvalidInput(f"no cluster to talk to: {error}. Set KUBECONFIG, or name a --context") from error
        config.load_incluster_config(configuration)  # pyright: ignore[reportUnknownMemberType]
        return cls(configuration, _own_namespace())

    async def close(self) -> None:
        await self._client.close()

    async def get(self, namespace: str, name: str) -> Body:
        """A StorageVolume; raises NotFound and other MoorageErrors."""
        return await self._call("GET", namespace, name)

    async def grow(self, namespace: str, name: str, size: str) -> Body:
        """Write spec.size and nothing else."""
        return await self._call("PATCH", namespace, name, {"spec": {"size": size}})

    async def _call(self, method: str, namespace: str, name: str, body: Body | None = None) -> Body:
        path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/storagevolumes/{name}"
        headers: dict[str, str] = {"Content-Type": "application/merge-patch+json", "Accept": "application/json"}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        query = f"?fieldManager={MANAGER}" if body else ""
        url = self._configuration.host + path + query
        try:
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=DEADLINE)
            text = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Retry(f"the API server does not answer: {str(error) or type(error).__name__}") from error
        if answer.status >= 300:
            raise _ERRORS.get(answer.status, Retry)(_message(text, answer.status))
        return json.loads(text)


def _own_namespace() -> str:
    """Of the pod that this runs in; "" elsewhere."""
    return _NAMESPACE.read_text().strip() if _NAMESPACE.exists() else ""


def _context_namespace(context: str | None) -> str:
    listed = cast("Any", config.list_kube_config_contexts())  # pyright: ignore[reportUnknownMemberType]
    contexts, active = cast("tuple[list[Body], Body]", listed)
    chosen = next((each for each in contexts if each["name"] == context), active)
    return chosen.get("context", {}).get("namespace") or "default"


def _message(text: bytes, status: int) -> str:
    try:
        return json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return f"the API server answers HTTP {status}"
