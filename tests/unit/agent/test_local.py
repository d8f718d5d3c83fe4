"""The local agent's settings, probes and devices."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest

from moorage.errors import InvalidInput
from moorage_operator.agent import loop
from moorage_operator.local.agent import LocalAgent
from moorage_operator.local.health import Health
from moorage_operator.local.localpool import LocalPool
from moorage_operator.local.settings import Settings

NODE = {"NODE_NAME": "node-1", "POD_NAMESPACE": "storage"}


def test_defaults_are_where_the_node_plugin_looks() -> None:
    settings = Settings.read(NODE)

    assert settings.path("abcd2345") == "/var/lib/kubelet/plugins/csi.moorage.dev/local/abcd2345"
    assert (settings.server, settings.node, settings.address, settings.exports) == ("node-1", "node-1", "", False)
    assert (settings.daemon_set, settings.volume_group) == ("moorage-local", "")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"POD_NAMESPACE": "x"}, "NODE_NAME is not set"),
        ({"NODE_NAME": "x"}, "POD_NAMESPACE is not set"),
        ({**NODE, "MOORAGE_HTTP_PORT": "70000"}, "MOORAGE_HTTP_PORT='70000' is not a port"),
    ],
)
def test_bad_environment_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Settings.read(environ)


@pytest.fixture
def agent(tmp_path: Path) -> LocalAgent:
    folders = {"MOORAGE_POOL": str(tmp_path / "pool"), "MOORAGE_KUBELET_DIR": str(tmp_path / "kubelet")}
    settings = Settings.read(NODE | folders)
    pool = LocalPool(settings.pool)
    pool.open()
    return LocalAgent(settings, pool, object())  # type: ignore[arg-type]


async def test_ready_once_the_volumes_are_known(agent: LocalAgent) -> None:
    health = Health(agent)

    assert (await health.answer("/healthz")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert (await health.answer("/readyz")).startswith(b"HTTP/1.1 503")
    agent.catalogue.synced = True
    assert (await health.answer("/readyz")).startswith(b"HTTP/1.1 200")
    assert b"\nmoorage_local_shares 0\n" in await health.answer("/metrics")
    assert (await health.answer("/else")).startswith(b"HTTP/1.1 404")


async def test_probes_are_answered_over_tcp(agent: LocalAgent) -> None:
    server = await Health(agent).listen(0)
    port = next(each.getsockname()[1] for each in server.sockets if each.family is socket.AF_INET)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (await reader.read()).endswith(b"\r\n\r\nok\n")
    writer.close()
    server.close()


def test_the_device_of_an_image_is_found_and_used_again(tmp_path: Path) -> None:
    pool = LocalPool(tmp_path)
    pool.open()
    image = pool.image("abcd2345")
    image.parent.mkdir()
    image.touch()
    os.truncate(image, 320 * 2**20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    point = tmp_path / "point"
    point.mkdir()
    assert loop.bound(image) is None and not pool.in_use("abcd2345")

    with pool.attached("abcd2345") as first:
        subprocess.run(["mount", first, point], check=True)
    try:
        with pool.attached("abcd2345") as second:
            found = second
        assert found == first == loop.bound(image)
        assert pool.in_use("abcd2345")
    finally:
        subprocess.run(["umount", point], check=True)
