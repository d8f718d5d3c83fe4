"""Volume capabilities of the CSI spec: what is accepted, and the plain values in them."""

from collections.abc import Iterable

from moorage.errors import InvalidInput
from moorage_csi.proto import csi_pb2 as csi

Mode = csi.VolumeCapability.AccessMode
SINGLE_WRITER = "SINGLE_NODE_SINGLE_WRITER"
_FSTYPES = frozenset({"", "nfs", "nfs4", "s3fs", "fuse.s3fs"})


def check(capability: csi.VolumeCapability) -> None:
    """Raises InvalidInput for what no Moorage volume can do."""
    if capability.HasField("block"):
        raise InvalidInput("Moorage volumes are file systems: use volumeMode Filesystem, not Block")
    if not capability.HasField("mount"):
        raise InvalidInput("volume_capability must say mount")
    if not capability.HasField("access_mode") or capability.access_mode.mode == Mode.UNKNOWN:
        raise InvalidInput("volume_capability.access_mode is required")
    if capability.mount.fs_type not in _FSTYPES:
        raise InvalidInput(f"fsType {capability.mount.fs_type!r} is not offered: leave it out")


def check_all(capabilities: Iterable[csi.VolumeCapability]) -> None:
    for capability in capabilities:
        check(capability)


def mode(capability: csi.VolumeCapability) -> str:
    return Mode.Mode.Name(capability.access_mode.mode)


def reads_only(capability: csi.VolumeCapability) -> bool:
    return capability.access_mode.mode in (Mode.SINGLE_NODE_READER_ONLY, Mode.MULTI_NODE_READER_ONLY)
