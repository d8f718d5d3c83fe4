"""/healthz, /readyz and /metrics, by hand: a web server and a metrics library would cost each node megabytes.

No probe touches a mount.
"""

import asyncio
import time

from moorage_operator.agent.keeper import Keeper

_SECONDS = 5.0
_STALE = 60.0  # the heart beats every 10 s
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_HELP = {
    "shares": "Volumes of this node's disk that are to be mounted.",
    "orphans": "Volumes kept on this node's disk that no StorageVolume owns.",
    "failing_shares": "Volumes that cannot be brought to what was asked.",
    "pool_bytes": "Size of the node's pool.",
    "pool_free_bytes": "Free bytes of the node's pool.",
}


class Health:
    def __init__(self, agent: Keeper) -> None:
        self._agent = agent

    async def listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, None, port, limit=8192)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                line = await reader.readline()
                while (await reader.readline()).strip():
                    pass
                writer.write(await self.answer(line.split(b" ")[1].decode("latin-1")))
                await writer.drain()
        except (OSError, IndexError, ValueError):
            return
        finally:
            writer.close()

    async def answer(self, path: str) -> bytes:
        """The whole HTTP response to GET `path`."""
        match path.partition("?")[0]:
            case "/healthz":
                stale = time.monotonic() - self._agent.heartbeat > _STALE
                return _page(503, "the agent's loop stands still\n") if stale else _page(200, "ok\n")
            case "/readyz":
                known = self._agent.catalogue.synced
                return _page(200, "ok\n") if known else _page(503, "which volumes there are is not known yet\n")
            case "/metrics":
                return _page(200, await asyncio.to_thread(self._metrics))
            case _:
                return _page(404, "not found\n")

    def _metrics(self) -> str:
        agent = self._agent
        total, free = agent.pool.space()
        figures = {
            "shares": len(agent.served()),
            "orphans": len(agent.orphans()),
            "failing_shares": len(agent.failures),
            "pool_bytes": total,
            "pool_free_bytes": free,
        }
        return "".join(
            f"# HELP moorage_local_{name} {text}\n"
            f"# TYPE moorage_local_{name} gauge\n"
            f"moorage_local_{name} {figures[name]}\n"
            for name, text in _HELP.items()
        )


def _page(status: int, text: str) -> bytes:
    words = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[status]
    body = text.encode()
    head = f"HTTP/1.1 {status} {words}\r\nContent-Type: {_TEXT}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
