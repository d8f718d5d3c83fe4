"""A kubelet that plays filers' workers: the real worker, in process, on a directory in the place of an export."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bed import Bed

from moorage import filermount, names
from moorage.actions import Manifest
from moorage.errors import MoorageError
from moorage.model import NfsEngine, StorageBackend
from moorage_operator.agent.api import Api
from moorage_operator.agent.wire import Access, Wire
from moorage_operator.filer.folders import Folders
from moorage_operator.filer.worker import Worker

IDLE = 1.0  # seconds


class Filers:
    """`exports`: what is there, by server and path; `words`: what mount.nfs4 says where nothing is."""

    def __init__(self, bed: Bed, api: Api, port: int) -> None:
        self.exports: dict[tuple[str, str], Path] = {}
        self.words = "mount.nfs4: mounting failed, reason given by server: No such file or directory"
        self.started = 0
        self._bed = bed
        self._api = api
        self._port = port
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def backend(self, name: str, path: str = "/export", **engine: Any) -> Manifest:
        nfs = {"server": "127.0.0.1", "path": path, "size": "advisory", **engine}
        spec = {"engine": {"nfs": nfs}, "mountOptions": [f"port={self._port}"]}
        return await self._bed.make("StorageBackend", name, spec=spec)

    async def play_kubelet(self) -> None:
        while True:
            with contextlib.suppress(MoorageError):
                for each in await self._bed.cluster.list("v1", "Pod", self._bed.namespace):
                    await self._see(each)
            await asyncio.sleep(0.05)

    async def _see(self, pod: Manifest) -> None:
        uid, backend = pod["metadata"]["uid"], pod["metadata"].get("labels", {}).get(names.LABEL_BACKEND)
        if backend and uid not in self._lives:
            self.started += 1
            self._lives[uid] = asyncio.create_task(self._live(pod, backend))

    async def _live(self, pod: Manifest, name: str) -> None:
        backend = StorageBackend.model_validate(await self._bed.get("StorageBackend", name))
        engine = backend.spec.engine.nfs
        assert engine
        export = self.exports.get((engine.server, engine.path))
        if export is None:
            problem = filermount.problem(engine, self.words)
            told = json.dumps({"reason": problem.reason, "message": problem.message})
            await self._say(pod, "Failed", told)
            return
        await self._say(pod, "Running", ready=True)
        await self._work(name, engine, export, pod["metadata"]["name"])
        await self._say(pod, "Succeeded")

    async def _work(self, backend: str, engine: NfsEngine, export: Path, server: str) -> None:
        folders = Folders(export)
        folders.home.load()
        try:
            await Worker(self._api, backend, engine, server, folders).run(IDLE, 60)
        finally:
            folders.close()

    async def _say(self, pod: Manifest, phase: str, said: str = "", ready: bool = False) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status: Manifest = {"phase": phase, "startTime": now, "conditions": [{"type": "Ready", "status": str(ready)}]}
        if phase in ("Succeeded", "Failed"):
            ended = {"exitCode": 0 if phase == "Succeeded" else 1, "finishedAt": now, "message": said}
            own = {"name": "worker", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
            status["containerStatuses"] = [{**own, "state": {"terminated": ended}}]
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        with contextlib.suppress(MoorageError):
            await self._bed.cluster._call("PATCH", path, {"status": status}, "merge")

    async def end(self) -> None:
        for each in self._lives.values():
            each.cancel()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)


async def holds(check: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await check():
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.fixture
async def filers(bed: Bed, api: Any, tmp_path: Path) -> AsyncIterator[Filers]:
    """With one export, `/export`, in a directory of the test's."""
    connection = Api(Wire(Access(api.url, token=api.token, ca_file=str(api.certificate))))
    port = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    filers = Filers(bed, connection, port.sockets[0].getsockname()[1])
    export = tmp_path / "export"
    export.mkdir()
    filers.exports["127.0.0.1", "/export"] = export
    kubelet = asyncio.create_task(filers.play_kubelet())
    yield filers
    kubelet.cancel()
    await filers.end()
    await asyncio.gather(kubelet, return_exceptions=True)
    await connection.close()
    port.close()
