"""Probes and metrics over HTTP."""

import asyncio

import pytest

from moorage_csi.health import Health
from moorage_csi.metrics import Metrics


async def _get(health: Health, path: str) -> tuple[str, str]:
    server = await health.listen("127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
    return head.split("\r\n")[0], body


@pytest.mark.parametrize(
    ("path", "missing", "status", "body"),
    [
        ("/healthz", "", "200 OK", "ok\n"),
        ("/healthz", "not registered", "200 OK", "ok\n"),
        ("/readyz", "", "200 OK", "ok\n"),
        ("/readyz", "not registered", "503 Service Unavailable", "not registered\n"),
        ("/else", "", "404 Not Found", "not found\n"),
    ],
)
async def test_probes(path: str, missing: str, status: str, body: str) -> None:
    assert await _get(Health(Metrics(), lambda: missing), path) == (f"HTTP/1.1 {status}", body)


async def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics()
    metrics.gauges["moorage_csi_abandoned_commands"] = lambda: 2.0
    metrics.observe("NodePublishVolume", "OK", 0.012)
    _, body = await _get(Health(metrics, lambda: ""), "/metrics")
    lines = body.splitlines()
    assert 'moorage_csi_operation_seconds_bucket{method="NodePublishVolume",le="0.01"} 0' in lines
    assert 'moorage_csi_operation_seconds_bucket{method="NodePublishVolume",le="0.02"} 1' in lines
    assert "moorage_csi_abandoned_commands 2" in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


async def test_a_client_that_says_nothing_sensible_harms_nobody() -> None:
    health = Health(Metrics(), lambda: "")
    server = await health.listen("127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
    assert (await _get(health, "/healthz"))[1] == "ok\n"
