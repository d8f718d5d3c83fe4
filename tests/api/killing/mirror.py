"""One list and watch of each kind for all: what operators are shown, what the stand-ins act on, what tests look at."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp

from killing.death import scope_of
from moorage.actions import Manifest
from moorage.errors import MoorageError
from moorage_operator.cluster import Cluster, resource_path
from moorage_operator.watch import WATCHED

See = Callable[[Manifest, bool], None]
Key = tuple[str, str, str]  # kind, namespace, name

EVENTS = "events.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
FURTHER = (("v1", "Secret"), (RBAC, "Role"), (RBAC, "RoleBinding"), (EVENTS, "Event"))
POLL = 0.05


class Mirror:
    """All objects of the `scopes` that are of interest, newest version of each, by scope (`scope_of`)."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.scopes: set[str | None] = {None}
        self.objects: dict[str | None, dict[Key, Manifest]] = defaultdict(dict)
        self.uids: dict[str | None, dict[str, str]] = defaultdict(dict)  # uid -> kind/name, also of what is gone
        self._listeners: dict[str | None, list[See]] = defaultdict(list)
        self._changed: dict[str | None, asyncio.Event] = defaultdict(asyncio.Event)

    async def run(self) -> None:
        async with self.cluster.session() as session, asyncio.TaskGroup() as group:
            for api_version, kind, selectors in WATCHED:
                group.create_task(self._follow(session, api_version, kind, selectors))
            for api_version, kind in FURTHER:
                group.create_task(self._follow(session, api_version, kind, {}))

    def get(self, scope: str, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        return self.objects[scope].get((kind, scope if namespace is None else namespace, name))

    def all(self, scope: str, *kinds: str) -> list[Manifest]:
        return [body for key, body in self.objects[scope].items() if key[0] in kinds]

    @contextmanager
    def listening(self, scope: str | None, see: See) -> Iterator[None]:
        """`see` gets all that is there, and then every change; a scope of None is everybody's."""
        for where in (None, scope) if scope else list(self.objects):
            for body in list(self.objects[where].values()):
                see(body, False)
        self._listeners[scope].append(see)
        try:
            yield
        finally:
            self._listeners[scope].remove(see)

    async def until(self, scope: str, check: Callable[[], Any], patience: float) -> Any:
        """What `check` gives when it gives something; None when it never did."""
        end = asyncio.get_running_loop().time() + patience
        while not (found := check()):
            if asyncio.get_running_loop().time() > end:
                return None
            self._changed[scope].clear()
            await _either(self._changed[scope].wait(), POLL)
        return found

    def forget(self, scope: str) -> None:
        self.scopes.discard(scope)
        for each in (self.objects, self.uids, self._changed):
            each.pop(scope, None)

    async def _follow(
        self, session: aiohttp.ClientSession, api_version: str, kind: str, selectors: dict[str, str]
    ) -> None:
        while True:
            try:
                version = await self._list(api_version, kind, selectors)
                await self._stream(session, resource_path(api_version, kind), version, selectors)
            except (MoorageError, aiohttp.ClientError):  # a loaded server ends watches that lag behind
                continue

    async def _list(self, api_version: str, kind: str, selectors: dict[str, str]) -> str:
        listed = await self.cluster._call("GET", resource_path(api_version, kind), query=selectors)
        known = [body for bodies in self.objects.values() for body in bodies.values() if body["kind"] == kind]
        there = {item["metadata"]["uid"] for item in listed["items"]}
        for item in listed["items"]:
            self._take({"apiVersion": api_version, "kind": kind, **item}, False)
        for body in known:
            if body["metadata"]["uid"] not in there:
                self._take(body, True)
        return listed["metadata"]["resourceVersion"]

    async def _stream(self, session: aiohttp.ClientSession, path: str, version: str, selectors: dict[str, str]) -> None:
        query = urlencode({"watch": "1", "resourceVersion": version, "timeoutSeconds": "3600", **selectors})
        url = f"{self.cluster.configuration.host}{path}?{query}"
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            buffer = b""
            async for chunk in answer.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for event in map(json.loads, lines):
                    if event["type"] == "ERROR":
                        return
                    self._take(event["object"], event["type"] == "DELETED")

    def _take(self, body: Manifest, deleted: bool) -> None:
        scope, metadata = scope_of(body), body["metadata"]
        if scope not in self.scopes:
            return
        key = (body["kind"], metadata.get("namespace", ""), metadata["name"])
        self.uids[scope][metadata["uid"]] = f"{body['kind']}/{metadata['name']}"
        if deleted:
            self.objects[scope].pop(key, None)
        else:
            self.objects[scope][key] = body
        self._changed[scope].set()
        listeners = (
            [each for where in self._listeners.values() for each in where]
            if scope is None
            else ([*self._listeners[scope], *self._listeners[None]])
        )
        for see in listeners:
            see(body, deleted)


async def _either(wait: Awaitable[Any], seconds: float) -> None:
    try:
        await asyncio.wait_for(wait, seconds)
    except TimeoutError:
        return
