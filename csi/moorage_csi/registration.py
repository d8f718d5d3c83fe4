"""Registration with the kubelet, without a registrar sidecar (k8s.io/kubelet pluginregistration v1).

The kubelet watches plugins_registry/ for sockets and calls GetInfo on each. When that directory is wiped the socket is
made again; when the kubelet refuses, likewise after a pause, so that it is asked anew.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import grpc.aio

from moorage import names
from moorage_csi import rpc
from moorage_csi.metrics import Metrics
from moorage_csi.proto import registration_pb2 as proto

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0


class Registration(rpc.Servicer):
    service = proto.DESCRIPTOR.services_by_name["Registration"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {"GetInfo": rpc.Operation(quiet=True)}

    def __init__(self, metrics: Metrics, endpoint: str) -> None:
        """`endpoint`: the CSI socket's path as the kubelet sees it."""
        super().__init__(metrics)
        self._endpoint = endpoint
        self.registered = False
        self.refused = asyncio.Event()

    async def GetInfo(self) -> proto.PluginInfo:
        return proto.PluginInfo(
            type="CSIPlugin", name=names.DRIVER, endpoint=self._endpoint, supported_versions=["1.0.0"]
        )

    async def NotifyRegistrationStatus(
        self, plugin_registered: bool = False, error: str = ""
    ) -> proto.RegistrationStatusResponse:
        self.registered = plugin_registered
        if not plugin_registered:
            log.error("the kubelet refused the registration: %s", error)
            self.refused.set()
        return proto.RegistrationStatusResponse()


async def keep(service: Registration, socket: Path) -> None:
    """Serve the registration socket for ever, and make it again when it is gone."""
    while True:
        server = await rpc.listen(str(socket), service)
        made = _identity(socket)
        try:
            await _until_lost(service, socket, made)
        finally:
            await _close(server)
        log.warning("registering with the kubelet again")


async def _until_lost(service: Registration, socket: Path, made: tuple[int, int] | None) -> None:
    while _identity(socket) == made:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await service.refused.wait()
                break
    service.registered = False
    service.refused.clear()


async def _close(server: grpc.aio.Server) -> None:
    await server.stop(grace=0.5)


def _identity(socket: Path) -> tuple[int, int] | None:
    try:
        status = socket.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns
