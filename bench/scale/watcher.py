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
        self._version = "0"
        self.trouble: BaseException | None = None

    async def run(self) -> None:
        """Until cancelled; what ended it earlier is in `trouble`."""
        try:
            while True:
                await self._follow()
                await asyncio.sleep(0.2)
        except Exception as error:
            self.trouble = error

    async def _follow(self) -> None:
        """One watch. The API server ends it when we read too slowly, and answers 429 for a kind that has just come."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        query = f"?watch=true&timeoutSeconds=3600&resourceVersion={self._version}"
        url = self._cluster.configuration.host + self._path + query
        session = self._cluster.session()
        async with session, session.get(url, timeout=timeout, read_bufsize=LONGEST_LINE) as answer:
            if answer.status == 429:
                return
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise EOFError(f"the watch cannot be taken up again: {event['object'].get('message')}")
                self._version = event["object"]["metadata"]["resourceVersion"]
                self._take(event["type"], event["object"])

    def _take(self, type: str, body: dict[str, Any]) -> None:
        name = (body["metadata"]["namespace"], body["metadata"]["name"])
        if type == "DELETED":
            self.gone.add(name)
        self.bodies[name] = body.get("status", {})
        if name not in self.ready and is_ready(body):
            self.ready[name] = time.monotonic()

    async def until(self, wanted: set[Name], seconds: float) -> float:
        """The moment at which the last of them was ready; raises TimeoutError that names some that are not."""
        try:
            async with asyncio.timeout(seconds):
                while not wanted <= self.ready.keys():
                    if self.trouble:
                        raise RuntimeError("the watch of the bench has ended") from self.trouble
                    await asyncio.sleep(0.05)
        except TimeoutError:
            late = wanted - self.ready.keys()
            some = {name: self.bodies.get(name) for name in sorted(late)[:3]}
            raise TimeoutError(f"{len(late)} are not ready after {seconds:.0f} s: {some}") from None
        return max(self.ready[each] for each in wanted)
