"""Inline volumes: what a pod's author may write, and where the volume behind them is mounted on the node.

The kubelet sends no NodeStage for them, so publish makes the shared mount first. One mount serves all inline volumes of
a StorageVolume (and, for buckets, of a group); the state files of the publications are its reference count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage import names
from moorage.errors import InvalidInput
from moorage.mount import FOREIGN_PREFIXES, MountPlan, S3fs, clean_path
from moorage_csi.state import Volume

_ALLOWED = (names.ATTR_VOLUME, names.ATTR_MOUNT_FROM)


@dataclass(frozen=True, slots=True)
class Request:
    """An inline volume as the pod's author wrote it."""

    namespace: str
    volume: str
    folder: str

    @classmethod
    def parse(cls, context: Mapping[str, str]) -> "Request":
        """Raises InvalidInput for any other attribute: a server, options or a foreign namespace least of all."""
        unknown = sorted(k for k in context if k not in _ALLOWED and not k.startswith(FOREIGN_PREFIXES))
        if unknown:
            raise InvalidInput(
                f"volumeAttributes {', '.join(unknown)} are not allowed inline; write volume and mountFrom"
            )
        namespace = context.get(names.POD_NAMESPACE, "")
        if not namespace:
            raise InvalidInput(
                "the kubelet sent no pod namespace: CSIDriver csi.moorage.dev must have podInfoOnMount: true"
            )
        if not context.get(names.ATTR_VOLUME):
            raise InvalidInput(
                "volumeAttributes.volume is required: the name of a StorageVolume in the pod's namespace"
            )
        return cls(namespace, context[names.ATTR_VOLUME], _folder(context.get(names.ATTR_MOUNT_FROM) or "/"))


def _folder(text: str) -> str:
    try:
        return clean_path(text)
    except InvalidInput as error:
        raise InvalidInput(f"{names.ATTR_MOUNT_FROM} {error}") from None


def is_inline(context: Mapping[str, str]) -> bool:
    return context.get(names.EPHEMERAL) == "true"


def mount_path(root: Path, volume_id: str, plan: MountPlan, group: str) -> str:
    """Where the volume is mounted. A group changes how a bucket looks, so each group has a mount of its own."""
    if not volume_id.isalnum():
        raise InvalidInput(f"status.id {volume_id!r} of the StorageVolume is not an id")
    folder = f"{volume_id}-g{group}" if group and isinstance(plan, S3fs) else volume_id
    return str(root / folder / "mount")


def in_use(volumes: Iterable[Volume], staging: str) -> bool:
    """Whether any inline volume still needs the mount at `staging`."""
    return any(volume.inline and volume.staging == staging and volume.targets for volume in volumes)
