"""The controller service: it writes StorageVolumes and waits for what the operator says about them. Nothing more."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

from moorage import names
from moorage.errors import InUse, InvalidInput, NoCapacity, NotFound, OutOfRange, Pending
from moorage_csi import api, capability, lookup, rpc
from moorage_csi.api import Api, Object
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import MAX_BYTES, Range, Wanted, capacity_of, grown

_RPC = csi.ControllerServiceCapability.RPC
_CAPABILITIES = (_RPC.CREATE_DELETE_VOLUME, _RPC.EXPAND_VOLUME, _RPC.GET_CAPACITY, _RPC.SINGLE_NODE_MULTI_WRITER)
_ENGINES = {"shared": "ganesha", "object": "s3"}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between two looks at a StorageVolume


class Controller(rpc.Servicer):
    service = csi.DESCRIPTOR.services_by_name["Controller"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "CreateVolume": rpc.Operation(lock="name"),
        "DeleteVolume": rpc.Operation(lock="volume_id"),
        "ControllerExpandVolume": rpc.Operation(lock="volume_id"),
        "ControllerGetCapabilities": rpc.Operation(quiet=True),
    }

    def __init__(self, metrics: Metrics, client: Api, namespace: str, patience: float = 20.0) -> None:
        """`namespace`: where volumes go whose request names none. `patience`: seconds to wait for the operator."""
        super().__init__(metrics)
        self._api = client
        self._namespace = namespace
        self._patience = patience

    async def ControllerGetCapabilities(self) -> csi.ControllerGetCapabilitiesResponse:
        offered = [csi.ControllerServiceCapability(rpc=_RPC(type=kind)) for kind in _CAPABILITIES]
        return csi.ControllerGetCapabilitiesResponse(capabilities=offered)

    async def CreateVolume(
        self,
        name: str,
        volume_capabilities: Iterable[csi.VolumeCapability],
        capacity_range: csi.CapacityRange | None = None,
        parameters: Mapping[str, str] = {},
        volume_content_source: csi.VolumeContentSource | None = None,
    ) -> csi.CreateVolumeResponse:
        capability.check_all(volume_capabilities)
        if volume_content_source is not None:
            raise InvalidInput("volumes from a snapshot or a clone are not offered: leave dataSource out")
        wanted = Wanted.parse(name, parameters, _range(capacity_range), self._namespace)
        path = api.volume_path(wanted.namespace, wanted.name)
        volume = await self._applied(path, wanted)
        volume = await self._wait(path, self._created, f"{wanted.namespace}/{wanted.name}", volume)
        handle = names.VolumeHandle(wanted.namespace, wanted.name, str(volume["status"]["id"]))
        return csi.CreateVolumeResponse(
            volume=csi.Volume(
                volume_id=str(handle),
                capacity_bytes=capacity_of(volume),
                volume_context=volume["status"]["attributes"],
            )
        )

    async def _applied(self, path: str, wanted: Wanted) -> Object:
        """The StorageVolume of the request, made unless it is there; raises AlreadyExists when it is another's."""
        volume = await self._find(path)
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
            await self._delete(api.volume_path(metadata["namespace"], metadata["name"]), metadata["uid"])
            raise NoCapacity(f"no room for the volume: {lookup.explanation(volume)}")
        return False

    async def DeleteVolume(self, volume_id: str) -> csi.DeleteVolumeResponse:
        try:
            handle = names.VolumeHandle.parse(volume_id)
        except InvalidInput:  # never made by this driver, so it does not exist (CSI spec: answer OK)
            return csi.DeleteVolumeResponse()
        path = api.volume_path(handle.namespace, handle.name)
        deadline = time.monotonic() + self._patience
        volume = await self._find(path)
        pause = _FIRST_PAUSE
        if volume is not None and _same(volume, handle):
            await self._delete(path, volume["metadata"]["uid"])
        while (volume := await self._find(path)) is not None and _same(volume, handle):
            blocked = lookup.condition(volume, "DeletionBlocked")
            if blocked.get("status") == "True":
                raise InUse(blocked.get("message") or f"{volume_id} is still in use")
            if time.monotonic() > deadline:
                raise Pending(f"StorageVolume {handle.namespace}/{handle.name} is still being deleted")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
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
        volume = await self._existing(volume_id)
        size = max(asked.size(), capacity_of(volume))
        if asked.limit and size > asked.limit:
            raise OutOfRange(f"{volume_id} has {size} bytes already, more than limit_bytes {asked.limit}")
        path = api.volume_path(volume["metadata"]["namespace"], volume["metadata"]["name"])
        if size > capacity_of(volume):
            volume = await self._api.patch(path, grown(volume, size))
        if volume["spec"]["type"] == "shared":  # a bucket has room for any size
            await self._wait(path, lambda seen: _grown(seen, size), volume_id, volume)
        return csi.ControllerExpandVolumeResponse(capacity_bytes=size, node_expansion_required=False)

    async def ValidateVolumeCapabilities(
        self,
        volume_id: str,
        volume_capabilities: Iterable[csi.VolumeCapability],
        volume_context: Mapping[str, str] = {},
        parameters: Mapping[str, str] = {},
    ) -> csi.ValidateVolumeCapabilitiesResponse:
        volume = await self._existing(volume_id)
        try:
            capability.check_all(volume_capabilities)
            if volume_context and dict(volume_context) != api.part(volume, "status").get("attributes"):
                raise InvalidInput("the volume context is not that of the volume")
        except InvalidInput as error:
            return csi.ValidateVolumeCapabilitiesResponse(message=str(error))
        confirmed = csi.ValidateVolumeCapabilitiesResponse.Confirmed(
            volume_context=volume_context, volume_capabilities=volume_capabilities, parameters=parameters
        )
        return csi.ValidateVolumeCapabilitiesResponse(confirmed=confirmed)

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

    async def _find(self, path: str) -> Object | None:
        try:
            return await self._api.get(path)
        except NotFound:
            return None

    async def _delete(self, path: str, uid: str) -> None:
        try:
            await self._api.delete(path, uid)
        except NotFound:
            return

    async def _existing(self, volume_id: str) -> Object:
        try:
            handle = names.VolumeHandle.parse(volume_id)
        except InvalidInput as error:
            raise NotFound(str(error)) from None
        volume = await self._find(api.volume_path(handle.namespace, handle.name))
        if volume is None or not _same(volume, handle):
            raise NotFound(f"volume {volume_id} does not exist")
        return volume

    async def _wait(self, path: str, done: Callable[[Object], Awaitable[bool]], what: str, volume: Object) -> Object:
        """Look until `done`; raises Pending, so that the caller asks again, when the operator takes too long."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while not await done(volume):
            if time.monotonic() > deadline:
                raise Pending(f"volume {what} is not ready yet: {lookup.explanation(volume)}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            volume = await self._api.get(path)
        return volume


async def _grown(volume: Object, size: int) -> bool:
    share = api.part(volume, "status", "share")
    if share.get("reason") == NoCapacity.__name__:
        raise NoCapacity(f"no room to grow the volume: {share.get('message', '')}")
    return int(share.get("sizeBytes", 0)) >= size


def _range(given: csi.CapacityRange | None) -> Range:
    return Range(given.required_bytes, given.limit_bytes) if given is not None else Range()


def _same(volume: Object, handle: names.VolumeHandle) -> bool:
    """Whether this is the incarnation that the handle means."""
    return bool(api.part(volume, "status").get("id") == handle.id)


def _serves(backend: Object, kind: str, chosen: str) -> bool:
    spec = backend["spec"]
    wanted = backend["metadata"]["name"] == chosen if chosen else bool(spec.get("default"))
    return wanted and _ENGINES[kind] in spec["engine"]
