"""What a new volume begins with: nothing, a snapshot or another volume, as a value."""

from dataclasses import dataclass
from typing import Any, Self

from moorage import names
from moorage.errors import InvalidInput, NotFound
from moorage_csi import api, lookup
from moorage_csi.api import Object
from moorage_csi.proto import csi_pb2 as csi

# Kept on the StorageVolume or StorageSnapshot: the id that it was made from, for a name may be another's by now.
ANNOTATION = f"{names.GROUP}/csi-source"


@dataclass(frozen=True, slots=True)
class Origin:
    """`id`: the CSI id of a snapshot or volume; empty for a volume that begins empty."""

    kind: str = ""  # snapshot or volume, as in spec.source
    id: str = ""

    @classmethod
    def parse(cls, given: csi.VolumeContentSource | None) -> Self:
        """Raises InvalidInput when neither is named."""
        if given is None:
            return cls()
        kind = given.WhichOneof("type") or ""
        id = {"snapshot": given.snapshot.snapshot_id, "volume": given.volume.volume_id}.get(kind, "")
        if not id:
            raise InvalidInput("volume_content_source names neither a snapshot nor a volume: name one of them")
        return cls(kind, id)

    @classmethod
    def kept(cls, volume: Object) -> Self:
        """What a StorageVolume of a claim was made from."""
        kind = next(iter(api.part(volume, "spec", "source")), "")
        id = api.part(volume, "metadata", "annotations").get(ANNOTATION, "")
        return cls(kind, id) if kind and id else cls()

    @property
    def handle(self) -> names.SnapshotHandle | names.VolumeHandle:
        """Raises NotFound for an id that this driver never made, InvalidInput for that of an attachment's claim."""
        try:
            if self.kind == "snapshot":
                return lookup.snapshot(self.id)
            found = lookup.handle(self.id)
        except InvalidInput as error:
            raise NotFound(str(error)) from None
        if found.attachment:
            raise InvalidInput(f"{self.id} is of a StorageAttachment: only the volume's own claim can be cloned")
        return found

    def spec(self) -> dict[str, Any]:
        """As spec.source of a StorageVolume."""
        return {"source": {self.kind: self.handle.name}} if self.kind else {}

    def message(self) -> csi.VolumeContentSource | None:
        if self.kind == "snapshot":
            return csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=self.id))
        if self.kind == "volume":
            return csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=self.id))
        return None
