"""The controller service: it writes StorageVolumes and waits for what the operator says about them. Nothing more."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from moorage import mount as plans
from moorage import names
from moorage.errors import InUse, InvalidInput, NoCapacity, OutOfRange, Pending
from moorage.view import VIEW_KEYS
from moorage_csi import api, capability, lookup, rpc, topology
from moorage_csi.api import Api, Object
from moorage_csi.listing import Listing
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import MAX_BYTES, Range, Wanted, capacity_of, grown
from moorage_csi.volumes import Volumes

_RPC = csi.ControllerServiceCapability.RPC
_CAPABILITIES = (
    _RPC.CREATE_DELETE_VOLUME, _RPC.EXPAND_VOLUME, _RPC.GET_CAPACITY, _RPC.LIST_VOLUMES, _RPC.GET_VOLUME,
    _RPC.SINGLE_NODE_MULTI_WRITER,
)  # fmt: skip
_HEALTH = (_RPC.GET_VOLUME_HEALTH, _RPC.LIST_VOLUME_HEALTH)
_ENGINES = {"shared": "ganesha", "object": "s3"}


class Controller(rpc.Servicer):
    service = csi.DESCRIPTOR.services_by_name["Controller"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "CreateVolume": rpc.Operation(lock="name"),
        "DeleteVolume": rpc.Operation(lock="volume_id"),
        "ControllerExpandVolume": rpc.Operation(lock="volume_id"),
        "ControllerGetCapabilities": rpc.Operation(quiet=True),
        "ControllerGetVolume": rpc.Operation(quiet=True),
        "ListVolumes": rpc.Operation(quiet=True),
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
        self._volumes = Volumes(client, patience)
        self._listing = Listing(client)

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
        if volume_content_source is not None:
            raise InvalidInput("volumes from a snapshot or a clone are not offered: leave dataSource out")
        if mutable_parameters:
            raise InvalidInput("no parameter of a volume can be changed later: leave volumeAttributesClassName out")
        topology.check(accessibility_requirements)  # every volume so far is reached from every node
        wanted = Wanted.parse(name, parameters, _range(capacity_range), self._namespace)
        _check_flags(wanted.type, volume_capabilities)
        path = api.volume_path(wanted.namespace, wanted.name)
        volume = await self._applied(path, wanted)
        volume = await self._volumes.wait(path, self._created, f"{wanted.namespace}/{wanted.name}", volume)
        handle = names.VolumeHandle(wanted.namespace, wanted.name, str(volume["status"]["id"]))
        return csi.CreateVolumeResponse(volume=_described(volume, str(handle)))

    async def _applied(self, path: str, wanted: Wanted) -> Object:
        """The StorageVolume of the request, made unless it is there; raises AlreadyExists when it is another's."""
        volume = await self._volumes.find(path)
        if volume is None:
            return await self._api.apply(path, wanted.manifest())
        if "deletionTimestamp" in volume["metadata"]:
            raise Pending(f"StorageVolume {wanted.namespace}/{wanted.name} of an earlier claim is still being deleted")
        wanted.check_same(volume)
        return volume

    async def _created(self, volume: Object) -> bool:
        """Whether the volume may be handed out. Without room the attempt is taken back: the claim may be given up."""
        ready = lookup.condition(volume, "Ready")
        if lookup.is_ready(volume) and volume["status"].get("attributes") and volume["status"].get("id"):
            return True
        if NoCapacity.__name__ in (ready.get("reason"), api.part(volume, "status", "share").get("reason")):
            metadata = volume["metadata"]
            await self._volumes.delete(api.volume_path(metadata["namespace"], metadata["name"]), metadata["uid"])
            raise NoCapacity(f"no room for the volume: {lookup.explanation(volume)}")
        return False

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
        if volume["spec"]["type"] == "shared":  # a bucket has room for any size
            await self._volumes.wait(path, lambda seen: _grown(seen, size), volume_id, volume)
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
            _check_flags(volume["spec"]["type"], volume_capabilities)
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
            volume=_described(volume, volume_id), status=csi.ControllerGetVolumeResponse.VolumeStatus()
        )

    async def ListVolumes(self, max_entries: int = 0, starting_token: str = "") -> csi.ListVolumesResponse:
        volumes, token = await self._listing.page(max_entries, starting_token)
        answer = csi.ListVolumesResponse(next_token=token)
        for volume_id, volume in volumes:
            answer.entries.add(volume=_described(volume, volume_id))
        return answer

    async def ControllerGetVolumeHealth(self, volume_id: str) -> csi.ControllerGetVolumeHealthResponse:
        volume = await self._volumes.existing(volume_id)
        return csi.ControllerGetVolumeHealthResponse(volume_health=_health(volume_id, volume))

    async def ControllerListVolumeHealth(
        self, max_entries: int = 0, starting_token: str = ""
    ) -> csi.ControllerListVolumeHealthResponse:
        """Those volumes only of which something adverse is known, as the spec wishes."""
        volumes, token = await self._listing.page(max_entries, starting_token)
        found = (_health(volume_id, volume) for volume_id, volume in volumes)
        sick = [health for health in found if health.health_statuses]
        return csi.ControllerListVolumeHealthResponse(entries=sick, next_token=token)

    async def GetCapacity(
        self,
        volume_capabilities: Iterable[csi.VolumeCapability] = (),
        parameters: Mapping[str, str] = {},
    ) -> csi.GetCapacityResponse:
        capability.check_all(volume_capabilities)
        kind = parameters.get("type") or "shared"
        if kind not in _ENGINES:
            raise InvalidInput(f"StorageClass parameter type is {kind!r}; write one of {', '.join(_ENGINES)}")
        if kind == "object":  # a bucket has no size
            return csi.GetCapacityResponse(available_capacity=MAX_BYTES)
        listed: list[dict[str, Any]] = (await self._api.get(api.BACKENDS))["items"]
        chosen = parameters.get("backend", "")
        backends = [backend for backend in listed if _serves(backend, kind, chosen)]
        free = (s.get("freeBytes", 0) for b in backends for s in api.part(b, "status").get("servers", ()))
        return csi.GetCapacityResponse(available_capacity=sum(free))


async def _grown(volume: Object, size: int) -> bool:
    share = api.part(volume, "status", "share")
    if share.get("reason") == NoCapacity.__name__:
        raise NoCapacity(f"no room to grow the volume: {share.get('message', '')}")
    return int(share.get("sizeBytes", 0)) >= size


def _range(given: csi.CapacityRange | None) -> Range:
    return Range(given.required_bytes, given.limit_bytes) if given is not None else Range()


def _described(volume: Object, volume_id: str) -> csi.Volume:
    attributes = api.part(volume, "status", "attributes")
    return csi.Volume(volume_id=volume_id, capacity_bytes=capacity_of(volume), volume_context=attributes)


def _health(volume_id: str, volume: Object) -> csi.VolumeHealth:
    """What the operator knows: whether the volume's backend is well, and whether the volume can be used."""
    healthy = lookup.condition(volume, "Healthy")
    found = csi.VolumeHealth(volume_id=volume_id)
    if healthy.get("status") == "False":
        usable = lookup.condition(volume, "Ready").get("status") == "True"
        status = csi.DEGRADED if usable else csi.INACCESSIBLE
        found.health_statuses.add(status=status, reason=healthy["reason"], message=healthy.get("message", ""))
    return found


def _check_flags(kind: str, capabilities: Iterable[csi.VolumeCapability]) -> None:
    for given in capabilities:
        plans.check_flags(kind, given.mount.mount_flags)


def _serves(backend: Object, kind: str, chosen: str) -> bool:
    spec = backend["spec"]
    wanted = backend["metadata"]["name"] == chosen if chosen else bool(spec.get("default"))
    return wanted and _ENGINES[kind] in spec["engine"]
