"""/healthz, /readyz and /metrics. No probe touches a mount."""

import asyncio
import time

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from moorage_operator.agent.agent import Agent

_STALE = 60.0  # the heart beats every 10 s
_DOWN = 30.0


class Health:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(f"moorage_nfs_{name}", text, registry=self._registry)
            for name, text in (
                ("shares", "Shares on the pool that are to be served."),
                ("exports", "Exports that Ganesha shows."),
                ("orphans", "Shares kept on the pool that no StorageVolume owns."),
                ("failing_shares", "Shares that cannot be brought to what was asked."),
                ("ganesha_starts", "How often Ganesha was started."),
                ("pool_bytes", "Size of the pool."),
                ("pool_free_bytes", "Bytes of the pool that are free and promised to no volume."),
                ("pool_copies_bytes", "Bytes promised for copies of blocks that snapshots and clones share."),
                ("snapshots", "Snapshots on the pool."),
            )
        }

    async def serve(self, port: int) -> web.AppRunner:
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, None, port).start()
        return runner

    async def _healthz(self, _request: web.Request) -> web.Response:
        now, down = time.monotonic(), self._agent.server.down_since
        if now - self._agent.heartbeat > _STALE:
            return _no("the agent's loop stands still")
        if down is not None and now - down > _DOWN:
            return _no(f"ganesha is down for {now - down:.0f} s")
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        """A running process proves nothing: Ganesha starts with a broken export and serves the rest."""
        if self._agent.server.down_since is not None:
            return _no("ganesha is being started")
        shown = self._agent.server.shown
        missing = [r.id for r in await asyncio.to_thread(self._agent.served) if r.export_id not in shown]
        return _no(f"not exported: {', '.join(missing)}") if missing else web.Response(text="ok\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        agent = self._agent
        total, free = await asyncio.to_thread(agent.pool.space)
        figures = {
            "shares": len(await asyncio.to_thread(agent.served)),
            "exports": len(agent.server.shown.keys() & agent.server.exports.keys()),
            "orphans": len(await asyncio.to_thread(agent.orphans)),
            "failing_shares": len(agent.failures),
            "ganesha_starts": agent.server.starts,
            "pool_bytes": total,
            "pool_free_bytes": free,
            "pool_copies_bytes": await asyncio.to_thread(agent.pool.room.promised),
            "snapshots": len(await asyncio.to_thread(agent.snapshots.ids)),
        }
        for name, value in figures.items():
            self._gauges[name].set(value)
        return web.Response(body=generate_latest(self._registry), content_type="text/plain")


def _no(why: str) -> web.Response:
    return web.Response(status=503, text=why + "\n")
