"""Volume capabilities of the CSI spec: what is accepted, and the plain values in them."""

from collections.abc import Iterable

from moorage import objectmount
from moorage.errors import InvalidInput, MoorageError
from moorage_csi.proto import csi_pb2 as csi

Mode = csi.VolumeCapability.AccessMode
SINGLE_WRITER = "SINGLE_NODE_SINGLE_WRITER"
# CSI spec, NodePublishVolume, second table: in every other mode a volume has one target on a node.
MANY_TARGETS = frozenset(
    {"SINGLE_NODE_MULTI_WRITER", "MULTI_NODE_READER_ONLY", "MULTI_NODE_SINGLE_WRITER", "MULTI_NODE_MULTI_WRITER"}
)
_FSTYPES = frozenset({"", "nfs", "nfs4", *objectmount.FSTYPES, *objectmount.FSTYPES.values()})


def check(capability: csi.VolumeCapability, unsupported: type[MoorageError] = InvalidInput) -> None:
    """Raises InvalidInput for a capability that is none, and `unsupported` for one that no Moorage volume has.

    The spec wants FAILED_PRECONDITION for the latter from the node service, INVALID_ARGUMENT from the controller.
    """
    known = capability.access_mode.mode in Mode.Mode.values()
    if not known or capability.access_mode.mode == Mode.UNKNOWN:
        raise InvalidInput("volume_capability.access_mode is required, as one of the modes of the CSI spec")
    if capability.HasField("block"):
        raise unsupported("Moorage volumes are file systems: use volumeMode Filesystem, not Block")
    if not capability.HasField("mount"):
        raise InvalidInput("volume_capability must say mount")
    if capability.mount.fs_type not in _FSTYPES:
        raise unsupported(f"fsType {capability.mount.fs_type!r} is not offered: leave it out")
    _check_group(capability.mount.volume_mount_group)


def check_reach(kind: str, capability: csi.VolumeCapability, unsupported: type[MoorageError] = InvalidInput) -> None:
    """Raises `unsupported` when several nodes shall have a volume that is on one."""
    if kind == "local" and mode(capability).startswith("MULTI_NODE"):
        raise unsupported(
            "a local volume is on one node: use accessModes ReadWriteOnce or ReadWriteOncePod, or a shared volume"
        )


def _check_group(group: str) -> None:
    if group and (not group.isascii() or not group.isdecimal() or int(group) >= 2**32):
        raise InvalidInput(f"volume_mount_group {group!r} is not a numeric group id")


def check_all(capabilities: Iterable[csi.VolumeCapability]) -> None:
    for capability in capabilities:
        check(capability)


def mode(capability: csi.VolumeCapability) -> str:
    return Mode.Mode.Name(capability.access_mode.mode)


def reads_only(capability: csi.VolumeCapability) -> bool:
    return capability.access_mode.mode in (Mode.SINGLE_NODE_READER_ONLY, Mode.MULTI_NODE_READER_ONLY)
