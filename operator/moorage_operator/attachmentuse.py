"""The attachments of a volume that hold it: asked of the API server itself, when the volume is to be destroyed."""

from moorage import consent
from moorage.actions import Manifest, part
from moorage.model import StorageVolume
from moorage_operator.cluster import Cluster
from moorage_operator.index import Index
from moorage_operator.links import volume_of


async def holding(cluster: Cluster, index: Index, volume: StorageVolume) -> list[Manifest]:
    """Those in its own namespace, those that its owner agreed to, and those that have something of it.

    Anybody may write an attachment that names any volume: such a wish alone must not keep its owner from deleting it.
    """
    key = volume.metadata["namespace"], volume.metadata["name"]
    named = await cluster.list_ours("StorageAttachment", fieldSelector=f"spec.volume.name={key[1]}")
    return [each for each in named if volume_of(each) == key and _holds(index, volume, each)]


def _holds(index: Index, volume: StorageVolume, attachment: Manifest) -> bool:
    if part(attachment, "status").get("volumeHandle"):
        return True
    namespace = attachment["metadata"]["namespace"]
    return consent.allows(volume, namespace, index.namespaces.get(namespace))
