"""The StorageSnapshots behind snapshot ids: take one, find one, list them, destroy one.

A StorageSnapshot lies in the namespace of its volume. The operator and the share agent do the work.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from moorage import names
from moorage.errors import AlreadyExists, InvalidInput, MoorageError, NoCapacity, NotFound, Pending
from moorage_csi import api, lookup, origin, request
from moorage_csi.api import Api, Object
from moorage_csi.listing import Listing
from moorage_csi.objects import Objects
from moorage_csi.parameters import FOREIGN
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.volumes import Volumes

_REFUSALS: Mapping[str, type[MoorageError]] = {NoCapacity.__name__: NoCapacity, lookup.CLONES_NOT_OFFERED: InvalidInput}


class Snapshots:
    def __init__(self, client: Api, objects: Objects, volumes: Volumes, listing: Listing) -> None:
        self._api = client
        self._objects = objects
        self._volumes = volumes
        self._listing = listing

    async def taken(self, name: str, volume_id: str, parameters: Mapping[str, str]) -> csi.Snapshot:
        """The snapshot of this name, taken now unless it was before; raises AlreadyExists for one of another volume."""
        request.check_name(name)
        unknown = sorted(key for key in parameters if not key.startswith(FOREIGN))
        if unknown:
            raise InvalidInput(f"VolumeSnapshotClass parameters {', '.join(unknown)} are not known: leave them out")
        if lookup.is_attachment(volume_id):
            raise InvalidInput(f"{volume_id} is of a StorageAttachment: only the volume's own claim can be kept so")
        volume = await self._volumes.existing(volume_id)
        if volume["spec"]["type"] != "shared":
            raise InvalidInput(f"{volume_id} is of type {volume['spec']['type']}: only shared volumes have snapshots")
        path = api.snapshot_path(volume["metadata"]["namespace"], names.volume_name_for(name))
        found = await self._applied(path, _manifest(name, volume, volume_id))
        found = await self._objects.wait(path, self._cut, f"snapshot {_where(found)}", found)
        return described(found)

    async def _applied(self, path: str, wanted: Object) -> Object:
        """The StorageSnapshot of the request, made unless it is there; raises AlreadyExists when it is another's."""
        found = await self._objects.find(path)
        if found is None:
            return await self._api.apply(path, wanted)
        if "deletionTimestamp" in found["metadata"]:
            raise Pending(f"StorageSnapshot {_where(found)} of an earlier request is still being deleted")
        kept, asked = api.part(found, "metadata", "annotations"), wanted["metadata"]["annotations"]
        if kept.get(request.ANNOTATION_REQUEST) != asked[request.ANNOTATION_REQUEST]:
            raise AlreadyExists(f"StorageSnapshot {_where(found)} exists and was not made by this request: rename one")
        if kept.get(origin.ANNOTATION) != asked[origin.ANNOTATION]:
            raise AlreadyExists(f"StorageSnapshot {_where(found)} exists, of volume {kept.get(origin.ANNOTATION)}")
        return found

    async def _cut(self, found: Object) -> bool:
        """Whether it is taken. An attempt that failed for good is taken back: nobody else would ever delete it."""
        image = api.part(found, "status", "image")
        if image.get("state") == "Ready" and image.get("taken") and id_of(found):
            return True
        failed = next((error for reason, error in _REFUSALS.items() if reason in lookup.failures(found)), None)
        if failed:
            metadata = found["metadata"]
            await self._objects.delete(api.snapshot_path(metadata["namespace"], metadata["name"]), metadata["uid"])
            raise failed(f"no snapshot of the volume: {image.get('message') or lookup.explanation(found)}")
        return False

    async def existing(self, snapshot_id: str) -> Object:
        """The StorageSnapshot of a snapshot id; raises NotFound, also when its name is another's now."""
        try:
            handle = lookup.snapshot(snapshot_id)
        except InvalidInput as error:
            raise NotFound(str(error)) from None
        found = await self._objects.find(api.snapshot_path(handle.namespace, handle.name))
        if found is None or id_of(found) != snapshot_id:
            raise NotFound(f"snapshot {snapshot_id} does not exist")
        return found

    async def destroy(self, snapshot_id: str) -> None:
        """Delete it and wait until it has gone; raises InUse naming who needs it."""
        try:
            handle = lookup.snapshot(snapshot_id)
        except InvalidInput:  # never made by this driver, so it does not exist (CSI spec: answer OK)
            return
        path = api.snapshot_path(handle.namespace, handle.name)
        await self._objects.destroy(
            path, lambda found: id_of(found) == snapshot_id, f"StorageSnapshot {_where(handle)}"
        )

    async def page(self, most: int, token: str, volume_id: str, snapshot_id: str) -> tuple[list[csi.Snapshot], str]:
        """Snapshots that were taken, all or those of a volume or the one of an id; and the next token."""
        if most < 0:
            raise InvalidInput(f"max_entries {most} is negative")
        if snapshot_id:
            return await self._one(snapshot_id, volume_id), ""
        path, fields = api.SNAPSHOTS, ""
        if volume_id:
            try:
                source = lookup.handle(volume_id)
            except InvalidInput:  # never made by this driver, so it has no snapshot
                return [], ""
            path, fields = api.snapshots_path(source.namespace), f"spec.volume={source.name}"
        found, after = await self._listing.page(path, most, token, fields)
        told = (described(each) for each in found if id_of(each) and api.part(each, "status", "image").get("taken"))
        return [each for each in told if volume_id in ("", each.source_volume_id)], after

    async def _one(self, snapshot_id: str, volume_id: str) -> list[csi.Snapshot]:
        try:
            found = described(await self.existing(snapshot_id))
        except NotFound:
            return []
        return [found] if volume_id in ("", found.source_volume_id) else []


def id_of(snapshot: Object) -> str:
    """The snapshot id; empty while the operator has not seen the snapshot."""
    metadata, id = snapshot["metadata"], api.part(snapshot, "status").get("id")
    return str(names.SnapshotHandle(metadata["namespace"], metadata["name"], id)) if id else ""


def size_of(snapshot: Object) -> int:
    """Bytes that a volume made from it has at least."""
    return int(api.part(snapshot, "status", "image").get("sizeBytes", 0))


def described(snapshot: Object) -> csi.Snapshot:
    """The snapshot as the CSI spec tells of one."""
    status, image = api.part(snapshot, "status"), api.part(snapshot, "status", "image")
    volume = names.VolumeHandle(
        snapshot["metadata"]["namespace"], snapshot["spec"]["volume"], str(status.get("volumeId", ""))
    )
    return csi.Snapshot(
        snapshot_id=id_of(snapshot),
        source_volume_id=str(volume),
        size_bytes=size_of(snapshot),
        creation_time=_moment(str(image.get("taken", ""))),
        ready_to_use=lookup.is_ready(snapshot),
    )


def _moment(text: str) -> Timestamp:
    moment = Timestamp()
    if text:
        moment.FromJsonString(text)
    return moment


def _manifest(name: str, volume: Object, volume_id: str) -> dict[str, Any]:
    metadata = {
        "name": names.volume_name_for(name),
        "namespace": volume["metadata"]["namespace"],
        "annotations": {request.ANNOTATION_REQUEST: name, origin.ANNOTATION: volume_id},
    }
    spec = {"volume": volume["metadata"]["name"]}
    return {"apiVersion": names.API_VERSION, "kind": "StorageSnapshot", "metadata": metadata, "spec": spec}


def _where(found: Object | names.SnapshotHandle) -> str:
    if isinstance(found, names.SnapshotHandle):
        return f"{found.namespace}/{found.name}"
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"
