"""The controller against an API server in memory, with an operator that answers as the test says."""

import pytest

from moorage import errors
from moorage_csi.controller import Controller
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB

from .cluster import CAPABILITIES, CLASS, PATH, Cluster, full, keeps, serves, silent
from .conftest import SHARED, capability


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def controller(cluster: Cluster) -> Controller:
    return Controller(Metrics(), cluster, "moorage", patience=0.2)


def _range(required: int = 0, limit: int = 0) -> csi.CapacityRange:
    return csi.CapacityRange(required_bytes=required, limit_bytes=limit)


async def _create(controller: Controller, size: int = GIB, **parameters: str) -> csi.Volume:
    answer = await controller.CreateVolume("pvc-1", CAPABILITIES, _range(size), CLASS | parameters)
    return answer.volume


async def test_a_created_volume_carries_its_mount_plan(controller: Controller, cluster: Cluster) -> None:
    volume = await _create(controller, 2 * GIB)
    assert (volume.volume_id, volume.capacity_bytes) == ("team/pvc-1/abcd2345", 2 * GIB)
    assert dict(volume.volume_context) == SHARED
    assert cluster.objects[PATH]["spec"] == {"type": "shared", "size": "2Gi", "claim": "None"}


async def test_creating_again_gives_the_same_volume(controller: Controller) -> None:
    assert await _create(controller) == await _create(controller)


async def test_creating_again_with_another_size_is_refused(controller: Controller) -> None:
    await _create(controller)
    with pytest.raises(errors.AlreadyExists):
        await _create(controller, 2 * GIB)


async def test_without_an_answer_of_the_operator_the_provisioner_shall_ask_again(
    controller: Controller, cluster: Cluster
) -> None:
    cluster.operator = silent
    with pytest.raises(errors.Pending, match="is moorage-operator running"):
        await _create(controller)
    cluster.operator = serves
    assert (await _create(controller)).volume_id == "team/pvc-1/abcd2345"


async def test_without_room_the_attempt_is_taken_back(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = full
    with pytest.raises(errors.NoCapacity, match="backend shared has 1 GiB left"):
        await _create(controller)
    assert cluster.objects == {}


async def test_a_volume_that_is_still_being_deleted_is_waited_for(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = keeps
    volume = await _create(controller)
    with pytest.raises(errors.InUse):
        await controller.DeleteVolume(volume.volume_id)
    with pytest.raises(errors.Pending, match="still being deleted"):
        await _create(controller)


async def test_block_volumes_are_refused(controller: Controller) -> None:
    block = csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=capability().access_mode)
    with pytest.raises(errors.InvalidInput, match="Filesystem"):
        await controller.CreateVolume("pvc-1", (block,), _range(GIB), CLASS)


async def test_a_deleted_volume_is_gone_and_deleting_again_is_fine(controller: Controller, cluster: Cluster) -> None:
    volume = await _create(controller)
    for _ in range(2):
        await controller.DeleteVolume(volume.volume_id)
    assert cluster.objects == {}


@pytest.mark.parametrize("volume_id", ["nonsense", "team/other/abcd2345", "team/pvc-1/older234"])
async def test_deleting_what_does_not_exist_deletes_nothing(
    controller: Controller, cluster: Cluster, volume_id: str
) -> None:
    await _create(controller)
    await controller.DeleteVolume(volume_id)
    assert list(cluster.objects) == [PATH]


async def test_a_volume_in_use_is_not_deleted_and_the_holder_is_named(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = keeps
    volume = await _create(controller)
    with pytest.raises(errors.InUse, match="pod team/train uses it"):
        await controller.DeleteVolume(volume.volume_id)


async def test_a_volume_grows_and_needs_nothing_on_the_node(controller: Controller, cluster: Cluster) -> None:
    volume = await _create(controller)
    answer = await controller.ControllerExpandVolume(volume.volume_id, _range(3 * GIB - 1))
    assert (answer.capacity_bytes, answer.node_expansion_required) == (3 * GIB, False)
    assert cluster.objects[PATH]["spec"]["size"] == "3Gi"


async def test_a_volume_never_shrinks(controller: Controller) -> None:
    volume = await _create(controller, 2 * GIB)
    assert (await controller.ControllerExpandVolume(volume.volume_id, _range(GIB))).capacity_bytes == 2 * GIB
    with pytest.raises(errors.OutOfRange, match="already"):
        await controller.ControllerExpandVolume(volume.volume_id, _range(GIB, GIB))


async def test_growth_is_reported_only_when_the_share_has_grown(controller: Controller, cluster: Cluster) -> None:
    volume = await _create(controller)
    cluster.operator = silent
    with pytest.raises(errors.Pending):
        await controller.ControllerExpandVolume(volume.volume_id, _range(3 * GIB))


async def test_an_object_volume_takes_any_size(controller: Controller) -> None:
    volume = await _create(controller, type="object")
    assert (await controller.ControllerExpandVolume(volume.volume_id, _range(3 * GIB))).capacity_bytes == 3 * GIB


async def test_expanding_what_does_not_exist_is_not_found(controller: Controller) -> None:
    with pytest.raises(errors.NotFound):
        await controller.ControllerExpandVolume("team/pvc-1/abcd2345", _range(GIB))


async def test_capabilities_are_confirmed_or_explained(controller: Controller) -> None:
    volume = await _create(controller)
    good = await controller.ValidateVolumeCapabilities(volume.volume_id, CAPABILITIES, SHARED)
    assert list(good.confirmed.volume_capabilities) == list(CAPABILITIES)
    block = csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=capability().access_mode)
    bad = await controller.ValidateVolumeCapabilities(volume.volume_id, (block,))
    assert not bad.HasField("confirmed") and "Filesystem" in bad.message
    with pytest.raises(errors.NotFound):
        await controller.ValidateVolumeCapabilities("team/pvc-1/older234", CAPABILITIES)
