"""Inline volumes: what a pod's author may write, and where the volume behind them is mounted on the node.

The kubelet sends no NodeStage for them, so publish makes the shared mount first. One mount serves all inline volumes of
a StorageVolume or Bucket (and, for buckets, of a group); the state files of the publications are its reference count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage import names
from moorage.errors import InvalidInput
from moorage.mount import FOREIGN_PREFIXES, MountPlan
from moorage.objectmount import METADATA, ObjectMount
from moorage.view import View
from moorage_csi import lookup
from moorage_csi.api import Api
from moorage_csi.state import Volume

_ALLOWED = (names.ATTR_VOLUME, names.ATTR_BUCKET, names.ATTR_MOUNT_FROM, names.ATTR_READ_ONLY)


@dataclass(frozen=True, slots=True)
class Request:
    """An inline volume as the pod's author wrote it: a volume or a bucket, and what of it."""

    namespace: str
    volume: str
    bucket: str
    view: View

    @classmethod
    def parse(cls, context: Mapping[str, str]) -> "Request":
        """Raises InvalidInput for any other attribute: a server, options or a foreign namespace least of all."""
        unknown = sorted(k for k in context if k not in _ALLOWED and not k.startswith(FOREIGN_PREFIXES))
        if unknown:
            raise InvalidInput(
                f"volumeAttributes {', '.join(unknown)} are not allowed inline; write {', '.join(_ALLOWED)}"
            )
        namespace = context.get(names.POD_NAMESPACE, "")
        if not namespace:
            raise InvalidInput(
                "the kubelet sent no pod namespace: CSIDriver csi.moorage.dev must have podInfoOnMount: true"
            )
        volume, bucket = context.get(names.ATTR_VOLUME, ""), context.get(names.ATTR_BUCKET, "")
        if bool(volume) == bool(bucket):
            raise InvalidInput(
                "write exactly one of volumeAttributes.volume (a StorageVolume or StorageAttachment) and .bucket (a "
                "Bucket), each in the pod's own namespace"
            )
        return cls(namespace, volume, bucket, View.parse(context))

    async def find(self, client: Api) -> lookup.Found:
        """What is behind it; raises NotFound, Forbidden or NotReady with a sentence for the pod's author."""
        if self.bucket:
            return await lookup.ready_bucket(client, self.namespace, self.bucket)
        return await lookup.ready_volume(client, self.namespace, self.volume)


def check_writable(asked: Request, plan: MountPlan, readonly: bool) -> None:
    """Raises InvalidInput for a Bucket to be written on an engine that keeps no metadata, which files are made of."""
    if asked.bucket and isinstance(plan, ObjectMount) and METADATA in plan.lacks.split(",") and not readonly:
        raise InvalidInput(
            f"the S3 engine of Bucket {asked.namespace}/{asked.bucket} keeps no metadata, so its files cannot be "
            f'written: add {names.ATTR_READ_ONLY}: "true" to volumeAttributes'
        )


def is_inline(context: Mapping[str, str]) -> bool:
    return context.get(names.EPHEMERAL) == "true"


def mount_path(root: Path, volume_id: str, plan: MountPlan, group: str) -> str:
    """Where the volume is mounted. A bucket looks different by group and by program: each has a mount of its own."""
    if not volume_id.isalnum():
        raise InvalidInput(f"status.id {volume_id!r} of the StorageVolume is not an id")
    shown = (plan.mounter, *((f"g{group}",) if group else ())) if isinstance(plan, ObjectMount) else ()
    return str(root / "-".join((volume_id, *shown)) / "mount")


def in_use(volumes: Iterable[Volume], staging: str) -> bool:
    """Whether any inline volume still needs the mount at `staging`."""
    return any(volume.inline and volume.staging == staging and volume.targets for volume in volumes)
