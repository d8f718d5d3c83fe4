"""The node plugin's side of the mounter's protocol."""

from collections.abc import Mapping

from moorage_csi import rpc
from moorage_csi.proto import mounter_pb2 as proto

_MOUNT_SECONDS = 90.0
_UNMOUNT_SECONDS = 90.0


class MounterClient:
    """A `stage.Mounter` on the mounter's socket."""

    def __init__(self, endpoint: str) -> None:
        hint = "the mounter of this node does not answer; its pod (DaemonSet moorage-mounter) must be running here"
        self._client = rpc.Client(endpoint, proto.DESCRIPTOR.services_by_name["Mounter"], hint)

    async def mount(
        self, volume_id: str, target: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        request = proto.MountRequest(
            volume_id=volume_id, target=target, kind="s3fs", parameters=dict(parameters), secrets=dict(secrets)
        )
        await self._client.call("Mount", request, proto.MountResponse, _MOUNT_SECONDS)

    async def unmount(self, target: str) -> None:
        await self._client.call("Unmount", proto.UnmountRequest(target=target), proto.UnmountResponse, _UNMOUNT_SECONDS)
