"""The controller against an API server in memory, with an operator that answers as the test says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from moorage import errors
from moorage_csi import api
from moorage_csi.api import Object
from moorage_csi.controller import Controller
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB, MIB

from .conftest import SHARED, capability

CLASS = {"type": "shared", "csi.storage.k8s.io/pvc/namespace": "team"}
CAPABILITIES = (capability(),)
PATH = api.volume_path("team", "pvc-1")
Operator = Callable[[Object], None]


def _condition(kind: str, status: str, reason: str = "Ready", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def serves(volume: Object) -> None:
    """An operator that has everything ready at once, and grows a share when asked."""
    size = volume["spec"].get("size", "1Gi")
    volume["status"] = {
        "id": "abcd2345",
        "attributes": SHARED,
        "share": {"sizeBytes": int(size[:-2]) * (GIB if size.endswith("Gi") else MIB)},
        "conditions": [_condition("Ready", "True")],
    }


def silent(volume: Object) -> None:
    """An operator that is not there."""


def full(volume: Object) -> None:
    volume["status"] = {"conditions": [_condition("Ready", "False", "NoCapacity", "backend shared has 1 GiB left")]}


def keeps(volume: Object) -> None:
    """An operator that does not let a volume go while a pod uses it."""
    serves(volume)
    volume["metadata"]["finalizers"] = ["moorage.dev/finalizer"]
    if "deletionTimestamp" in volume["metadata"]:
        volume["status"]["conditions"].append(_condition("DeletionBlocked", "True", "InUse", "pod team/train uses it"))


@dataclass
class Cluster:
    """Objects by path; the operator sees each one whenever it is read."""

    operator: Operator = serves
    objects: dict[str, Object] = field(default_factory=dict[str, Object])

    async def get(self, path: str) -> Object:
        if path not in self.objects:
            raise errors.NotFound(path)
        self.operator(self.objects[path])
        return self.objects[path]

    async def apply(self, path: str, body: Object) -> Object:
        self.objects[path] = body | {"metadata": body["metadata"] | {"uid": "u1", "resourceVersion": "1"}}
        return self.objects[path]

    async def patch(self, path: str, body: Object) -> Object:
        volume = self.objects[path]
        volume["spec"] |= body.get("spec", {})
        volume["metadata"].setdefault("annotations", {}).update(body["metadata"].get("annotations", {}))
        return volume

    async def delete(self, path: str, uid: str) -> None:
        volume = self.objects[path]
        assert volume["metadata"]["uid"] == uid
        if volume["metadata"].get("finalizers"):
            volume["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.objects[path]


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


async def test_clones_and_snapshots_are_refused(controller: Controller) -> None:
    with pytest.raises(errors.InvalidInput, match="dataSource"):
        await controller.CreateVolume("pvc-1", CAPABILITIES, _range(GIB), CLASS, csi.VolumeContentSource())


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


def _backend(name: str, engine: str, free: int, default: bool = False) -> dict[str, Any]:
    spec: dict[str, Any] = {"engine": {engine: {}}, "default": default}
    return {"metadata": {"name": name}, "spec": spec, "status": {"servers": [{"name": "s", "freeBytes": free}]}}


@pytest.mark.parametrize(
    ("parameters", "free"),
    [({}, 5 * GIB), ({"type": "shared"}, 5 * GIB), ({"backend": "big"}, 9 * GIB), ({"backend": "none"}, 0)],
)
async def test_capacity_is_what_the_backend_reports(
    controller: Controller, cluster: Cluster, parameters: dict[str, str], free: int
) -> None:
    backends = [
        _backend("a", "ganesha", 5 * GIB, True),
        _backend("big", "ganesha", 9 * GIB),
        _backend("o", "s3", 1, True),
    ]
    cluster.objects[api.BACKENDS] = {"items": backends}
    cluster.operator = silent
    assert (await controller.GetCapacity((), parameters)).available_capacity == free
