"""`python -m bench.scale.agent ADDRESS`: stands for the NFS server. It reads and answers as the share agent does (with
the agent's own calls on the API server), but makes no share; its port 2049 on ADDRESS answers the operator's probe.
"""

import asyncio
import sys
from typing import Any

from moorage import names, quantity
from moorage.errors import MoorageError
from moorage_operator.agent.api import BACKENDS, VOLUMES, Api, Feed, Object

SERVER = "moorage-nfs-0"
NAMESPACE = "moorage"
STATEFUL_SET = "moorage-nfs"
WORKERS = 8


def share(volume: Object) -> Object | None:
    """The share of a volume that was placed here."""
    status: dict[str, Any] = volume.get("status", {})
    if status.get("placement", {}).get("server") != SERVER:
        return None
    whole = {
        **{"state": "Served", "server": SERVER, "address": f"{SERVER}.{NAMESPACE}.svc.cluster.local"},
        **{"path": f"/vol/{status['id']}", "exportId": 7, "sizeBytes": quantity.parse(volume["spec"]["size"])},
    }
    return {**whole, "state": "Released"} if status.get("release") else whole


def manifest(volume: Object, whole: Object) -> Object:
    metadata = {key: volume["metadata"][key] for key in ("name", "namespace", "uid")}
    api = names.API_VERSION
    return {"apiVersion": api, "kind": "StorageVolume", "metadata": metadata, "status": {"share": whole}}


async def tell_room(api: Api, backend: Object) -> None:
    """Enough for all."""
    metadata = {"name": backend["metadata"]["name"]}
    body: Object = {"apiVersion": names.API_VERSION, "kind": "StorageBackend", "metadata": metadata}
    body["status"] = {"servers": [{"name": SERVER, "totalBytes": 2**60, "freeBytes": 2**59, "clones": True}]}
    await api.apply_status(f"{BACKENDS}/{metadata['name']}", f"{names.AGENT_MANAGER}-{SERVER}", body)


async def serve(api: Api) -> None:
    silent: asyncio.Queue[Object] = asyncio.Queue()
    waiting: asyncio.Queue[Object] = asyncio.Queue()

    def changed(_: str, volume: Object | None) -> None:
        if volume and (wanted := share(volume)) and wanted != volume["status"].get("share"):
            waiting.put_nowait(volume)

    def backend_changed(_: str, backend: Object | None) -> None:
        ours = backend and backend["spec"]["engine"].get("ganesha")
        if backend and ours and not backend.get("status", {}).get("servers"):
            silent.put_nowait(backend)

    async def tell() -> None:
        while True:
            await tell_room(api, await silent.get())

    async def work() -> None:
        while True:
            volume = await waiting.get()
            metadata, whole = volume["metadata"], share(volume)
            path = f"/apis/{names.API_VERSION}/namespaces/{metadata['namespace']}/storagevolumes/{metadata['name']}"
            try:
                await api.apply_status(path, names.AGENT_MANAGER, manifest(volume, whole or {}))
            except MoorageError as error:  # it is listed again soon
                print(error, file=sys.stderr, flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(Feed(api, VOLUMES, changed).run())
        group.create_task(Feed(api, BACKENDS, backend_changed).run())
        group.create_task(tell())
        for _ in range(WORKERS):
            group.create_task(work())


async def main(address: str) -> None:
    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    await asyncio.start_server(greet, address, 2049)
    await serve(await Api.connect())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
