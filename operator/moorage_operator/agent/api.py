"""The Kubernetes API, as far as the agent needs it: feeds of objects, and server-side apply of a status."""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from typing import Any, Self, cast
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]

from moorage.errors import MoorageError, NotFound, Retry

log = logging.getLogger(__name__)

Object = dict[str, Any]

VOLUMES = "/apis/moorage.dev/v1alpha1/storagevolumes"
BACKENDS = "/apis/moorage.dev/v1alpha1/storagebackends"
NODES = "/api/v1/nodes"
_DEADLINE = 30.0
_RELIST = 30  # seconds of one watch; a silent one cannot outlive it
_PAUSE = 2.0


class Api:
    """Raises NotFound, and Retry for what may pass: other answers are a MoorageError with the server's words."""

    def __init__(self, api: Any) -> None:
        self._api = api

    @classmethod
    async def connect(cls) -> Self:
        """In a cluster by the service account, else by KUBECONFIG."""
        settings: Any = cast(Any, client).Configuration()
        loader = cast(Any, config)
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            loader.load_incluster_config(client_configuration=settings)
        else:
            await loader.load_kube_config(client_configuration=settings)
        return cls(cast(Any, client).ApiClient(settings))

    async def close(self) -> None:
        await self._api.close()

    async def get(self, path: str, selector: str = "") -> Object:
        query = f"?{urlencode({'fieldSelector': selector})}" if selector else ""
        response = await self._request("GET", f"{path}{query}", _DEADLINE)
        return cast(Object, json.loads(await response.read()))

    async def apply_status(self, path: str, manager: str, body: Object) -> None:
        """Server-side apply of `body` on the status of the object at `path`; the manager owns just what is in it."""
        query = urlencode({"fieldManager": manager, "force": "true"})
        await self._request("PATCH", f"{path}/status?{query}", _DEADLINE, body)

    async def watch(self, path: str, version: str, selector: str = "") -> Any:
        asked = {"watch": "true", "resourceVersion": version, "timeoutSeconds": _RELIST, "allowWatchBookmarks": "true"}
        query = urlencode(asked | ({"fieldSelector": selector} if selector else {}))
        return await self._request("GET", f"{path}?{query}", _RELIST + 10.0)

    async def _request(self, method: str, path: str, deadline: float, body: Object | None = None) -> Any:
        kind = "application/apply-patch+yaml" if body is not None else "application/json"
        headers = {"Accept": "application/json", "Content-Type": kind}
        try:
            call = await self._api.param_serialize(
                method=method, resource_path=path, header_params=headers, query_params=[], body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            timeout = aiohttp.ClientTimeout(total=deadline, sock_connect=10.0)
            answer = (await self._api.call_api(*call, _request_timeout=timeout)).response
            if answer.status < 300:
                if method == "PATCH":
                    await answer.read()
                return answer
            text = (await answer.read()).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Retry(f"API server: {method} {path}: {error or type(error).__name__}") from error
        raise _refusal(answer.status, f"API server: {method} {path}: {answer.status} {_message(text)}")


class Feed:
    """Objects of one kind by UID, kept by list and watch, listed anew every half minute.

    A failed list changes nothing: what was last known stands. `synced` after the first list that succeeded.
    """

    def __init__(self, api: Api, path: str, changed: Callable[[str, Object | None], None], selector: str = "") -> None:
        """`selector`: a field selector; an object that it ceases to fit is gone as far as the feed is concerned."""
        self.objects: dict[str, Object] = {}
        self.synced = False
        self.listed = asyncio.Event()
        self._api = api
        self._path = path
        self._selector = selector
        self._changed = changed

    async def run(self) -> None:
        while True:
            try:
                await self._follow(await self._list())
            except (MoorageError, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                log.warning("%s: %s", self._path, error or type(error).__name__)
                await asyncio.sleep(_PAUSE)

    async def _list(self) -> str:
        answer = await self._api.get(self._path, self._selector)
        fresh = {str(item["metadata"]["uid"]): item for item in cast(list[Object], answer["items"])}
        gone = self.objects.keys() - fresh.keys()
        self.objects, self.synced = fresh, True
        for uid in gone:
            self._changed(uid, None)
        for uid, item in fresh.items():
            _slim(item)
            self._changed(uid, item)
        self.listed.set()
        return str(answer["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        answer = await self._api.watch(self._path, version, self._selector)
        try:
            buffer = b""
            async for chunk in answer.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    self._take(cast(Object, json.loads(line)))
        finally:
            answer.close()

    def _take(self, event: Object) -> None:
        if event["type"] == "BOOKMARK":
            return
        if event["type"] == "ERROR":
            raise Retry(f"watch ended: {event['object'].get('message', '')}")
        item = cast(Object, event["object"])
        uid = str(item["metadata"]["uid"])
        if event["type"] == "DELETED":
            self.objects.pop(uid, None)
            self._changed(uid, None)
        else:
            self.objects[uid] = _slim(item)
            self._changed(uid, item)


def _slim(item: Object) -> Object:
    """Half of an object is who wrote which field of it; nobody here reads that."""
    item["metadata"].pop("managedFields", None)
    return item


def _refusal(status: int, text: str) -> MoorageError:
    if status == 404:
        return NotFound(text)
    return Retry(text) if status in (409, 429) or status >= 500 else MoorageError(text)


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))
    except ValueError:
        return text[:300]
