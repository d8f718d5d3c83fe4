"""Snapshots of claims against an API server in memory, with an operator and an agent that answer as the test says."""

import pytest

from moorage import errors
from moorage_csi import api
from moorage_csi.api import Object
from moorage_csi.controller import Controller
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB

from .cluster import CAPABILITIES, CLASS, Cluster, condition, serves

TAKEN = "2026-03-04T05:06:07.5Z"
ID, OTHER = "team/pvc-1/abcd2345", "team/pvc-2/abcd2345"
SNAPSHOT = "team/snap-1/snap2345"


def takes(found: Object) -> None:
    """An operator and an agent that have everything ready at once."""
    if found["kind"] == "StorageVolume":
        return serves(found)
    image = {"state": "Ready", "sizeBytes": 2 * GIB, "taken": TAKEN}
    ready = [condition("Ready", "True")]
    found["status"] = {"id": "snap2345", "volumeId": "abcd2345", "image": image, "conditions": ready}


def cuts(found: Object) -> None:
    """An agent that has taken the snapshot, and an operator that has not looked at it since."""
    takes(found)
    if found["kind"] == "StorageSnapshot":
        found["status"]["conditions"] = []


def lingers(found: Object) -> None:
    """An operator that does not answer for snapshots."""
    if found["kind"] == "StorageVolume":
        serves(found)


def refuses(found: Object) -> None:
    """A backend without reflink."""
    if found["kind"] == "StorageVolume":
        return serves(found)
    why = condition("Provisioned", "False", "ClonesNotOffered")
    failed = condition("Ready", "False", "Failed", "backend shared has no reflink: use XFS")
    found["status"] = {"id": "snap2345", "phase": "FAILED", "conditions": [why, failed]}


@pytest.fixture
async def cluster() -> Cluster:
    found = Cluster(takes)
    controller = Controller(Metrics(), found, "moorage", patience=0.2)
    for name in ("pvc-1", "pvc-2"):
        await controller.CreateVolume(name, CAPABILITIES, csi.CapacityRange(required_bytes=2 * GIB), CLASS)
    return found


@pytest.fixture
def controller(cluster: Cluster) -> Controller:
    return Controller(Metrics(), cluster, "moorage", patience=0.2)


async def _take(controller: Controller, name: str = "snap-1", volume: str = ID) -> csi.Snapshot:
    return (await controller.CreateSnapshot(volume, name)).snapshot


async def test_a_snapshot_is_told_with_its_volume_size_and_moment(controller: Controller, cluster: Cluster) -> None:
    found = await _take(controller)
    assert (found.snapshot_id, found.source_volume_id, found.size_bytes) == (SNAPSHOT, ID, 2 * GIB)
    assert found.ready_to_use and found.creation_time.ToJsonString() == "2026-03-04T05:06:07.500Z"
    assert cluster.objects[api.snapshot_path("team", "snap-1")]["spec"] == {"volume": "pvc-1"}


async def test_taking_it_again_gives_the_same_snapshot(controller: Controller) -> None:
    assert await _take(controller) == await _take(controller)


async def test_the_same_name_for_another_volume_is_refused(controller: Controller) -> None:
    await _take(controller)
    with pytest.raises(errors.AlreadyExists, match="exists, of volume team/pvc-1/abcd2345"):
        await _take(controller, volume=OTHER)


async def test_a_name_of_any_letters_is_taken(controller: Controller, cluster: Cluster) -> None:
    name = "Größe " + "x" * 100
    first, again = await _take(controller, name), await _take(controller, name)
    assert first == again and first.snapshot_id.startswith("team/v-")


async def test_a_snapshot_made_by_hand_is_never_taken_for_a_requests(controller: Controller, cluster: Cluster) -> None:
    body = {"kind": "StorageSnapshot", "metadata": {"name": "snap-1", "namespace": "team"}, "spec": {"volume": "pvc-1"}}
    await cluster.apply(api.snapshot_path("team", "snap-1"), body)
    with pytest.raises(errors.AlreadyExists, match="was not made by this request"):
        await _take(controller)


async def test_one_that_is_cut_but_not_judged_yet_is_not_ready_to_use(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = cuts
    assert (await _take(controller)).ready_to_use is False
    cluster.operator = takes
    assert (await controller.GetSnapshot(SNAPSHOT)).snapshot.ready_to_use is True


async def test_without_an_answer_the_caller_shall_ask_again(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = lingers
    with pytest.raises(errors.Pending, match="snapshot team/snap-1 is not ready yet"):
        await _take(controller)
    cluster.operator = takes
    assert (await _take(controller)).snapshot_id == SNAPSHOT


async def test_an_attempt_that_failed_for_good_is_taken_back(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = refuses
    with pytest.raises(errors.InvalidInput, match="backend shared has no reflink: use XFS"):
        await _take(controller)
    assert api.snapshot_path("team", "snap-1") not in cluster.objects


async def test_a_deleted_snapshot_is_gone_and_deleting_again_is_fine(controller: Controller, cluster: Cluster) -> None:
    await _take(controller)
    for _ in range(2):
        await controller.DeleteSnapshot(SNAPSHOT)
    assert api.snapshot_path("team", "snap-1") not in cluster.objects
    with pytest.raises(errors.NotFound):
        await controller.GetSnapshot(SNAPSHOT)


@pytest.mark.parametrize("id", ["nonsense", "team/other/snap2345", "team/snap-1/older234", "team/../x/snap2345"])
async def test_deleting_what_does_not_exist_deletes_nothing(controller: Controller, cluster: Cluster, id: str) -> None:
    await _take(controller)
    await controller.DeleteSnapshot(id)
    assert api.snapshot_path("team", "snap-1") in cluster.objects


async def _listed(controller: Controller, volume: str = "", id: str = "") -> list[str]:
    answer = await controller.ListSnapshots(source_volume_id=volume, snapshot_id=id)
    return [entry.snapshot.snapshot_id for entry in answer.entries]


async def test_snapshots_are_listed_all_by_volume_and_by_id(controller: Controller) -> None:
    for name, volume in (("snap-1", ID), ("snap-2", ID), ("snap-3", OTHER)):
        await _take(controller, name, volume)
    assert await _listed(controller) == ["team/snap-1/snap2345", "team/snap-2/snap2345", "team/snap-3/snap2345"]
    assert await _listed(controller, OTHER) == ["team/snap-3/snap2345"]
    assert await _listed(controller, id="team/snap-2/snap2345") == ["team/snap-2/snap2345"]
    assert await _listed(controller, OTHER, "team/snap-2/snap2345") == []


@pytest.mark.parametrize(
    ("volume", "id"), [("nonsense", ""), ("team/pvc-1/older234", ""), ("", "nonsense"), ("", "a/b/c")]
)
async def test_of_what_does_not_exist_nothing_is_listed(controller: Controller, volume: str, id: str) -> None:
    await _take(controller)
    assert await _listed(controller, volume, id) == []


async def test_a_snapshot_that_is_not_taken_yet_is_not_listed(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = lingers
    with pytest.raises(errors.Pending):
        await _take(controller)
    assert await _listed(controller) == []
