"""When each volume became usable, as a watcher of the API sees it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp

from moorage import names
from moorage_operator.cluster import Cluster, resource_path

Name = tuple[str, str]
LONGEST_LINE = 2**20  # bytes of one watch event


def is_ready(body: dict[str, Any]) -> bool:
    found = body.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


class Watcher:
    """The moment (time.monotonic) at which each object of a kind was first seen with Ready=True."""

    def __init__(self, cluster: Cluster, kind: str = "StorageVolume") -> None:
        self._cluster = cluster
        self._path = resource_path(names.API_VERSION, kind)
        self.ready: dict[Name, float] = {}
        self.gone: set[Name] = set()
        self.bodies: dict[Name, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. The whole bench fits into one watch, from before the first object on."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        url = f"{self._cluster.configuration.host}{self._path}?watch=true&timeoutSeconds=86400&resourceVersion=0"
        session = self._cluster.session()
        async with session, session.get(url, timeout=timeout, read_bufsize=LONGEST_LINE) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                self._take(event["type"], event["object"])

    def _take(self, type: str, body: dict[str, Any]) -> None:
        name = (body["metadata"]["namespace"], body["metadata"]["name"])
        if type == "DELETED":
            self.gone.add(name)
        self.bodies[name] = body.get("status", {})
        if name not in self.ready and is_ready(body):
            self.ready[name] = time.monotonic()
        self._changed.set()

    async def until(self, wanted: set[Name], seconds: float) -> float:
        """The moment at which the last of them was ready; raises TimeoutError that names some that are not."""
        try:
            async with asyncio.timeout(seconds):
                while not wanted <= self.ready.keys():
                    self._changed.clear()
                    await self._changed.wait()
                    await asyncio.sleep(0.05)  # many come at once
        except TimeoutError:
            late = wanted - self.ready.keys()
            some = {name: self.bodies.get(name) for name in sorted(late)[:3]}
            raise TimeoutError(f"{len(late)} are not ready after {seconds:.0f} s: {some}") from None
        return max(self.ready[each] for each in wanted)
