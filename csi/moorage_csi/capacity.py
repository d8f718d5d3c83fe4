"""How much room there is for new volumes, where, and how big one of them may be (CSI GetCapacity)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from google.protobuf.wrappers_pb2 import Int64Value

from moorage import names
from moorage.errors import NoCapacity
from moorage_csi import api
from moorage_csi.api import Api, Object
from moorage_csi.places import Places
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import MAX_BYTES, SMALLEST

_ENGINES: Mapping[str, tuple[str, ...]] = {"shared": ("ganesha", "nfs"), "object": ("s3",), "local": ("local",)}


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: in all, and for the biggest single volume."""

    total: int = 0
    largest: int = 0

    @classmethod
    def of(cls, free: Iterable[int]) -> Self:
        """Of servers with so much room each. A volume lies on one of them."""
        rooms = tuple(free)
        return cls(min(sum(rooms), MAX_BYTES), min(max(rooms, default=0), MAX_BYTES))

    def message(self) -> csi.GetCapacityResponse:
        return csi.GetCapacityResponse(
            available_capacity=self.total,
            maximum_volume_size=Int64Value(value=self.largest),
            minimum_volume_size=Int64Value(value=SMALLEST),
        )


class Capacity:
    def __init__(self, client: Api, places: Places) -> None:
        self._api = client
        self._places = places

    async def room(self, kind: str, named: str, place: str) -> Room:
        """The room for volumes of this type on the backend named, or else the default one.

        `place`: count only what can be used there; empty: anywhere.
        """
        if kind == "object":  # a bucket has no size
            return Room(MAX_BYTES, MAX_BYTES)
        backend = await self._backend(kind, named)
        if backend is None or not await self._reaches(backend, place):
            return Room()
        servers = [each for each in _servers(backend) if kind != "local" or place in ("", _place(each))]
        room = Room.of(int(each.get("freeBytes", 0)) for each in servers)
        return Room(room.total, MAX_BYTES) if servers and _takes_any_size(backend) else room

    async def check_node(self, named: str, node: str) -> None:
        """Raises NoCapacity when the backend for local volumes has no disk on this node, so that another is taken."""
        backend = await self._backend("local", named)
        if backend is not None and node not in [each["name"] for each in _servers(backend)]:
            raise NoCapacity(
                f"StorageBackend {backend['metadata']['name']} has no disk on node {node}: is its agent running there?"
            )

    async def _backend(self, kind: str, named: str) -> Object | None:
        """The one that the operator would choose: the one named, or the oldest default one."""
        listed: list[Object] = (await self._api.get(api.BACKENDS))["items"]
        fitting = [
            each
            for each in listed
            if any(engine in each["spec"]["engine"] for engine in _ENGINES[kind])
            and (each["metadata"]["name"] == named if named else each["spec"].get("default"))
            and "deletionTimestamp" not in each["metadata"]
        ]
        return min(
            fitting,
            key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"]),
            default=None,
        )

    async def _reaches(self, backend: Object, place: str) -> bool:
        group: dict[str, str] | None = backend["spec"].get("nodeSelector")
        return not place or not group or place in await self._places.group(group)


def _servers(backend: Object) -> list[Object]:
    found: list[Object] = api.part(backend, "status").get("servers", [])
    return found


def _place(server: Object) -> str:
    return names.topology_value(str(server["name"]))


def _takes_any_size(backend: Object) -> bool:
    """Whether nothing is reserved there: overcommitted, or a filer that enforces no size."""
    engine = backend["spec"]["engine"]
    return "nfs" in engine or any(bool(settings.get("overcommit")) for settings in engine.values() if settings)
