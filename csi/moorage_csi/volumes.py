"""The StorageVolumes behind volume ids: find one, destroy one, tell of one."""

from moorage import names
from moorage.errors import InvalidInput, NotFound
from moorage_csi import api, lookup
from moorage_csi.api import Object
from moorage_csi.objects import Objects
from moorage_csi.origin import Origin
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import capacity_of


class Volumes:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def existing(self, volume_id: str) -> Object:
        """The StorageVolume of a volume id; raises NotFound, also when its name is another's now."""
        try:
            handle = lookup.handle(volume_id)
        except InvalidInput as error:
            raise NotFound(str(error)) from None
        volume = await self._objects.find(api.volume_path(handle.namespace, handle.name))
        if volume is None or not _is(volume, handle):
            raise NotFound(f"volume {volume_id} does not exist")
        return volume

    async def destroy(self, handle: names.VolumeHandle) -> None:
        """Delete the incarnation that the handle means and wait until it has gone; raises InUse naming who holds it."""
        path = api.volume_path(handle.namespace, handle.name)
        what = f"StorageVolume {handle.namespace}/{handle.name}"
        await self._objects.destroy(path, lambda volume: _is(volume, handle), what)


def id_of(volume: Object) -> str:
    """The volume id; empty while the operator has not seen the volume."""
    metadata, id = volume["metadata"], api.part(volume, "status").get("id")
    return str(names.VolumeHandle(metadata["namespace"], metadata["name"], id)) if id else ""


def described(volume: Object, volume_id: str) -> csi.Volume:
    """The volume as the CSI spec tells of one: where it can be used, too, when not on every node."""
    status = api.part(volume, "status")
    found = csi.Volume(
        volume_id=volume_id,
        capacity_bytes=capacity_of(volume),
        volume_context=api.part(status, "attributes"),
        content_source=Origin.kept(volume).message(),
    )
    if status.get("topology"):
        found.accessible_topology.add(segments=status["topology"])
    return found


def health(volume: Object, volume_id: str) -> csi.VolumeHealth:
    """What the operator knows: whether the volume's backend is well, and whether the volume can be used."""
    healthy = lookup.condition(volume, "Healthy")
    found = csi.VolumeHealth(volume_id=volume_id)
    if healthy.get("status") == "False":
        usable = lookup.condition(volume, "Ready").get("status") == "True"
        status = csi.DEGRADED if usable else csi.INACCESSIBLE
        found.health_statuses.add(status=status, reason=healthy["reason"], message=healthy.get("message", ""))
    return found


def _is(volume: Object, handle: names.VolumeHandle) -> bool:
    """Whether this is the incarnation that the handle means."""
    return bool(api.part(volume, "status").get("id") == handle.id)
