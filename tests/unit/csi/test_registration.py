# ruff: noqa: ASYNC110, ASYNC240 - the loop of a test has nothing else to do
"""Registration with the kubelet, played by a client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage_csi import registration
from moorage_csi.metrics import Metrics
from moorage_csi.proto import registration_pb2 as proto
from moorage_csi.registration import Registration

from .client import Client


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "made" / "reg.sock"  # short: a socket's path has 107 characters at most


@pytest.fixture
async def service(socket: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registration]:
    monkeypatch.setattr(registration, "_LOOK_SECONDS", 0.05)
    found = Registration(Metrics(), "/var/lib/kubelet/plugins/csi.moorage.dev/csi.sock")
    task = asyncio.ensure_future(registration.keep(found, socket))
    await _there(socket)
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _there(socket: Path) -> None:
    async with asyncio.timeout(60):
        while not socket.exists():
            await asyncio.sleep(0.01)


def _kubelet(socket: Path) -> Client:
    return Client(str(socket), Registration.service)


async def _tell(socket: Path, registered: bool, error: str = "") -> None:
    status = proto.RegistrationStatus(plugin_registered=registered, error=error)
    await _kubelet(socket).call("NotifyRegistrationStatus", status, proto.RegistrationStatusResponse, 60)


async def test_the_kubelet_learns_the_driver_and_its_socket(service: Registration, socket: Path) -> None:
    info = await _kubelet(socket).call("GetInfo", proto.InfoRequest(), proto.PluginInfo, 60)
    assert (info.type, info.name, list(info.supported_versions)) == ("CSIPlugin", "csi.moorage.dev", ["1.0.0"])
    assert info.endpoint == "/var/lib/kubelet/plugins/csi.moorage.dev/csi.sock"


async def test_registered_only_when_the_kubelet_says_so(service: Registration, socket: Path) -> None:
    assert not service.registered
    await _tell(socket, True)
    assert service.registered


async def test_a_wiped_directory_is_made_again(service: Registration, socket: Path) -> None:
    await _tell(socket, True)
    socket.unlink()
    socket.parent.rmdir()
    await _there(socket)
    assert not service.registered
    info = await _kubelet(socket).call("GetInfo", proto.InfoRequest(), proto.PluginInfo, 60)
    assert info.name == "csi.moorage.dev"


async def test_a_refused_plugin_asks_again(service: Registration, socket: Path) -> None:
    made = socket.stat().st_ctime_ns
    await _tell(socket, False, "plugin has another version")
    async with asyncio.timeout(60):
        while not socket.exists() or socket.stat().st_ctime_ns == made:
            await asyncio.sleep(0.01)
