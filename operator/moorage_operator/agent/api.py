"""The Kubernetes API, as far as the agent needs it: feeds of objects, and server-side apply of a status."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Self, cast
from urllib.parse import urlencode

from moorage.errors import MoorageError, NotFound, Retry
from moorage_operator.agent.wire import Access, Wire

log = logging.getLogger(__name__)

Object = dict[str, Any]

VOLUMES = "/apis/moorage.dev/v1alpha1/storagevolumes"
SNAPSHOTS = "/apis/moorage.dev/v1alpha1/storagesnapshots"
BACKENDS = "/apis/moorage.dev/v1alpha1/storagebackends"
NODES = "/api/v1/nodes"
_RELIST = 30  # seconds of one watch; a silent one cannot outlive it
_PAUSE = 2.0
_GATHER = 0.2  # one list answers all who ask within it


class Api:
    """Raises NotFound, and Retry for what may pass: other answers are a MoorageError with the server's words."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @classmethod
    async def connect(cls) -> Self:
        """In a cluster by the service account, else by KUBECONFIG."""
        return cls(Wire(await Access.find()))

    async def close(self) -> None:
        self._wire.close()

    async def get(self, path: str, selector: str = "") -> Object:
        query = f"?{urlencode({'fieldSelector': selector})}" if selector else ""
        text = await self._request("GET", f"{path}{query}")
        try:
            return cast(Object, json.loads(text))
        except ValueError as error:
            raise Retry(f"API server: GET {path}: the answer is no JSON ({error})") from error

    async def apply_status(self, path: str, manager: str, body: Object) -> None:
        """Server-side apply of `body` on the status of the object at `path`; the manager owns just what is in it."""
        query = urlencode({"fieldManager": manager, "force": "true"})
        await self._request("PATCH", f"{path}/status?{query}", body)

    async def watch(self, path: str, version: str, selector: str = "") -> AsyncGenerator[Object]:
        """Events, until the server ends the watch."""
        asked = {"watch": "true", "resourceVersion": version, "timeoutSeconds": _RELIST, "allowWatchBookmarks": "true"}
        query = urlencode(asked | ({"fieldSelector": selector} if selector else {}))
        async with aclosing(self._wire.lines(f"{path}?{query}", _RELIST + 10.0)) as lines:
            async for line in lines:
                yield cast(Object, json.loads(line))

    async def _request(self, method: str, path: str, body: Object | None = None) -> bytes:
        status, text = await self._wire.exchange(method, path, body)
        if status < 300:
            return text
        said = _message(text.decode(errors="replace"))
        raise _refusal(status, f"API server: {method} {path.partition('?')[0]}: {status} {said}")


class Feed:
    """Objects of one kind by UID, kept by list and watches of half a minute, listed anew after so many of them.

    A failed list changes nothing: what was last known stands. `synced` after the first list that succeeded.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        changed: Callable[[str, Object | None], None],
        selector: str = "",
        watches: int = 1,
    ) -> None:
        """`selector`: a field selector; an object that it ceases to fit is gone as far as the feed is concerned.

        `watches`: from one list to the next. A list with a selector costs the API server a look at all objects.
        """
        self.objects: dict[str, Object] = {}
        self.synced = False
        self.listed = asyncio.Event()
        self._api = api
        self._path = path
        self._selector = selector
        self._watches = watches
        self._changed = changed

    async def run(self) -> None:
        while True:
            try:
                version = await self._list()
                for _ in range(self._watches):
                    version = await self._follow(version)
            except (MoorageError, OSError, ValueError) as error:
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

    async def _follow(self, version: str) -> str:
        """One watch; where the next one begins."""
        async with aclosing(self._api.watch(self._path, version, self._selector)) as events:
            async for event in events:
                version = self._take(event) or version
        return version

    def _take(self, event: Object) -> str:
        if "type" not in event:  # no watch at all: the server's answer says why
            raise Retry(f"watch refused: {event.get('message', '')}")
        if event["type"] == "ERROR":
            raise Retry(f"watch ended: {event['object'].get('message', '')}")
        item = cast(Object, event["object"])
        if event["type"] != "BOOKMARK":
            self._note(event["type"], item)
        return str(item["metadata"].get("resourceVersion", ""))

    def _note(self, kind: str, item: Object) -> None:
        uid = str(item["metadata"]["uid"])
        if kind == "DELETED":
            self.objects.pop(uid, None)
            self._changed(uid, None)
        else:
            self.objects[uid] = _slim(item)
            self._changed(uid, item)


class Poll(Feed):
    """Lists now and then, and watches nothing: for an object that a thousand others write to all the time."""

    def __init__(
        self, api: Api, path: str, changed: Callable[[str, Object | None], None], period: Callable[[], float]
    ) -> None:
        """`period` gives seconds until the next list."""
        super().__init__(api, path, changed)
        self._period = period
        self._due = asyncio.Event()

    def look(self) -> None:
        """List again soon."""
        self._due.set()

    async def _follow(self, version: str) -> str:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._due.wait(), self._period())
        await asyncio.sleep(_GATHER)
        self._due.clear()
        return version


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
