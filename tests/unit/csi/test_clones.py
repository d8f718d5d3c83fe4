"""Claims with a dataSource: volumes that begin with a snapshot or with another volume."""

import pytest

from moorage import errors
from moorage_csi import api
from moorage_csi.controller import Controller
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB

from .cluster import CAPABILITIES, CLASS, Cluster, condition, serves, silent
from .test_snapshots import takes

SNAPSHOT, VOLUME = "team/snap-1/snap2345", "team/pvc-1/abcd2345"


@pytest.fixture
async def cluster() -> Cluster:
    """A volume of 2 GiB and a snapshot of it."""
    found = Cluster(takes)
    controller = Controller(Metrics(), found, "moorage", patience=0.2)
    await controller.CreateVolume("pvc-1", CAPABILITIES, csi.CapacityRange(required_bytes=2 * GIB), CLASS)
    await controller.CreateSnapshot(VOLUME, "snap-1")
    return found


@pytest.fixture
def controller(cluster: Cluster) -> Controller:
    return Controller(Metrics(), cluster, "moorage", patience=0.2)


def snapshot(id: str = SNAPSHOT) -> csi.VolumeContentSource:
    return csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=id))


def volume(id: str = VOLUME) -> csi.VolumeContentSource:
    return csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=id))


async def _create(
    controller: Controller, source: csi.VolumeContentSource | None, size: int = 3 * GIB, limit: int = 0, **more: str
) -> csi.Volume:
    asked = csi.CapacityRange(required_bytes=size, limit_bytes=limit)
    return (await controller.CreateVolume("pvc-9", CAPABILITIES, asked, CLASS | more, source)).volume


@pytest.mark.parametrize(
    ("source", "spec"),
    [(snapshot(), {"snapshot": "snap-1"}), (volume(), {"volume": "pvc-1"})],
    ids=["snapshot", "clone"],
)
async def test_a_volume_begins_with_its_source_and_says_so(
    controller: Controller, cluster: Cluster, source: csi.VolumeContentSource, spec: dict[str, str]
) -> None:
    made = await _create(controller, source)
    assert cluster.objects[api.volume_path("team", "pvc-9")]["spec"] == {
        "type": "shared", "size": "3Gi", "claim": "None", "source": spec,
    }  # fmt: skip
    assert made.content_source == source
    assert await _create(controller, source) == made
    assert (await controller.ControllerGetVolume(made.volume_id)).volume.content_source == source


async def test_without_a_size_it_is_as_big_as_its_source(controller: Controller) -> None:
    assert (await _create(controller, snapshot(), 0)).capacity_bytes == 2 * GIB


@pytest.mark.parametrize("source", [snapshot(), volume()], ids=["snapshot", "clone"])
@pytest.mark.parametrize(("size", "limit"), [(GIB, 0), (0, GIB), (2 * GIB - 1, 5 * GIB)])
async def test_less_than_the_source_is_out_of_range(
    controller: Controller, cluster: Cluster, source: csi.VolumeContentSource, size: int, limit: int
) -> None:
    with pytest.raises(errors.OutOfRange, match="is less than the 2147483648 of the source"):
        await _create(controller, source, size, limit)
    assert api.volume_path("team", "pvc-9") not in cluster.objects


@pytest.mark.parametrize(
    "source",
    [snapshot("team/snap-1/older234"), snapshot("team/none/snap2345"), snapshot("x"), volume("team/no/abcd2345")],
)
async def test_a_source_that_is_not_there_is_not_found(controller: Controller, source: csi.VolumeContentSource) -> None:
    with pytest.raises(errors.NotFound):
        await _create(controller, source)


@pytest.mark.parametrize("other", [None, volume(), snapshot("team/snap-2/snap2345")])
async def test_the_same_name_with_another_source_exists_already(
    controller: Controller, other: csi.VolumeContentSource | None
) -> None:
    await controller.CreateSnapshot(VOLUME, "snap-2")
    await _create(controller, snapshot())
    with pytest.raises(errors.AlreadyExists, match="exists and began with team/snap-1/snap2345"):
        await _create(controller, other)


async def test_a_source_of_another_namespace_is_refused(controller: Controller) -> None:
    with pytest.raises(errors.InvalidInput, match=r"is of another namespace than the claim \(rivals\)"):
        await _create(controller, snapshot(), **{"csi.storage.k8s.io/pvc/namespace": "rivals"})


@pytest.mark.parametrize("kind", ["object", "local"])
async def test_only_shared_volumes_have_a_source(controller: Controller, kind: str) -> None:
    alone = [csi.VolumeCapability(mount=CAPABILITIES[0].mount, access_mode=csi.VolumeCapability.AccessMode(mode=1))]
    with pytest.raises(errors.InvalidInput, match=f"a volume of type {kind} begins empty"):
        await controller.CreateVolume("pvc-9", alone, None, CLASS | {"type": kind}, snapshot())


async def test_the_claim_of_an_attachment_is_no_source(controller: Controller) -> None:
    with pytest.raises(errors.InvalidInput, match="only the volume's own claim can be cloned"):
        await _create(controller, volume(f"{VOLUME}-cdef4567"))


async def test_a_source_that_is_not_ready_is_waited_for(controller: Controller, cluster: Cluster) -> None:
    cluster.operator = silent
    cluster.objects[api.snapshot_path("team", "snap-1")]["status"]["conditions"] = []
    with pytest.raises(errors.NotReady, match="snapshot team/snap-1/snap2345 is not ready yet"):
        await _create(controller, snapshot())


async def test_what_begins_with_a_volume_stays_on_its_backend(controller: Controller, cluster: Cluster) -> None:
    def placed(found: dict[str, object]) -> None:
        takes(found)
        cluster.objects[api.volume_path("team", "pvc-1")]["status"]["placement"] = {"backend": "fast"}

    cluster.operator = placed
    assert (await _create(controller, volume(), backend="fast")).content_source == volume()
    with pytest.raises(errors.InvalidInput, match="lives on StorageBackend fast"):
        await controller.CreateVolume("pvc-8", CAPABILITIES, None, CLASS | {"backend": "slow"}, volume())


async def test_a_backend_that_cannot_clone_says_so_and_the_attempt_is_taken_back(
    controller: Controller, cluster: Cluster
) -> None:
    def refuses(found: dict[str, object]) -> None:
        serves(found)
        if found["metadata"]["name"] == "pvc-9":  # pyright: ignore
            why = condition("Provisioned", "False", "ClonesNotOffered")
            found["status"] = {"conditions": [why, condition("Ready", "False", "Failed", "the pool has no reflink")]}

    cluster.operator = refuses
    with pytest.raises(errors.InvalidInput, match="the pool has no reflink"):
        await _create(controller, volume())
    assert api.volume_path("team", "pvc-9") not in cluster.objects
