"""The local agent's settings, probes and devices."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage import names
from moorage.errors import InvalidInput
from moorage.model import RootFolder
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


@pytest.mark.parametrize(
    ("engine", "ours"),
    [
        ({"local": {"namespace": "storage", "daemonSet": "moorage-local", "overcommit": True}}, True),
        ({"local": {"namespace": "storage", "daemonSet": "others"}}, False),
        ({"local": {"namespace": "elsewhere", "daemonSet": "moorage-local"}}, False),
        ({"ganesha": {"namespace": "storage", "statefulSet": "moorage-local"}}, False),
    ],
)
def test_it_serves_the_backends_that_name_its_daemon_set(agent: LocalAgent, engine: dict[str, Any], ours: bool) -> None:
    agent.catalogue.take_backends([{"metadata": {"name": "local"}, "spec": {"engine": engine}}])

    assert list(agent.catalogue.backends) == (["local"] if ours else [])
    assert agent.catalogue.overcommits("local") == ours


def test_a_volume_placed_on_the_node_is_wanted_here(agent: LocalAgent) -> None:
    engine = {"local": {"namespace": "storage", "daemonSet": "moorage-local"}}
    agent.catalogue.take_backends([{"metadata": {"name": "local"}, "spec": {"engine": engine}}])
    uid = "0b0c9b4e-0000-4000-8000-000000000003"
    root = {"mode": "0750", "uid": 1000, "gid": 2000}
    for node in ("node-1", "node-2"):
        placed = {"backend": "local", "engine": "local", "server": node}
        agent.catalogue.take_volume(
            uid,
            {
                "metadata": {"uid": uid, "name": "scratch", "namespace": "team"},
                "spec": {"type": "local", "size": "1Gi", "root": root},
                "status": {"id": names.short_id(uid), "placement": placed},
            },
        )
        wanted = [(each.wanted.size, each.wanted.root) for each in agent.catalogue.entries.values()]
        assert wanted == ([(2**30, RootFolder(mode="0750", uid=1000, gid=2000))] if node == "node-1" else [])


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
