"""Sizes of fields as the CSI spec bounds them."""

import pytest
from google.protobuf.message import Message

from moorage.errors import InvalidInput
from moorage_csi import limits
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.proto import registration_pb2 as registration

ENTRY = {"k" * 96: "v" * 4000}  # 4096 bytes


@pytest.mark.parametrize(
    "message",
    [
        csi.NodeStageVolumeRequest(volume_id="v" * 128, secrets=ENTRY, volume_context=ENTRY),
        csi.NodePublishVolumeRequest(target_path="/" + "t" * 4094),
        csi.NodeStageVolumeRequest(
            volume_capability=csi.VolumeCapability(mount=csi.VolumeCapability.MountVolume(mount_flags=["f" * 1000] * 4))
        ),
        registration.RegistrationStatus(error="e" * 200),
        csi.CreateVolumeRequest(name="ü" * 64),
    ],
)
def test_what_fits_passes(message: Message) -> None:
    limits.check(message)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (csi.NodeStageVolumeRequest(volume_id="v" * 129), "volume_id has 129 bytes; the CSI spec allows 128"),
        (csi.CreateVolumeRequest(name="ü" * 65), "name has 130 bytes; the CSI spec allows 128"),
        (csi.NodeStageVolumeRequest(secrets=ENTRY | {"a": ""}), "secrets has 4097 bytes; the CSI spec allows 4096"),
        (
            csi.NodePublishVolumeRequest(target_path="t" * 4096),
            "target_path has 4096 bytes; the CSI spec allows 4095",
        ),
        (
            csi.NodeStageVolumeRequest(
                volume_capability=csi.VolumeCapability(
                    mount=csi.VolumeCapability.MountVolume(mount_flags=["f" * 1025] * 4)
                )
            ),
            "volume_capability.mount.mount_flags has 4100 bytes; the CSI spec allows 4096",
        ),
        (
            csi.CreateVolumeRequest(
                volume_capabilities=[
                    csi.VolumeCapability(mount=csi.VolumeCapability.MountVolume(fs_type="x" * 129)),
                ]
            ),
            "volume_capabilities.mount.fs_type has 129 bytes; the CSI spec allows 128",
        ),
        (
            csi.CreateVolumeRequest(
                accessibility_requirements=csi.TopologyRequirement(requisite=[csi.Topology(segments=ENTRY | {"a": ""})])
            ),
            "accessibility_requirements.requisite.segments has 4097 bytes; the CSI spec allows 4096",
        ),
    ],
)
def test_what_is_too_big_is_named_without_its_value(message: Message, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        limits.check(message)
    assert str(caught.value) == sentence
