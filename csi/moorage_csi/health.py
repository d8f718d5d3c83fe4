"""/healthz, /readyz and /metrics: about this process only. No probe looks at a mount or at another machine."""

import asyncio
from collections.abc import Callable

from moorage_csi.metrics import Metrics

_SECONDS = 5.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """A server for three GET requests. That the event loop answers at all is what /healthz shows."""

    def __init__(self, metrics: Metrics, ready: Callable[[], str]) -> None:
        """`ready` gives what is still missing; empty when nothing is."""
        self._metrics = metrics
        self._ready = ready

    async def listen(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, host or None, port, limit=8192)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                line = await reader.readline()
                while (await reader.readline()).strip():
                    pass
                path = line.split(b" ")[1].decode("latin-1")
                more = await self._metrics.others() if path == "/metrics" else ""
                writer.write(self.answer(path, more))
                await writer.drain()
        except (OSError, TimeoutError, IndexError, ValueError):
            return
        finally:
            writer.close()

    def answer(self, path: str, more: str = "") -> bytes:
        """The whole HTTP response to GET `path`."""
        missing = self._ready()
        pages = {
            "/healthz": ("200 OK", "ok\n"),
            "/readyz": ("503 Service Unavailable", f"{missing}\n") if missing else ("200 OK", "ok\n"),
            "/metrics": ("200 OK", self._metrics.text() + more),
        }
        status, text = pages.get(path.partition("?")[0], ("404 Not Found", "not found\n"))
        body = text.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: {_TEXT}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return head.encode() + body
