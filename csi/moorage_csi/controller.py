"""The controller service: it writes StorageVolumes and StorageSnapshots and waits for what the operator says.

What each call asks for is checked here; the work is that of `Creation`, `Volumes`, `Snapshots` and `Capacity`.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from moorage import mount as plans
from moorage.errors import InUse, InvalidInput, NoCapacity, OutOfRange
from moorage.view import VIEW_KEYS
from moorage_csi import api, capability, lookup, rpc, topology, volumes
from moorage_csi import snapshots as snaps
from moorage_csi.api import Api, Object
from moorage_csi.capacity import Capacity
from moorage_csi.creation import Creation
from moorage_csi.listing import Listing
from moorage_csi.metrics import Metrics
from moorage_csi.objects import Objects
from moorage_csi.origin import Origin
from moorage_csi.parameters import kind_of
from moorage_csi.places import Places
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import Range, Wanted, capacity_of, grown
from moorage_csi.snapshots import Snapshots
from moorage_csi.volumes import Volumes

_RPC = csi.ControllerServiceCapability.RPC
_CAPABILITIES = (
    _RPC.CREATE_DELETE_VOLUME, _RPC.EXPAND_VOLUME, _RPC.GET_CAPACITY, _RPC.LIST_VOLUMES, _RPC.GET_VOLUME,
    _RPC.SINGLE_NODE_MULTI_WRITER, _RPC.CREATE_DELETE_SNAPSHOT, _RPC.LIST_SNAPSHOTS, _RPC.GET_SNAPSHOT,
    _RPC.CLONE_VOLUME,
)  # fmt: skip
_HEALTH = (_RPC.GET_VOLUME_HEALTH, _RPC.LIST_VOLUME_HEALTH)


class Controller(rpc.Servicer):
    service = csi.DESCRIPTOR.services_by_name["Controller"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "CreateVolume": rpc.Operation(lock="name"),
        "DeleteVolume": rpc.Operation(lock="volume_id"),
        "ControllerExpandVolume": rpc.Operation(lock="volume_id"),
        "ControllerGetCapabilities": rpc.Operation(quiet=True),
        "ControllerGetVolume": rpc.Operation(quiet=True),
        "ListVolumes": rpc.Operation(quiet=True),
        "CreateSnapshot": rpc.Operation(lock="name"),
        "DeleteSnapshot": rpc.Operation(lock="snapshot_id"),
        "ListSnapshots": rpc.Operation(quiet=True),
        "GetSnapshot": rpc.Operation(quiet=True),
        "GetCapacity": rpc.Operation(quiet=True),
        "ControllerGetVolumeHealth": rpc.Operation(quiet=True),
        "ControllerListVolumeHealth": rpc.Operation(quiet=True),
    }

    def __init__(
        self, metrics: Metrics, client: Api, namespace: str, patience: float = 20.0, volume_health: bool = False
    ) -> None:
        """`namespace`: where volumes go whose request names none. `patience`: seconds to wait for the operator.

        `volume_health`: whether the health calls of CSI 1.13 are advertised (docs/adr/0011).
        """
        super().__init__(metrics)
        self._api = client
        self._namespace = namespace
        self._kinds = (*_CAPABILITIES, *_HEALTH) if volume_health else _CAPABILITIES
        self._objects = Objects(client, patience)
        self._volumes = Volumes(self._objects)
        self._listing = Listing(client)
        self._snapshots = Snapshots(client, self._objects, self._volumes, self._listing)
        places = Places(client)
        self._capacity = Capacity(client, places)
        self._creation = Creation(
            client, self._objects, self._volumes, self._snapshots, self._capacity, places
        )  # fmt: skip

    async def ControllerGetCapabilities(self) -> csi.ControllerGetCapabilitiesResponse:
        offered = [csi.ControllerServiceCapability(rpc=_RPC(type=kind)) for kind in self._kinds]
        return csi.ControllerGetCapabilitiesResponse(capabilities=offered)

    async def CreateVolume(
        self,
        name: str,
        volume_capabilities: Iterable[csi.VolumeCapability],
        capacity_range: csi.CapacityRange | None = None,
        parameters: Mapping[str, str] = {},
        volume_content_source: csi.VolumeContentSource | None = None,
        accessibility_requirements: csi.TopologyRequirement | None = None,
        mutable_parameters: Mapping[str, str] = {},
    ) -> csi.CreateVolumeResponse:
        capability.check_all(volume_capabilities)
        if mutable_parameters:
            raise InvalidInput("no parameter of a volume can be changed later: leave volumeAttributesClassName out")
        where, origin = topology.values(accessibility_requirements), Origin.parse(volume_content_source)
        wanted = Wanted.parse(name, parameters, _range(capacity_range), self._namespace, origin)
        _check_use(wanted.type, volume_capabilities)
        return csi.CreateVolumeResponse(volume=await self._creation.created(wanted, where))

    async def DeleteVolume(self, volume_id: str) -> csi.DeleteVolumeResponse:
        try:
            handle = lookup.handle(volume_id)
        except InvalidInput:  # never made by this driver, so it does not exist (CSI spec: answer OK)
            return csi.DeleteVolumeResponse()
        if handle.attachment:
            raise InUse(f"{volume_id} is of a StorageAttachment: delete that, the volume is not its own")
        await self._volumes.destroy(handle)
        return csi.DeleteVolumeResponse()

    async def ControllerExpandVolume(
        self,
        volume_id: str,
        capacity_range: csi.CapacityRange,
        volume_capability: csi.VolumeCapability | None = None,
    ) -> csi.ControllerExpandVolumeResponse:
        if volume_capability is not None:
            capability.check(volume_capability)
        asked = _range(capacity_range)
        if asked == Range():
            raise InvalidInput("capacity_range says nothing: give required_bytes or limit_bytes")
        if lookup.is_attachment(volume_id):
            raise InvalidInput(f"{volume_id} is of a StorageAttachment: raise spec.size of the StorageVolume instead")
        volume = await self._volumes.existing(volume_id)
        size = max(asked.size(), capacity_of(volume))
        if asked.limit and size > asked.limit:
            raise OutOfRange(f"{volume_id} has {size} bytes already, more than limit_bytes {asked.limit}")
        path = api.volume_path(volume["metadata"]["namespace"], volume["metadata"]["name"])
        if size > capacity_of(volume):
            volume = await self._api.patch(path, grown(volume, size))
        if volume["spec"]["type"] != "object":  # a bucket has room for any size
            await self._objects.wait(path, lambda seen: _grown(seen, size), f"volume {volume_id}", volume)
        return csi.ControllerExpandVolumeResponse(capacity_bytes=size, node_expansion_required=False)

    async def ValidateVolumeCapabilities(
        self,
        volume_id: str,
        volume_capabilities: Iterable[csi.VolumeCapability],
        volume_context: Mapping[str, str] = {},
        parameters: Mapping[str, str] = {},
    ) -> csi.ValidateVolumeCapabilitiesResponse:
        volume = await self._volumes.existing(volume_id)
        try:
            capability.check_all(volume_capabilities)
            _check_use(volume["spec"]["type"], volume_capabilities)
            own = {key: value for key, value in volume_context.items() if key not in VIEW_KEYS}
            if volume_context and own != api.part(volume, "status").get("attributes"):
                raise InvalidInput("the volume context is not that of the volume")
        except InvalidInput as error:
            return csi.ValidateVolumeCapabilitiesResponse(message=str(error))
        confirmed = csi.ValidateVolumeCapabilitiesResponse.Confirmed(
            volume_context=volume_context, volume_capabilities=volume_capabilities, parameters=parameters
        )
        return csi.ValidateVolumeCapabilitiesResponse(confirmed=confirmed)

    async def ControllerGetVolume(self, volume_id: str) -> csi.ControllerGetVolumeResponse:
        volume = await self._volumes.existing(volume_id)
        return csi.ControllerGetVolumeResponse(
            volume=volumes.described(volume, volume_id), status=csi.ControllerGetVolumeResponse.VolumeStatus()
        )

    async def ListVolumes(self, max_entries: int = 0, starting_token: str = "") -> csi.ListVolumesResponse:
        found, token = await self._listing.page(api.VOLUMES, max_entries, starting_token)
        known = [volumes.described(each, id) for each in found if (id := volumes.id_of(each))]
        entries = [csi.ListVolumesResponse.Entry(volume=each) for each in known]
        return csi.ListVolumesResponse(entries=entries, next_token=token)

    async def ControllerGetVolumeHealth(self, volume_id: str) -> csi.ControllerGetVolumeHealthResponse:
        volume = await self._volumes.existing(volume_id)
        return csi.ControllerGetVolumeHealthResponse(volume_health=volumes.health(volume, volume_id))

    async def ControllerListVolumeHealth(
        self, max_entries: int = 0, starting_token: str = ""
    ) -> csi.ControllerListVolumeHealthResponse:
        """Those volumes only of which something adverse is known, as the spec wishes."""
        found, token = await self._listing.page(api.VOLUMES, max_entries, starting_token)
        seen = (volumes.health(each, id) for each in found if (id := volumes.id_of(each)))
        sick = [health for health in seen if health.health_statuses]
        return csi.ControllerListVolumeHealthResponse(entries=sick, next_token=token)

    async def GetCapacity(
        self,
        volume_capabilities: Iterable[csi.VolumeCapability] = (),
        parameters: Mapping[str, str] = {},
        accessible_topology: csi.Topology | None = None,
    ) -> csi.GetCapacityResponse:
        capability.check_all(volume_capabilities)
        kind = kind_of(parameters, "shared")
        room = await self._capacity.room(kind, parameters.get("backend", ""), topology.value(accessible_topology))
        return room.message()

    async def CreateSnapshot(
        self, source_volume_id: str, name: str, parameters: Mapping[str, str] = {}
    ) -> csi.CreateSnapshotResponse:
        return csi.CreateSnapshotResponse(snapshot=await self._snapshots.taken(name, source_volume_id, parameters))

    async def DeleteSnapshot(self, snapshot_id: str) -> csi.DeleteSnapshotResponse:
        await self._snapshots.destroy(snapshot_id)
        return csi.DeleteSnapshotResponse()

    async def GetSnapshot(self, snapshot_id: str) -> csi.GetSnapshotResponse:
        return csi.GetSnapshotResponse(snapshot=snaps.described(await self._snapshots.existing(snapshot_id)))

    async def ListSnapshots(
        self, max_entries: int = 0, starting_token: str = "", source_volume_id: str = "", snapshot_id: str = ""
    ) -> csi.ListSnapshotsResponse:
        found, token = await self._snapshots.page(max_entries, starting_token, source_volume_id, snapshot_id)
        entries = [csi.ListSnapshotsResponse.Entry(snapshot=each) for each in found]
        return csi.ListSnapshotsResponse(entries=entries, next_token=token)


async def _grown(volume: Object, size: int) -> bool:
    share = api.part(volume, "status", "share")
    if share.get("reason") == NoCapacity.__name__:
        raise NoCapacity(f"no room to grow the volume: {share.get('message', '')}")
    return int(share.get("sizeBytes", 0)) >= size


def _range(given: csi.CapacityRange | None) -> Range:
    return Range(given.required_bytes, given.limit_bytes) if given is not None else Range()


def _check_use(kind: str, capabilities: Iterable[csi.VolumeCapability]) -> None:
    """Raises InvalidInput for a use that a volume of this type does not allow."""
    for given in capabilities:
        capability.check_reach(kind, given)
        plans.check_flags(kind, given.mount.mount_flags)
