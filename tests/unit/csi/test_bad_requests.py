# ruff: noqa: ASYNC221 - the loop of a test has nothing else to do
"""Bad CSI requests over a real socket: each gets its code and its sentence, changes nothing and tells no secret."""

import logging
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message

from moorage_csi import api, mounts, rpc, topology
from moorage_csi.api import Object
from moorage_csi.controller import Controller
from moorage_csi.identity import Identity
from moorage_csi.metrics import Metrics
from moorage_csi.node import Node, Tools
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB, MIB

from .conftest import SHARED, Bench, NoMounter, ObjectsApi, capability

ID, OTHER, ATTACHED = "team/data/abcd2345", "team/more/bcde3456", "team/data/abcd2345-cdef4567"
SECRET = "hunter2"
OBJECT = {"type": "object", "mount": "s3fs", "endpoint": "http://s3:7070", "bucket": "models", "region": "eu-1"}
LOCAL = {"type": "local", "mount": "local", "share": "abcd2345"}
POD = {"csi.storage.k8s.io/ephemeral": "true", "csi.storage.k8s.io/pod.namespace": "team"}
BLOCK = csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=capability().access_mode)
MODELESS = csi.VolumeCapability(mount=csi.VolumeCapability.MountVolume())
TYPELESS = csi.VolumeCapability(access_mode=capability().access_mode)
ZONE = csi.TopologyRequirement(requisite=[csi.Topology(segments={"topology.kubernetes.io/zone": "a"})])
EXT4 = csi.VolumeCapability(mount=csi.VolumeCapability.MountVolume(fs_type="ext4"), access_mode=BLOCK.access_mode)
STRANGE = csi.VolumeCapability(
    mount=csi.VolumeCapability.MountVolume(),
    access_mode=csi.VolumeCapability.AccessMode(mode=99),  # pyright: ignore[reportArgumentType]
)


_SYSTEM = ("/", "/proc", "/sys", "/dev")


@dataclass
class World:
    """A driver with one volume staged and published, and what can be changed by a request."""

    kubelet: Path
    objects: ObjectsApi
    channel: grpc.aio.Channel
    writes: list[str] = field(default_factory=list[str])

    @property
    def stage(self) -> str:
        return str(self.kubelet / "globalmount")

    @property
    def target(self) -> str:
        return str(self.kubelet / "pods" / "a" / "mount")

    @property
    def fresh(self) -> str:
        return str(self.kubelet / "pods" / "new" / "mount")

    def state(self) -> object:
        """Everything that a request could change."""
        files = sorted(path for path in self.kubelet.rglob("*") if not path.is_socket())
        contents = [path.read_bytes() for path in files if path.is_file()]
        # Others' mounts go when somebody removes what they are on: not of this test's making.
        ours = [each for each in mounts.table() if each.target in _SYSTEM or each.target.startswith(str(self.kubelet))]
        return files, contents, ours, list(self.writes), repr(self.objects.objects)

    async def call(self, service: str, method: str, request: Message) -> tuple[str, str]:
        """The code and the sentence that the request gets."""
        found = csi.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        call = self.channel.unary_unary(
            f"/csi.v1.{service}/{found.name}", request_serializer=lambda message: message.SerializeToString()
        )
        try:
            await call(request, timeout=120)  # a loaded machine is no fault of the driver
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""


class Writes(ObjectsApi):
    """An API server that tells when somebody writes."""

    def __init__(self, objects: dict[str, Object], writes: list[str]) -> None:
        super().__init__(objects)
        self.writes = writes

    async def apply(self, path: str, body: Object) -> Object:
        self.writes.append(path)
        return {}

    patch = apply

    async def delete(self, path: str, uid: str) -> None:
        self.writes.append(path)


def _object(name: str, ready: str = "True", message: str = "", **status: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready, "reason": "Pending", "message": message}]
    return {
        "metadata": {"name": name, "namespace": "team", "uid": "u", "annotations": {"moorage.dev/csi-name": name}},
        "spec": {"type": "shared", "size": "1Gi"},
        "status": {"conditions": conditions, "attributes": SHARED} | status,
    }


def _objects() -> dict[str, Object]:
    not_shared = {"type": "Attached", "status": "False", "reason": "NotShared", "message": "ask team research"}
    found = {
        api.volume_path("team", "data"): _object("data", id="abcd2345"),
        api.volume_path("team", "late"): _object(
            "late", "False", "the share is being made", phase="PROVISIONING", id="efgh6789"
        ),
        api.attachment_path("team", "foreign"): _object("foreign", "False")
        | {"status": {"phase": "PENDING", "conditions": [not_shared]}},
        api.attachment_path("team", "waiting"): _object("waiting", "False", "volume x does not exist", phase="PENDING"),
        api.bucket_path("team", "cold"): _object("cold", "False", "no S3 backend", phase="PENDING"),
        api.volume_path("team", "mine"): _object("mine", id="fghi7892"),
    }
    del found[api.volume_path("team", "mine")]["metadata"]["annotations"]
    found[f"{api.NODES}?labelSelector=topology.moorage.dev%2Fnode%3Dgone"] = {"items": []}
    found[api.volume_path("team", "files")] = _object("files", id="hijk2345") | {"spec": {"type": "object"}}
    for name, more in (("kept", {}), ("hand", {"annotations": {}}), ("going", {"deletionTimestamp": "2026-01-01"})):
        snapshot = _object(name, id="ijkm2345") | {"spec": {"volume": "more"}}
        snapshot["metadata"]["annotations"]["moorage.dev/csi-source"] = OTHER
        snapshot["metadata"] |= more
        found[api.snapshot_path("team", name)] = snapshot
    return found


@pytest.fixture
async def world(bench: Bench) -> AsyncIterator[World]:
    writes: list[str] = []
    objects = Writes(_objects(), writes)
    tools = Tools("node-1", bench.kubelet / "plugin", bench.runner, NoMounter(), lambda: objects)
    node, controller = Node(Metrics(), tools), Controller(Metrics(), objects, "moorage", patience=0.2)
    server = await rpc.listen(f"unix://{bench.kubelet}/csi.sock", Identity(Metrics(), "1"), controller, node)
    async with grpc.aio.insecure_channel(f"unix:{bench.kubelet}/csi.sock") as channel:
        found = World(bench.kubelet, objects, channel, writes)
        await _prepare(node, bench, found)
        yield found
    await server.stop(0)


async def _prepare(node: Node, bench: Bench, world: World) -> None:
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=SHARED)
    (Path(world.stage) / "link").symlink_to("/etc")
    await node.NodePublishVolume(ID, bench.target("a"), capability(), world.stage, False, SHARED)
    bench.target("new")
    (world.kubelet / "file").write_text("x")
    (world.kubelet / "full").mkdir()
    (world.kubelet / "full" / "data").write_text("precious")
    (world.kubelet / "alien").mkdir()
    subprocess.run(["mount", "-t", "ramfs", "alien", str(world.kubelet / "alien")], check=True)


Make = Callable[[World], Message]


@dataclass(frozen=True)
class Case:
    method: str
    make: Make
    code: str
    sentence: str  # {kubelet} stands for the directory of the test

    @property
    def service(self) -> str:
        return "Controller" if self.method in csi.DESCRIPTOR.services_by_name["Controller"].methods_by_name else "Node"


def create(code: str, sentence: str, **fields: Any) -> Case:
    good: dict[str, Any] = {"name": "pvc-1", "volume_capabilities": [capability()], "parameters": {"type": "shared"}}
    return Case("CreateVolume", lambda world: csi.CreateVolumeRequest(**good | fields), code, sentence)


def snap(code: str, sentence: str, **fields: Any) -> Case:
    good: dict[str, Any] = {"source_volume_id": ID, "name": "s"}
    return Case("CreateSnapshot", lambda world: csi.CreateSnapshotRequest(**good | fields), code, sentence)


def _snapshot(id: str) -> csi.VolumeContentSource:
    return csi.VolumeContentSource(snapshot=csi.VolumeContentSource.SnapshotSource(snapshot_id=id))


def _clone(id: str) -> csi.VolumeContentSource:
    return csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=id))


def expand(code: str, sentence: str, **fields: Any) -> Case:
    good: dict[str, Any] = {"volume_id": ID, "capacity_range": _range(2 * GIB)}
    return Case("ControllerExpandVolume", lambda w: csi.ControllerExpandVolumeRequest(**good | fields), code, sentence)


def _range(required: int = 0, limit: int = 0) -> csi.CapacityRange:
    return csi.CapacityRange(required_bytes=required, limit_bytes=limit)


def stage(code: str, sentence: str, path: str | None = None, **fields: Any) -> Case:
    def make(world: World) -> Message:
        where = world.stage if path is None else path.format(kubelet=world.kubelet)
        good: dict[str, Any] = {"volume_id": ID, "volume_capability": capability(), "volume_context": SHARED}
        return csi.NodeStageVolumeRequest(**{"staging_target_path": where} | good | fields)

    return Case("NodeStageVolume", make, code, sentence)


def publish(code: str, sentence: str, path: str | None = None, staging: str | None = None, **fields: Any) -> Case:
    def make(world: World) -> Message:
        where = world.fresh if path is None else path.format(kubelet=world.kubelet)
        good: dict[str, Any] = {"volume_id": ID, "volume_capability": capability(), "volume_context": SHARED}
        base = world.stage if staging is None else staging
        return csi.NodePublishVolumeRequest(**{"target_path": where, "staging_target_path": base} | good | fields)

    return Case("NodePublishVolume", make, code, sentence)


def inline(code: str, sentence: str, **attributes: str) -> Case:
    context = {key: value for key, value in (POD | attributes).items() if value}
    return publish(code, sentence, staging="", volume_id="csi-0123", volume_context=context)


def holder(code: str, sentence: str, volume_id: str = ATTACHED, **attributes: str) -> Case:
    pod = {"csi.storage.k8s.io/pod.namespace": "lab", "csi.storage.k8s.io/pod.name": "moorage-cdef4567-x7x7x"}
    context = SHARED | pod | {"attachment": "lab/data"} | attributes
    return publish(code, sentence, volume_id=volume_id, volume_context=context)


def on(method: str, code: str, sentence: str, **fields: Any) -> Case:
    """Any other method; {kubelet} in a field stands for the directory of the test."""
    service = "Controller" if method in csi.DESCRIPTOR.services_by_name["Controller"].methods_by_name else "Node"
    name = csi.DESCRIPTOR.services_by_name[service].methods_by_name[method].input_type.name

    def make(world: World) -> Message:
        given = {k: v.format(kubelet=world.kubelet) if isinstance(v, str) else v for k, v in fields.items()}
        return getattr(csi, name)(**given)

    return Case(method, make, code, sentence)


def flags(*given: str) -> csi.VolumeCapability:
    return capability(flags=given)


INVALID, MISSING, EXISTS = "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS"
HELD, RANGE, NONE = "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"
FULL = "RESOURCE_EXHAUSTED"
TEAM = {"type": "shared", "csi.storage.k8s.io/pvc/namespace": "team"}
BIG: Mapping[str, str] = {f"key{i}": SECRET * 40 for i in range(20)}

CASES = [
    create(INVALID, "name is required", name=""),
    create(INVALID, "volume_capabilities is required", volume_capabilities=[]),
    create(
        INVALID, "Moorage volumes are file systems: use volumeMode Filesystem, not Block", volume_capabilities=[BLOCK],
    ),
    create(
        INVALID, "volume_capability.access_mode is required, as one of the modes of the CSI spec",
        volume_capabilities=[MODELESS],
    ),
    create(
        INVALID, "volume_capability.access_mode is required, as one of the modes of the CSI spec",
        volume_capabilities=[STRANGE],
    ),
    create(INVALID, "volume_capability must say mount", volume_capabilities=[TYPELESS]),
    create(INVALID, "fsType 'ext4' is not offered: leave it out", volume_capabilities=[capability(), EXT4]),
    create(
        INVALID, "NFS mount option 'exec' is not among those that Moorage allows", volume_capabilities=[flags("exec")],
    ),
    create(
        INVALID, "NFS mount option 'password' is not among those that Moorage allows",
        volume_capabilities=[flags(f"password={SECRET}")],
    ),
    create(
        INVALID, "NFS mount option 'vers=3' is not among those that Moorage allows",
        volume_capabilities=[flags("vers=3")],
    ),
    create(
        INVALID, "volume_mount_group 'root' is not a numeric group id", volume_capabilities=[capability(group="root")],
    ),
    create(INVALID, "name has 129 bytes; the CSI spec allows 128", name="x" * 129),
    create(INVALID, "name has control characters, which the CSI spec bans", name="pvc\x07"),
    create(INVALID, "parameters has 5690 bytes; the CSI spec allows 4096", parameters=BIG),
    create(
        INVALID, "StorageClass parameters secretKey are not known; allowed: type, backend, squash, onDelete, "
        "rootMode, rootUid, rootGid", parameters={"type": "shared", "secretKey": SECRET},
    ),
    create(INVALID, "StorageClass parameter type is ''; write one of shared, object, local", parameters={}),
    create(
        INVALID, "StorageClass parameter type is 'fast'; write one of shared, object, local",
        parameters={"type": "fast"},
    ),
    create(
        INVALID, "StorageClass parameter squash is 'root'; write None, Root or All",
        parameters={"type": "shared", "squash": "root"},
    ),
    create(
        INVALID, "StorageClass parameter rootMode is '0888'; write an octal mode, such as 0770 or 2775",
        parameters={"type": "shared", "rootMode": "0888"},
    ),
    create(
        INVALID, "StorageClass parameter rootUid is '-1'; write the number of a user",
        parameters={"type": "shared", "rootUid": "-1"},
    ),
    create(
        INVALID, "StorageClass parameter rootGid is '4294967295'; write the number of a group",
        parameters={"type": "shared", "rootGid": "4294967295"},
    ),
    create(
        INVALID, "StorageClass parameter squash is not for type local: leave it out",
        parameters={"type": "local", "squash": "Root"},
    ),
    create(
        INVALID, "a local volume is on one node: use accessModes ReadWriteOnce or ReadWriteOncePod, or a shared volume",
        parameters={"type": "local"},
    ),
    create(
        INVALID, "local mount option 'noatime' is not among those that Moorage allows", parameters={"type": "local"},
        volume_capabilities=[capability("SINGLE_NODE_WRITER", ("noatime",))],
    ),
    create(
        INVALID, "parameter backend '../x' is not a name: lowercase letters, digits and hyphens",
        parameters={"type": "shared", "backend": "../x"},
    ),
    create(
        INVALID, "parameter csi.storage.k8s.io/pvc/namespace 'a/../kube-system' is not a name: lowercase letters, "
        "digits and hyphens", parameters={"type": "shared", "csi.storage.k8s.io/pvc/namespace": "a/../kube-system"},
    ),
    create(RANGE, "a capacity cannot be negative", capacity_range=_range(-1)),
    create(RANGE, "required_bytes 2147483648 is more than limit_bytes 1073741824", capacity_range=_range(2 * GIB, GIB)),
    create(
        RANGE, "limit_bytes 1048576 is too small: a volume has whole MiB and at least 268435456 bytes",
        capacity_range=_range(1, MIB),
    ),
    create(RANGE, "required_bytes 4611686018427387904 is more than any volume can have", capacity_range=_range(2**62)),
    create(
        INVALID, "volume_content_source names neither a snapshot nor a volume: name one of them",
        volume_content_source=csi.VolumeContentSource(),
    ),
    create(
        INVALID, "no parameter of a volume can be changed later: leave volumeAttributesClassName out",
        mutable_parameters={"iops": "5"},
    ),
    create(
        INVALID, "topology key topology.kubernetes.io/zone is not known in allowedTopologies; allowed: "
        "topology.moorage.dev/node",
        accessibility_requirements=ZONE,
    ),
    create(
        EXISTS, "StorageVolume team/data exists with 1073741824 bytes, which is not the capacity asked for",
        name="data", capacity_range=_range(2 * GIB),
        parameters={"type": "shared", "csi.storage.k8s.io/pvc/namespace": "team"},
    ),
    create(
        EXISTS, "StorageVolume team/mine exists and was not made by this claim: rename one of them", name="mine",
        parameters={"type": "shared", "csi.storage.k8s.io/pvc/namespace": "team"},
    ),
    create(
        EXISTS, "StorageVolume team/data exists with another type or backend", name="data",
        parameters={"type": "object", "csi.storage.k8s.io/pvc/namespace": "team"},
    ),
    create(
        MISSING, "snapshot team/data/older234 does not exist", volume_content_source=_snapshot("team/data/older234"),
        parameters=TEAM,
    ),
    create(
        MISSING, "snapshot id '../../x' is not of the form namespace/name/id",
        volume_content_source=_snapshot("../../x"), parameters=TEAM,
    ),
    create(
        MISSING, "volume team/gone/abcd2345 does not exist", volume_content_source=_clone("team/gone/abcd2345"),
        parameters=TEAM,
    ),
    create(
        INVALID, "the volume team/data/abcd2345 is of another namespace than the claim (rivals): claim a volume where "
        "the source is", volume_content_source=_clone(ID),
        parameters=TEAM | {"csi.storage.k8s.io/pvc/namespace": "rivals"},
    ),
    create(
        INVALID, "team/data/abcd2345-cdef4567 is of a StorageAttachment: only the volume's own claim can be cloned",
        volume_content_source=_clone(ATTACHED), parameters=TEAM,
    ),
    create(
        INVALID, "a volume of type object begins empty: leave dataSource out, or use type shared",
        volume_content_source=_clone(ID), parameters=TEAM | {"type": "object"},
    ),
    create(
        RANGE, "required_bytes 536870912 is less than the 1073741824 of the source: ask for as much",
        volume_content_source=_clone(ID), parameters=TEAM, capacity_range=_range(512 * MIB),
    ),
    create(
        "UNAVAILABLE", "volume team/late/efgh6789 is not ready yet: the share is being made",
        volume_content_source=_clone("team/late/efgh6789"), parameters=TEAM,
    ),
    create(
        FULL, "no node has the label topology.moorage.dev/node=gone: is the node plugin running there?",
        volume_capabilities=[capability("SINGLE_NODE_WRITER")], parameters={"type": "local"},
        accessibility_requirements=csi.TopologyRequirement(preferred=[topology.of("gone")]),
    ),
    snap(INVALID, "name is required", name=""),
    snap(INVALID, "source_volume_id is required", source_volume_id=""),
    snap(INVALID, "name has control characters, which the CSI spec bans", name="a\x07"),
    snap(INVALID, "name has 129 bytes; the CSI spec allows 128", name="x" * 129),
    snap(
        INVALID, "VolumeSnapshotClass parameters secretKey are not known: leave them out",
        parameters={"secretKey": SECRET},
    ),
    snap(INVALID, "secrets has 5690 bytes; the CSI spec allows 4096", secrets=BIG),
    snap(MISSING, "volume team/data/older234 does not exist", source_volume_id="team/data/older234"),
    snap(MISSING, "volume id '../../x' is not of the form namespace/name/id", source_volume_id="../../x"),
    snap(
        INVALID, "team/data/abcd2345-cdef4567 is of a StorageAttachment: only the volume's own claim can be kept so",
        source_volume_id=ATTACHED,
    ),
    snap(
        INVALID, "team/files/hijk2345 is of type object: only shared volumes have snapshots",
        source_volume_id="team/files/hijk2345",
    ),
    snap(
        EXISTS, "StorageSnapshot team/kept exists, of volume team/more/bcde3456", name="kept",
    ),
    snap(EXISTS, "StorageSnapshot team/hand exists and was not made by this request: rename one", name="hand"),
    snap(
        "ABORTED", "StorageSnapshot team/going of an earlier request is still being deleted", name="going",
    ),
    on("DeleteSnapshot", INVALID, "snapshot_id is required"),
    on("DeleteSnapshot", INVALID, "snapshot_id has 129 bytes; the CSI spec allows 128", snapshot_id="x" * 129),
    on("GetSnapshot", INVALID, "snapshot_id is required"),
    on("GetSnapshot", MISSING, "snapshot team/kept/older234 does not exist", snapshot_id="team/kept/older234"),
    on(
        "GetSnapshot", MISSING, "snapshot id 'team/kept/abcd2345-x' is not of the form namespace/name/id",
        snapshot_id="team/kept/abcd2345-x",
    ),
    on("ListSnapshots", INVALID, "max_entries -1 is negative", max_entries=-1),
    on("ListSnapshots", INVALID, "max_entries -1 is negative", max_entries=-1, snapshot_id="team/kept/x"),
    on(
        "ListSnapshots", "ABORTED", "starting_token is not valid, or not any more: begin again without one",
        starting_token="invalid-token",
    ),
    on(
        "GetCapacity", INVALID, "topology key zone is not known in allowedTopologies; allowed: "
        "topology.moorage.dev/node", accessible_topology=csi.Topology(segments={"zone": "a"}),
    ),
    on("DeleteVolume", INVALID, "volume_id is required"),
    on("DeleteVolume", INVALID, "volume_id has 129 bytes; the CSI spec allows 128", volume_id="x" * 129),
    on("DeleteVolume", INVALID, "secrets has 5690 bytes; the CSI spec allows 4096", volume_id=ID, secrets=BIG),
    on(
        "DeleteVolume", HELD,
        "team/data/abcd2345-cdef4567 is of a StorageAttachment: delete that, the volume is not its own",
        volume_id=ATTACHED,
    ),
    expand(INVALID, "volume_id is required", volume_id=""),
    expand(INVALID, "capacity_range is required", capacity_range=None),
    expand(
        INVALID, "capacity_range says nothing: give required_bytes or limit_bytes", capacity_range=csi.CapacityRange(),
    ),
    expand(INVALID, "Moorage volumes are file systems: use volumeMode Filesystem, not Block", volume_capability=BLOCK),
    expand(
        INVALID, "team/data/abcd2345-cdef4567 is of a StorageAttachment: raise spec.size of the StorageVolume instead",
        volume_id=ATTACHED,
    ),
    expand(MISSING, "volume team/data/older234 does not exist", volume_id="team/data/older234"),
    expand(MISSING, "volume id '../../secrets/x' is not of the form namespace/name/id", volume_id="../../secrets/x"),
    expand(
        RANGE, "team/data/abcd2345 has 1073741824 bytes already, more than limit_bytes 536870912",
        capacity_range=_range(limit=512 * MIB),
    ),
    expand(RANGE, "required_bytes 3 is more than limit_bytes 2", capacity_range=_range(3, 2)),
    on("ValidateVolumeCapabilities", INVALID, "volume_id is required", volume_capabilities=[capability()]),
    on("ValidateVolumeCapabilities", INVALID, "volume_capabilities is required", volume_id=ID),
    on(
        "ValidateVolumeCapabilities", MISSING, "volume a/b/c does not exist", volume_id="a/b/c",
        volume_capabilities=[capability()],
    ),
    on("ListVolumes", INVALID, "max_entries -1 is negative", max_entries=-1),
    on(
        "ListVolumes", "ABORTED", "starting_token is not valid, or not any more: begin again without one",
        starting_token="7",
    ),
    on("ControllerGetVolume", INVALID, "volume_id is required"),
    on(
        "ControllerGetVolume", MISSING, "volume id 'nonsense' is not of the form namespace/name/id",
        volume_id="nonsense",
    ),
    on(
        "GetCapacity", INVALID, "StorageClass parameter type is 'fast'; write one of shared, object, local",
        parameters={"type": "fast"},
    ),
    on(
        "GetCapacity", INVALID, "Moorage volumes are file systems: use volumeMode Filesystem, not Block",
        volume_capabilities=[BLOCK],
    ),
    on(
        "ControllerPublishVolume", NONE, "ControllerPublishVolume is not offered by csi.moorage.dev", volume_id=ID,
        node_id="n",
    ),
    on("ControllerModifyVolume", NONE, "ControllerModifyVolume is not offered by csi.moorage.dev", volume_id=ID),
    stage(INVALID, "volume_id is required", volume_id=""),
    stage(INVALID, "staging_target_path is required", path=""),
    stage(INVALID, "volume_capability is required", volume_capability=None),
    stage(
        INVALID, "staging_target_path 'globalmount' must be an absolute path without '.' and '..'", path="globalmount",
    ),
    stage(INVALID, "staging_target_path '/' must be an absolute path without '.' and '..'", path="/"),
    stage(
        INVALID, "staging_target_path '{kubelet}/../etc' must be an absolute path without '.' and '..'",
        path="{kubelet}/../etc",
    ),
    stage(
        INVALID, "staging_target_path has a part of more than 255 bytes, which no file system takes",
        path="/" + "x" * 300,
    ),
    stage(INVALID, "staging_target_path has 4200 bytes; the CSI spec allows 4095", path="/x" * 2100),
    stage(
        INVALID, "{kubelet}/file is a file or a symbolic link, not a directory to mount on", volume_id=OTHER,
        path="{kubelet}/file",
    ),
    stage(
        INVALID, "{kubelet}/file/beneath cannot be made: Not a directory", volume_id=OTHER,
        path="{kubelet}/file/beneath",
    ),
    stage(HELD, "Moorage volumes are file systems: use volumeMode Filesystem, not Block", volume_capability=BLOCK),
    stage(HELD, "fsType 'ext4' is not offered: leave it out", volume_capability=EXT4),
    stage(
        INVALID, "volume_mount_group '1000 x' is not a numeric group id", volume_capability=capability(group="1000 x"),
    ),
    stage(
        INVALID, "volume attributes say type '', mount '': this driver mounts type shared by nfs, type object by "
        "moorfs or s3fs or rclone, and type local; use the claim that the StorageVolume made", volume_context={},
    ),
    stage(
        INVALID, "volume attributes password are not known; allowed: type, mount, server, path, options",
        volume_context=SHARED | {"password": SECRET},
    ),
    stage(
        INVALID, "volume attribute server 'host;reboot' is not a host name or address",
        volume_context=SHARED | {"server": "host;reboot"},
    ),
    stage(
        INVALID, "volume attribute endpoint 'http://***@s3' is not http://host:port or https://host:port",
        volume_context=OBJECT | {"endpoint": f"http://admin:{SECRET}@s3"},
    ),
    stage(INVALID, "volume_context has 5785 bytes; the CSI spec allows 4096", volume_context=SHARED | BIG),
    stage(INVALID, "secrets has 5690 bytes; the CSI spec allows 4096", secrets=BIG),
    stage(
        INVALID, "the Secret of bucket models has no AWS_ACCESS_KEY_ID", volume_id=OTHER,
        path="{kubelet}/pods/new/mount", volume_context=OBJECT, secrets={"AWS_SECRET_ACCESS_KEY": SECRET},
    ),
    stage(
        INVALID, "volume id 'no-handle' is not of the form namespace/name/id", volume_id="no-handle",
        path="{kubelet}/pods/new/mount", volume_context=OBJECT,
    ),
    stage(
        MISSING, "StorageVolume team/more, which the claim was made for, does not exist", volume_id=OTHER,
        path="{kubelet}/pods/new/mount", volume_context=OBJECT,
    ),
    stage(
        EXISTS, "team/data/abcd2345 is staged at {kubelet}/globalmount: unstage it there first",
        path="{kubelet}/pods/new/mount",
    ),
    stage(
        EXISTS, "team/data/abcd2345 is staged at {kubelet}/globalmount with other options: unstage it first",
        volume_capability=flags("noatime"),
    ),
    stage(
        EXISTS, "alien (ramfs) is mounted at {kubelet}/alien, not moorage-nfs-0.moorage.svc.cluster.local:/vol/abc",
        volume_id=OTHER, path="{kubelet}/alien",
    ),
    stage(
        INVALID, "volume attributes path are not known; allowed: type, mount, share",
        volume_context=LOCAL | {"path": "/etc"},
    ),
    stage(
        INVALID, "volume attribute share '../../etc' is not the id of a share",
        volume_context=LOCAL | {"share": "../../etc"},
    ),
    stage(
        HELD, "a local volume is on one node: use accessModes ReadWriteOnce or ReadWriteOncePod, or a shared volume",
        volume_context=LOCAL,
    ),
    stage(
        INVALID, "local mount option 'noatime' is not among those that Moorage allows", volume_id=OTHER,
        path="{kubelet}/pods/new/mount", volume_context=LOCAL,
        volume_capability=capability("SINGLE_NODE_WRITER", ("noatime",)),
    ),
    stage(
        "UNAVAILABLE", "local volume abcd2345 is not mounted on this node (yet): its agent does that; is the pod of "
        "DaemonSet moorage-local running here?",
        volume_id=OTHER, path="{kubelet}/pods/new/mount", volume_context=LOCAL,
        volume_capability=capability("SINGLE_NODE_WRITER"),
    ),
    publish(
        INVALID, "a local volume is always mounted whole: remove mountFrom /sets",
        volume_context=LOCAL | {"mountFrom": "/sets"}, volume_capability=capability("SINGLE_NODE_WRITER"),
    ),
    publish(INVALID, "volume_id is required", volume_id=""),
    publish(INVALID, "target_path is required", path=""),
    publish(INVALID, "volume_capability is required", volume_capability=None),
    publish(
        INVALID, "volume_capability.access_mode is required, as one of the modes of the CSI spec",
        volume_capability=STRANGE,
    ),
    publish(HELD, "Moorage volumes are file systems: use volumeMode Filesystem, not Block", volume_capability=BLOCK),
    publish(
        INVALID, "target_path '{kubelet}/a/../b' must be an absolute path without '.' and '..'",
        path="{kubelet}/a/../b",
    ),
    publish(INVALID, "{kubelet}/file is a file or a symbolic link, not a directory to mount on", path="{kubelet}/file"),
    publish(HELD, "team/data/abcd2345 is not staged at any path: call NodeStageVolume first", staging=""),
    publish(
        HELD, "team/data/abcd2345 is not staged at /nowhere/globalmount: call NodeStageVolume first",
        staging="/nowhere/globalmount",
    ),
    publish(
        INVALID, "staging_target_path 'globalmount' must be an absolute path without '.' and '..'",
        staging="globalmount",
    ),
    publish(
        MISSING, "{kubelet}/globalmount is of volume team/data/abcd2345, not of team/more/bcde3456", volume_id=OTHER,
    ),
    publish(
        HELD, "{kubelet}/globalmount shows 10.0.0.7:/vol/abc, not /vol/other of team/data/abcd2345: unstage that first",
        volume_context=SHARED | {"path": "/vol/other"},
    ),
    publish(
        EXISTS, "team/data/abcd2345 is published at {kubelet}/pods/a/mount in another way (writable, "
        "MULTI_NODE_MULTI_WRITER, folder /): unpublish it", path="{kubelet}/pods/a/mount", readonly=True,
    ),
    publish(
        EXISTS, "team/data/abcd2345 is published at {kubelet}/pods/a/mount in another way (writable, "
        "MULTI_NODE_MULTI_WRITER, folder /): unpublish it", path="{kubelet}/pods/a/mount",
        volume_capability=capability("MULTI_NODE_READER_ONLY"),
    ),
    publish(
        EXISTS, "team/data/abcd2345 is published at {kubelet}/pods/a/mount in another way (writable, "
        "MULTI_NODE_MULTI_WRITER, folder /): unpublish it", path="{kubelet}/pods/a/mount",
        volume_capability=flags("noatime"),
    ),
    publish(
        HELD, "team/data/abcd2345 is published at {kubelet}/pods/a/mount already, and SINGLE_NODE_SINGLE_WRITER "
        "allows one target on a node", volume_capability=capability("SINGLE_NODE_SINGLE_WRITER"),
    ),
    publish(
        HELD, "team/data/abcd2345 is published at {kubelet}/pods/a/mount already, and SINGLE_NODE_WRITER allows "
        "one target on a node", volume_capability=capability("SINGLE_NODE_WRITER"),
    ),
    publish(
        MISSING, "{kubelet}/alien is a mount of type ramfs (alien), not of volume team/data/abcd2345",
        path="{kubelet}/alien",
    ),
    publish(
        INVALID, "mountFrom '/a/../../etc' must be an absolute path without '.' and '..', such as /datasets/imagenet",
        volume_context=SHARED | {"mountFrom": "/a/../../etc"},
    ),
    publish(INVALID, 'readOnly \'1\' is neither "true" nor "false"', volume_context=SHARED | {"readOnly": "1"}),
    publish(
        INVALID, "mountFrom /link is not a plain folder of the volume (Too many levels of symbolic links): no part of "
        "it may be a symbolic link, a file or another mount", volume_context=SHARED | {"mountFrom": "/link"},
    ),
    publish(
        MISSING, "folder /no/such/folder does not exist in the volume: make it first, or correct mountFrom",
        volume_context=SHARED | {"mountFrom": "/no/such/folder"},
    ),
    publish(
        INVALID, "mountAs is for the claim of a StorageAttachment only: leave it out",
        volume_context=SHARED | {"mountAs": "/mnt/data"},
    ),
    holder(
        INVALID, "mountAs is for the claim of a StorageAttachment only: leave it out", volume_id=ID,
        mountAs="/mnt/data",
    ),
    holder(INVALID, "mountAs '/etc' must be a folder directly beneath /mnt, such as /mnt/imagenet", mountAs="/etc"),
    holder(INVALID, "mountAs '/mnt' must be a folder directly beneath /mnt, such as /mnt/imagenet", mountAs="/mnt"),
    holder(
        INVALID, "mountAs '/mnt/../etc' must be a folder directly beneath /mnt, such as /mnt/imagenet",
        mountAs="/mnt/../etc",
    ),
    holder(
        INVALID, "mountAs '/mnt/a/b' must be a folder directly beneath /mnt, such as /mnt/imagenet",
        mountAs="/mnt/a/b",
    ),
    holder(
        INVALID, "mountAs '/mnt/.hidden' must be a folder directly beneath /mnt, such as /mnt/imagenet",
        mountAs="/mnt/.hidden",
    ),
    inline(
        INVALID, "write exactly one of volumeAttributes.volume (a StorageVolume or StorageAttachment) and .bucket (a "
        "Bucket), each in the pod's own namespace",
    ),
    inline(
        INVALID, "write exactly one of volumeAttributes.volume (a StorageVolume or StorageAttachment) and .bucket (a "
        "Bucket), each in the pod's own namespace", volume="data", bucket="models",
    ),
    inline(
        INVALID, "volumeAttributes secretKey are not allowed inline; write volume, bucket, mountFrom, readOnly",
        volume="data", secretKey=SECRET,
    ),
    inline(
        INVALID, "volumeAttributes namespace, server are not allowed inline; write volume, bucket, mountFrom, readOnly",
        volume="data", server="10.0.0.1", namespace="rivals",
    ),
    inline(
        INVALID, "volume '../../../api/v1/secrets' is not the name of a StorageVolume in the pod's namespace",
        volume="../../../api/v1/secrets",
    ),
    inline(
        INVALID, "bucket 'rivals/models' is not the name of a Bucket in the pod's namespace", bucket="rivals/models",
    ),
    inline(
        INVALID, "mountFrom 'sets' must be an absolute path without '.' and '..', such as /datasets/imagenet",
        volume="data", mountFrom="sets",
    ),
    inline(INVALID, 'readOnly \'yes\' is neither "true" nor "false"', volume="data", readOnly="yes"),
    inline(
        INVALID, "volumeAttributes mountAs are not allowed inline; write volume, bucket, mountFrom, readOnly",
        volume="data", mountAs="/mnt/data",
    ),
    inline(
        INVALID, "the kubelet sent no pod namespace: CSIDriver csi.moorage.dev must have podInfoOnMount: true",
        volume="data", **{"csi.storage.k8s.io/pod.namespace": ""},
    ),
    inline(
        MISSING, "StorageVolume team/absent does not exist: make it, correct the name, or make a StorageAttachment of "
        "that name for a volume of another namespace", volume="absent",
    ),
    inline(
        MISSING, "StorageVolume rivals/data does not exist: make it, correct the name, or make a StorageAttachment of "
        "that name for a volume of another namespace", volume="data", **{"csi.storage.k8s.io/pod.namespace": "rivals"},
    ),
    inline(MISSING, "Bucket team/absent does not exist: make it, or correct the name", bucket="absent"),
    inline("UNAVAILABLE", "StorageVolume team/late is PROVISIONING: the share is being made", volume="late"),
    inline("UNAVAILABLE", "StorageAttachment team/waiting is PENDING: volume x does not exist", volume="waiting"),
    inline("UNAVAILABLE", "Bucket team/cold is PENDING: no S3 backend", bucket="cold"),
    inline(
        "PERMISSION_DENIED", "StorageAttachment team/foreign may not have its volume: ask team research",
        volume="foreign",
    ),
    on("NodeUnpublishVolume", INVALID, "volume_id is required", target_path="/x"),
    on("NodeUnpublishVolume", INVALID, "target_path is required", volume_id=ID),
    on(
        "NodeUnpublishVolume", INVALID, "target_path 'x/../y' must be an absolute path without '.' and '..'",
        volume_id=ID, target_path="x/../y",
    ),
    on(
        "NodeUnpublishVolume", MISSING,
        "{kubelet}/pods/a/mount is of volume team/data/abcd2345, not of team/more/bcde3456", volume_id=OTHER,
        target_path="{kubelet}/pods/a/mount",
    ),
    on(
        "NodeUnpublishVolume", MISSING,
        "{kubelet}/alien is a mount of type ramfs (alien), not of volume team/data/abcd2345", volume_id=ID,
        target_path="{kubelet}/alien",
    ),
    on(
        "NodeUnpublishVolume", HELD, "{kubelet}/full is not mounted but cannot be removed: Directory not empty",
        volume_id=ID, target_path="{kubelet}/full",
    ),
    on(
        "NodeUnpublishVolume", HELD, "{kubelet}/file is not mounted but cannot be removed: Not a directory",
        volume_id=ID, target_path="{kubelet}/file",
    ),
    on("NodeUnstageVolume", INVALID, "volume_id is required", staging_target_path="/x"),
    on("NodeUnstageVolume", INVALID, "staging_target_path is required", volume_id=ID),
    on(
        "NodeUnstageVolume", MISSING,
        "{kubelet}/globalmount is of volume team/data/abcd2345, not of team/more/bcde3456", volume_id=OTHER,
        staging_target_path="{kubelet}/globalmount",
    ),
    on(
        "NodeUnstageVolume", MISSING, "/proc is a mount of type proc (proc), not of volume team/more/bcde3456",
        volume_id=OTHER, staging_target_path="/proc",
    ),
    on("NodeGetVolumeStats", INVALID, "volume_id is required", volume_path="/x"),
    on("NodeGetVolumeStats", INVALID, "volume_path is required", volume_id=ID),
    on("NodeGetVolumeStats", MISSING, "team/data/abcd2345 is not mounted at /proc", volume_id=ID, volume_path="/proc"),
    on(
        "NodeGetVolumeStats", MISSING, "team/more/bcde3456 is not mounted at {kubelet}/pods/a/mount", volume_id=OTHER,
        volume_path="{kubelet}/pods/a/mount",
    ),
    on("NodeGetVolumeHealth", INVALID, "volume_id is required"),
    on("NodeGetVolumeHealth", MISSING, "volume team/more/bcde3456 is not on this node", volume_id=OTHER),
    on(
        "NodeGetVolumeHealth", INVALID, "volume_publish_path 'relative' must be an absolute path without '.' and '..'",
        volume_id=ID, volume_publish_path="relative",
    ),
    on("NodeExpandVolume", NONE, "NodeExpandVolume is not offered by csi.moorage.dev", volume_id=ID, volume_path="/x"),
    on("NodeGetStorageHealth", NONE, "NodeGetStorageHealth is not offered by csi.moorage.dev"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case.method}-{n}" for n, case in enumerate(CASES)])
async def test_a_bad_request_gets_its_sentence_and_changes_nothing(
    world: World, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    before = world.state()

    with caplog.at_level(logging.DEBUG):
        answer = await world.call(case.service, case.method, case.make(world))

    assert answer == (case.code, case.sentence.replace("{kubelet}", str(world.kubelet)))
    assert world.state() == before
    assert SECRET not in caplog.text
    # asyncio tells of what garbage of earlier tests had to say, and of gRPC's poller when it woke up for nothing.
    assert [each.getMessage() for each in caplog.records if each.exc_info and each.name != "asyncio"] == []
