"""The identity service: who this driver is and what it has."""

from collections.abc import Mapping
from typing import ClassVar

from google.protobuf.wrappers_pb2 import BoolValue

from moorage import names
from moorage_csi import rpc
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi

_SERVICE = csi.PluginCapability.Service
_EXPANSION = csi.PluginCapability.VolumeExpansion


class Identity(rpc.Servicer):
    service = csi.DESCRIPTOR.services_by_name["Identity"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        name: rpc.Operation(quiet=True) for name in ("GetPluginInfo", "GetPluginCapabilities", "Probe")
    }

    def __init__(self, metrics: Metrics, version: str) -> None:
        super().__init__(metrics)
        self._version = version

    async def GetPluginInfo(self) -> csi.GetPluginInfoResponse:
        return csi.GetPluginInfoResponse(name=names.DRIVER, vendor_version=self._version)

    async def GetPluginCapabilities(self) -> csi.GetPluginCapabilitiesResponse:
        kinds = (_SERVICE.CONTROLLER_SERVICE, _SERVICE.VOLUME_ACCESSIBILITY_CONSTRAINTS)
        services = [csi.PluginCapability(service=_SERVICE(type=kind)) for kind in kinds]
        expansion = csi.PluginCapability(volume_expansion=_EXPANSION(type=_EXPANSION.ONLINE))
        return csi.GetPluginCapabilitiesResponse(capabilities=[*services, expansion])

    async def Probe(self) -> csi.ProbeResponse:
        """Never touches a mount or the API server: a probe must not hang because storage does."""
        return csi.ProbeResponse(ready=BoolValue(value=True))
