"""How a claim gets its volume: a StorageVolume is applied, and what the operator says about it is waited for."""

from moorage import names
from moorage.errors import AlreadyExists, InvalidInput, MoorageError, NoCapacity, NotFound, NotReady, Pending
from moorage_csi import api, lookup, snapshots, volumes
from moorage_csi.api import Api, Object
from moorage_csi.capacity import Capacity
from moorage_csi.objects import Objects
from moorage_csi.places import Places
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import Wanted, capacity_of
from moorage_csi.snapshots import Snapshots
from moorage_csi.volumes import Volumes


class Creation:
    def __init__(
        self, client: Api, objects: Objects, volumes: Volumes, snapshots: Snapshots, capacity: Capacity, places: Places
    ) -> None:
        self._api = client
        self._objects = objects
        self._volumes = volumes
        self._snapshots = snapshots
        self._capacity = capacity
        self._places = places

    async def created(self, wanted: Wanted, where: tuple[str, ...]) -> csi.Volume:
        """The volume, made unless it is there already, when it can be used.

        `where`: places, the best first, in one of which it shall be usable; none: anywhere. Raises NoCapacity when it
        cannot be had there.
        """
        path = api.volume_path(wanted.namespace, wanted.name)
        volume = await self._objects.find(path)
        made = volume is None
        if volume is None:
            source, node = await self._source(wanted), await self._node(wanted, where)
            volume = await self._api.apply(path, wanted.manifest(source, node))
        else:
            _check(volume, wanted)

        async def done(seen: Object) -> bool:
            return await self._usable(seen, where, made)

        volume = await self._objects.wait(path, done, f"volume {wanted.namespace}/{wanted.name}", volume)
        return volumes.described(volume, volumes.id_of(volume))

    async def _source(self, wanted: Wanted) -> int:
        """Bytes of what the volume begins with; raises NotFound when that is not there, NotReady when not yet."""
        id = wanted.origin.id
        if not id:
            return 0
        if wanted.origin.kind == "snapshot":
            found = await self._snapshots.existing(id)
            size = snapshots.size_of(found)
        else:
            found = await self._volumes.existing(id)
            if found["spec"]["type"] != "shared":
                raise InvalidInput(f"{id} is of type {found['spec']['type']}: only shared volumes can be cloned")
            size = capacity_of(found)
        if "deletionTimestamp" in found["metadata"]:
            raise NotFound(f"{wanted.origin.kind} {id} is being deleted")
        if not lookup.is_ready(found):
            raise NotReady(f"{wanted.origin.kind} {id} is not ready yet: {lookup.explanation(found)}")
        home = api.part(found, "status", "placement").get("backend", "")
        if wanted.backend and home and home != wanted.backend:
            raise InvalidInput(f"{id} lives on StorageBackend {home}, so what begins with it cannot be on another one")
        return size

    async def _node(self, wanted: Wanted, where: tuple[str, ...]) -> str:
        """The node of a local volume; empty when the operator may choose."""
        if wanted.type != "local" or not where:
            return ""
        node = await self._places.node(where[0])
        if not node:
            raise NoCapacity(
                f"no node has the label {names.TOPOLOGY_NODE}={where[0]}: is the node plugin running there?"
            )
        await self._capacity.check_node(wanted.backend, node)
        return node

    async def _usable(self, volume: Object, where: tuple[str, ...], made: bool) -> bool:
        """Whether the volume may be handed out. One that will not come is taken back: the claim may be given up."""
        ready = lookup.is_ready(volume)
        if not await self._is_in(volume, where):
            labels = ", ".join(f"{k}={v}" for k, v in sorted(volume["status"]["topology"].items()))
            if ready and not made:  # somebody may have it
                raise AlreadyExists(f"the volume exists, for nodes with {labels}, not where it is asked for")
            await self._take_back(
                volume, NoCapacity(f"only nodes with {labels} can use the volume: choose one of them")
            )
        if ready and volume["status"].get("attributes") and volume["status"].get("id"):
            return True
        if NoCapacity.__name__ in lookup.failures(volume):
            await self._take_back(volume, NoCapacity(f"no room for the volume: {_why(volume)}"))
        if lookup.CLONES_NOT_OFFERED in lookup.failures(volume):
            await self._take_back(volume, InvalidInput(f"no such volume can be made: {_why(volume)}"))
        return False

    async def _is_in(self, volume: Object, where: tuple[str, ...]) -> bool:
        topology = api.part(volume, "status", "topology")
        if not topology or not where:
            return True
        if names.TOPOLOGY_NODE in topology:
            return topology[names.TOPOLOGY_NODE] in where
        return not (await self._places.group(topology)).isdisjoint(where)

    async def _take_back(self, volume: Object, why: MoorageError) -> None:
        metadata = volume["metadata"]
        await self._objects.delete(api.volume_path(metadata["namespace"], metadata["name"]), metadata["uid"])
        raise why


def _check(volume: Object, wanted: Wanted) -> None:
    if "deletionTimestamp" in volume["metadata"]:
        raise Pending(f"StorageVolume {wanted.namespace}/{wanted.name} of an earlier claim is still being deleted")
    wanted.check_same(volume)


def _why(volume: Object) -> str:
    return str(api.part(volume, "status", "share").get("message") or lookup.explanation(volume))
