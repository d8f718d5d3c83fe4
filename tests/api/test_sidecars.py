"""external-provisioner and external-snapshotter with the chart's own flags: room for the scheduler, node groups,
snapshots and clones. What kube-controller-manager would do to claims is done by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import yaml
from chart import collection, rendered
from driver import Driver
from driver import driver as driver  # fixture

from cluster.toolchain import SOURCES, module_folder
from moorage import names
from moorage.actions import Manifest
from moorage.errors import MoorageError, NotFound

CLASSES, CLAIMS = "/apis/storage.k8s.io/v1/storageclasses", "persistentvolumeclaims"
SNAPSHOTS = "snapshot.storage.k8s.io"
CLIENT = "github.com/kubernetes-csi/external-snapshotter/client/v8"
PROVISIONER, SNAPSHOTTER, CONTROLLER = "csi-provisioner", "csi-snapshotter", "snapshot-controller"


def _flags(container: str, driver: Driver) -> list[str]:
    """What the chart gives to a sidecar; the objects here have no Deployment to belong to."""
    chart = rendered("--set", "csiController.snapshotter=true")
    deployment = next(
        each for each in chart if each["kind"] == "Deployment" and each["metadata"]["name"] == "moorage-csi-controller"
    )
    containers = deployment["spec"]["template"]["spec"]["containers"]
    args: list[str] = next(each["args"] for each in containers if each["name"] == container)
    kept = [each for each in args if not each.startswith(("--csi-address", "--capacity-ownerref"))]
    owner = ["--capacity-ownerref-level=-1"] if container == "provisioner" else []
    return [f"--csi-address={driver.socket}", *kept, *owner]


class World:
    """The tests' words for what they do on the API server; all of it is gone afterwards."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._made: list[str] = []

    async def call(self, verb: str, path: str, body: Manifest | None = None, **more: Any) -> Manifest:
        return await self.driver.bed.cluster._call(verb, path, body, **more)

    async def make(self, thing: Manifest) -> Manifest:
        found = await self.call("POST", collection(thing), thing)
        self._made.append(f"{collection(thing)}/{thing['metadata']['name']}")
        return found

    async def clear(self) -> None:
        for path in reversed(self._made):
            try:
                await self.call("PATCH", path, {"metadata": {"finalizers": None}}, content="merge")
                await self.call("DELETE", path)
            except NotFound:
                continue

    async def node(self, name: str, **labels: str) -> None:
        """A node on which the kubelet has registered the driver."""
        place = {names.TOPOLOGY_NODE: name}
        await self.make({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": place | labels}})
        driver = {"name": names.DRIVER, "nodeID": name, "topologyKeys": list(place)}
        csinode = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name}}
        await self.make(csinode | {"spec": {"drivers": [driver]}})

    async def storage_class(self, name: str, binding: str = "Immediate", **parameters: str) -> None:
        head = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
        await self.make(head | {"provisioner": names.DRIVER, "parameters": parameters, "volumeBindingMode": binding})

    async def claim(self, name: str, of: str, node: str = "", source: Manifest | None = None) -> Manifest:
        """A claim as kube-controller-manager and the scheduler hand it to the provisioner."""
        annotations = {"volume.kubernetes.io/storage-provisioner": names.DRIVER}
        annotations |= {"volume.kubernetes.io/selected-node": node} if node else {}
        metadata = {"name": name, "namespace": self.driver.bed.namespace, "annotations": annotations}
        spec: Manifest = {"storageClassName": of, "accessModes": ["ReadWriteMany"]}
        spec |= {"resources": {"requests": {"storage": "1Gi"}}} | ({"dataSource": source} if source else {})
        return await self.make(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
        )

    async def volume(self, claim: Manifest) -> Manifest:
        """The PersistentVolume that the claim gets."""

        async def made() -> Manifest | None:
            found = (await self.call("GET", "/api/v1/persistentvolumes"))["items"]
            mine = claim["metadata"]["uid"]
            return next((each for each in found if each["spec"].get("claimRef", {}).get("uid") == mine), None)

        return await self.driver.until(made, f"claim {claim['metadata']['name']} gets no volume")

    async def bind(self, claim: Manifest) -> Manifest:
        volume = await self.volume(claim)
        path = f"{collection(claim)}/{claim['metadata']['name']}"
        await self.call("PATCH", path, {"spec": {"volumeName": volume["metadata"]["name"]}}, content="merge")
        status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"]}
        await self.call("PATCH", f"{path}/status", {"status": status}, content="merge")
        return volume

    async def storage_volume(self, volume: Manifest) -> Manifest:
        """The StorageVolume behind a PersistentVolume."""
        name = names.VolumeHandle.parse(volume["spec"]["csi"]["volumeHandle"]).name
        found = await self.driver.bed.get("StorageVolume", name)
        assert found
        return found


@pytest.fixture
async def world(driver: Driver) -> AsyncIterator[World]:
    found = World(driver)
    yield found
    await found.clear()


@pytest.fixture
async def gpu(world: World) -> AsyncIterator[World]:
    """Two nodes, of which one is of the group that has a backend of its own; the provisioner."""
    await world.node("cpu-1", pool="cpu")
    await world.node("gpu-1", pool="gpu")
    ganesha = {"namespace": world.driver.bed.namespace, "statefulSet": "moorage-nfs"}
    await world.driver.bed.make(
        "StorageBackend", "gpu", spec={"engine": {"ganesha": ganesha}, "nodeSelector": {"pool": "gpu"}}
    )
    await world.driver.bed.condition("gpu", "Ready", "True", "StorageBackend")
    await world.storage_class("all", type="shared")
    await world.storage_class("gpu", "WaitForFirstConsumer", type="shared", backend="gpu")
    async with world.driver.sidecar(PROVISIONER, *_flags("provisioner", world.driver)):
        yield world


def _room(found: list[Manifest]) -> dict[tuple[str, str], tuple[str, str]]:
    """By class and node: the room in all, and of the biggest volume."""
    return {
        (each["storageClassName"], each["nodeTopology"]["matchLabels"][names.TOPOLOGY_NODE]): (
            each["capacity"], each["maximumVolumeSize"],
        )
        for each in found
    }  # fmt: skip


async def test_the_scheduler_is_told_how_much_room_each_node_finds(gpu: World) -> None:
    path = f"/apis/storage.k8s.io/v1/namespaces/{gpu.driver.bed.namespace}/csistoragecapacities"

    async def told() -> dict[tuple[str, str], tuple[str, str]] | None:
        found = _room((await gpu.call("GET", path))["items"])
        return found if len(found) == 4 else None

    free = ("1Pi", "1Pi")  # of the tests' server
    assert await gpu.driver.until(told, "there is no CSIStorageCapacity of each class and node") == {
        ("all", "cpu-1"): free, ("all", "gpu-1"): free, ("gpu", "cpu-1"): ("0", "0"), ("gpu", "gpu-1"): free,
    }  # fmt: skip


async def test_a_volume_of_a_node_group_is_for_its_nodes(gpu: World) -> None:
    volume = await gpu.volume(await gpu.claim("inside", "gpu", "gpu-1"))
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "pool", "operator": "In", "values": ["gpu"]}]
    everywhere = await gpu.volume(await gpu.claim("everywhere", "all"))
    assert "nodeAffinity" not in everywhere["spec"]


async def test_outside_of_the_group_the_scheduler_is_asked_for_another_node(gpu: World) -> None:
    claim = await gpu.claim("outside", "gpu", "cpu-1")
    path = f"{collection(claim)}/outside"

    async def given_back() -> bool:
        found = await gpu.call("GET", path)
        return "volume.kubernetes.io/selected-node" not in found["metadata"]["annotations"]

    await gpu.driver.until(given_back, "the provisioner keeps the node")
    selected = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "gpu-1"}}}
    await gpu.call("PATCH", path, selected, content="merge")
    assert (await gpu.volume(claim))["spec"]["nodeAffinity"]


@pytest.fixture(scope="module")
def snapshot_kinds(api: Any) -> Iterator[None]:
    """The CRDs of snapshots, of the module that the sidecar is built from."""
    folder = module_folder(SOURCES[CONTROLLER], CLIENT) / "config" / "crd"
    crds = [yaml.safe_load((folder / f"{SNAPSHOTS}_{name}.yaml").read_text()) for name in _KINDS]
    for each in crds:
        assert api.call("POST", collection(each), each).status_code == 201
    yield
    for each in crds:
        api.call("DELETE", f"{collection(each)}/{each['metadata']['name']}")


_KINDS = ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots")


@pytest.fixture
async def snapshots(snapshot_kinds: None, world: World) -> AsyncIterator[World]:
    """The three programs that make snapshots and claims of them, the chart's class, and a claim `data`."""

    async def served() -> bool:
        try:
            return bool(await world.call("GET", f"/apis/{SNAPSHOTS}/v1/volumesnapshots"))
        except MoorageError:  # 404, or 503 while the API server takes the kinds in
            return False

    await world.driver.until(served, "VolumeSnapshots are not served")
    chart = rendered("--set", "csiController.snapshotter=true")
    await world.make(next(each for each in chart if each["kind"] == "VolumeSnapshotClass"))
    await world.storage_class("all", type="shared")
    async with AsyncExitStack() as stack:
        for name, flags in (
            (PROVISIONER, _flags("provisioner", world.driver)),
            (SNAPSHOTTER, _flags("snapshotter", world.driver)),
            (CONTROLLER, ["--leader-election=false", "--feature-gates=CSIVolumeGroupSnapshot=false"]),
        ):
            await stack.enter_async_context(world.driver.sidecar(name, *flags))
        await world.bind(await world.claim("data", "all"))
        yield world


async def _snapshot(world: World, name: str) -> Manifest:
    """A VolumeSnapshot of the claim `data`, ready to use. It names no class: the chart's is the driver's default."""
    metadata = {"name": name, "namespace": world.driver.bed.namespace}
    spec = {"source": {"persistentVolumeClaimName": "data"}}
    head = {"apiVersion": f"{SNAPSHOTS}/v1", "kind": "VolumeSnapshot", "metadata": metadata, "spec": spec}
    made = await world.make(head)

    async def ready() -> Manifest | None:
        found = await world.call("GET", f"{collection(made)}/{name}")
        return found if found.get("status", {}).get("readyToUse") else None

    return await world.driver.until(ready, f"VolumeSnapshot {name} is not ready to use")


async def test_a_claim_is_kept_and_begins_again(snapshots: World) -> None:
    kept = await _snapshot(snapshots, "monday")
    assert (kept["status"]["restoreSize"], kept["status"]["creationTime"]) == ("1Gi", "2026-01-01T00:00:00Z")

    source = {"apiGroup": SNAPSHOTS, "kind": "VolumeSnapshot", "name": "monday"}
    again = await snapshots.storage_volume(await snapshots.volume(await snapshots.claim("again", "all", source=source)))

    (taken,) = await snapshots.driver.bed.cluster.list_ours("StorageSnapshot", snapshots.driver.bed.namespace)
    assert again["spec"]["source"] == {"snapshot": taken["metadata"]["name"]}


async def test_a_claim_is_cloned(snapshots: World) -> None:
    source = {"kind": "PersistentVolumeClaim", "name": "data"}
    clone = await snapshots.storage_volume(await snapshots.volume(await snapshots.claim("clone", "all", source=source)))
    data = await snapshots.call("GET", f"/api/v1/namespaces/{snapshots.driver.bed.namespace}/{CLAIMS}/data")
    assert clone["spec"]["source"] == {"volume": names.volume_name_for(data["spec"]["volumeName"])}


async def test_a_deleted_snapshot_is_gone_from_the_server_too(snapshots: World) -> None:
    kept = await _snapshot(snapshots, "tuesday")
    await snapshots.call("DELETE", f"{collection(kept)}/tuesday")

    async def gone() -> bool:
        bed = snapshots.driver.bed
        return not await bed.cluster.list_ours("StorageSnapshot", bed.namespace)

    await snapshots.driver.until(gone, "the StorageSnapshot is still there")
