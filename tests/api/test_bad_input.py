"""Shared and local volumes, their backends and snapshots: what is accepted, and the sentence for what is not."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from moorage.model import Resource, StorageBackend, StorageSnapshot, StorageVolume

SHARED = {"type": "shared", "size": "500Gi"}
LOCAL = {"type": "local", "size": "500Gi"}
GANESHA = {"namespace": "moorage", "statefulSet": "moorage-nfs"}
FILER = {"server": "filer.example.com", "path": "/export/data", "size": "advisory"}
DISKS = {"namespace": "moorage", "daemonSet": "moorage-local"}
ELSE = "cannot be changed, added or removed after creation"
DNS = "use lowercase letters, digits and hyphens only"
_number = count()


def shared(**changes: Any) -> dict[str, Any]:
    return {**SHARED, **changes}


def local(**changes: Any) -> dict[str, Any]:
    return {**LOCAL, **changes}


def ganesha(spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"engine": {"ganesha": {**GANESHA, **changes}}, **(spec or {})}


def filer(spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    engine = {key: value for key, value in {**FILER, **changes}.items() if value is not None}
    return {"engine": {"nfs": engine}, **(spec or {})}


def disks(spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"engine": {"local": {**DISKS, **changes}}, **(spec or {})}


ACCEPTED: list[tuple[type[Resource], dict[str, Any]]] = [
    (StorageVolume, shared(mountOptions=["vers=4.2", "nconnect=16", "soft", "timeo=50", "rsize=1048576"])),
    (StorageVolume, shared(squash="Root", root={"mode": "2770", "uid": 1000, "gid": 1000})),
    (StorageVolume, shared(root={"mode": "0700"})),
    (StorageVolume, shared(source={"snapshot": "monday"})),
    (StorageVolume, shared(source={"volume": "training-data"})),
    (StorageVolume, shared(adopt="/home/research/imagenet 2012/.cache")),
    (StorageVolume, shared(onDelete="Archive")),
    (StorageVolume, local(node="node-1.example.com", root={"uid": 1000})),
    (StorageSnapshot, {"volume": "training-data"}),
    (StorageBackend, ganesha({"nodeSelector": {"pool": "gpu"}, "mountOptions": ["nconnect=4"]}, overcommit=True)),
    (StorageBackend, filer()),
    (StorageBackend, filer(server="10.0.0.9", path="/", folder="${namespace}/${name}", adopt="/home/${namespace}")),
    (StorageBackend, filer(server="fd00::1", folder="volumes/x-${id}", adopt="/")),
    (StorageBackend, filer({"mountOptions": ["vers=4.2", "hard"]})),
    (StorageBackend, disks({"nodeSelector": {"disk": "nvme"}}, volumeGroup="vg0")),
]

REFUSED: list[tuple[type[Resource], dict[str, Any], str]] = [
    # Sizes.
    (StorageVolume, shared(size="500"), "size must be at least 256Mi: ask for more"),
    (StorageVolume, shared(size="1Ki"), "size must be at least 256Mi: ask for more"),
    (StorageVolume, local(size="1Ki"), "size must be at least 256Mi: ask for more"),
    (StorageVolume, shared(size="0"), "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, shared(size="-500Gi"), "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, shared(size="10Ei"), "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, local(size="10000Pi"), "size must be at most 64Pi: ask for less"),
    (StorageVolume, shared(size=None), "a shared or local volume needs size, such as 500Gi"),
    # Mount options.
    (StorageVolume, shared(mountOptions=["addr=10.0.0.1"]), "write one NFS mount option that Moorage allows"),
    (StorageVolume, shared(mountOptions=["nconnect=17"]), "write one NFS mount option that Moorage allows"),
    (StorageVolume, shared(mountOptions=["vers=3"]), "write one NFS mount option that Moorage allows"),
    (StorageVolume, shared(mountOptions=["hard,exec=/bin/sh"]), "write one NFS mount option that Moorage allows"),
    (StorageVolume, shared(mountOptions=["hard\nsoft"]), "write one NFS mount option that Moorage allows"),
    (StorageVolume, shared(mountOptions=[""]), "write one NFS mount option that Moorage allows"),
    (StorageVolume, shared(mountOptions="hard"), "spec.mountOptions in body must be of type array"),
    (StorageVolume, shared(mountOptions=["hard"] * 17), "Too many: 17: must have at most 16 items"),
    (StorageVolume, local(mountOptions=["hard"]), "remove mountOptions: only a shared volume has it"),
    # The root folder, squash.
    (StorageVolume, shared(root={"mode": "999"}), "write an octal mode, such as 0770 or 2775, in quotes"),
    (StorageVolume, shared(root={"mode": "4755"}), "write an octal mode, such as 0770 or 2775, in quotes"),
    (StorageVolume, shared(root={"mode": "rwx"}), "write an octal mode, such as 0770 or 2775, in quotes"),
    (StorageVolume, shared(root={"mode": 770}), "spec.root.mode in body must be of type string"),
    (StorageVolume, shared(root={"uid": -1}), "spec.root.uid in body should be greater than or equal to 0"),
    (StorageVolume, shared(root={"gid": 2**31}), "spec.root.gid in body should be less than or equal to 2147483647"),
    (
        StorageVolume,
        shared(mounter="s3fs"),
        "remove mounter: only an object volume has it",
    ),
    (StorageVolume, shared(object={}), "remove object: only an object volume has it"),
    (StorageVolume, {"type": "object", "object": {"mode": "rwx"}}, "write an octal mode, such as 0750, in quotes"),
    (StorageVolume, {"type": "object", "object": {"writeback": True}}, "write mounter: moorfs, or remove writeback"),
    (StorageVolume, {"type": "object", "mounter": "s3fs", "object": {"cacheSize": "1Gi"}}, "only they have a cache"),
    (
        StorageVolume,
        {"type": "object", "mounter": "rclone", "object": {"writeback": True}},
        "rclone always writes back",
    ),
    (StorageVolume, {"type": "object", "mounter": "goofys"}, 'supported values: "moorfs", "s3fs", "rclone"'),
    (StorageVolume, {"type": "object", "root": {}}, "remove root: the root of a bucket has no owner and no mode"),
    (StorageVolume, shared(squash="root"), 'supported values: "None", "Root", "All"'),
    (StorageVolume, local(squash="All"), "remove squash: only a shared volume has it"),
    # Where it begins.
    (StorageVolume, shared(source={}), "write exactly one of snapshot (a StorageSnapshot) or volume"),
    (
        StorageVolume,
        shared(source={"snapshot": "monday", "volume": "data"}),
        "write exactly one of snapshot (a StorageSnapshot) or volume",
    ),
    (StorageVolume, shared(source={"snapshot": "Monday"}), DNS),
    (StorageVolume, shared(source={"volume": "research/data"}), DNS),
    (StorageVolume, local(source={"volume": "data"}), "remove source: only a shared volume has it"),
    (
        StorageVolume,
        shared(source={"volume": "data"}, adopt="7f3k9x2a"),
        "remove source or adopt: a volume begins with one of them",
    ),
    (StorageVolume, shared(adopt="/home/../etc"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="/home/./x"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="/home//x"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="/"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="/home/x/"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="home/x"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="/home/a\nb"), "or a folder of the filer, such as /home/research/imagenet"),
    (StorageVolume, shared(adopt="/" + "x" * 512), "spec.adopt: Too long"),
    # Where it lives.
    (StorageVolume, shared(node="node-1"), "remove node: only a local volume lives on one"),
    (StorageVolume, local(node="Node_1"), "write the name of a Node"),
    (StorageVolume, local(node=""), "write the name of a Node"),
    (StorageVolume, local(onDelete="Archive"), "onDelete: Archive is for shared volumes: write Delete or Retain"),
    # Snapshots.
    (StorageSnapshot, {}, "spec.volume: Required value"),
    (StorageSnapshot, {"volume": ""}, DNS),
    (StorageSnapshot, {"volume": "research/data"}, DNS),
    (StorageSnapshot, {"volume": "v" * 47}, "spec.volume: Too long"),
    # Backends.
    (StorageBackend, {"engine": {"ganesha": GANESHA, "nfs": FILER}}, "write exactly one engine block: ganesha or nfs"),
    (StorageBackend, {"engine": {}}, "write exactly one engine block: ganesha or nfs"),
    (StorageBackend, filer(size=None), "size: Required value"),
    (StorageBackend, filer(size="enforced"), "write size: advisory, since this filer enforces no size"),
    (StorageBackend, filer(path="export"), "write an absolute path, such as /export/data"),
    (StorageBackend, filer(path="/export/../etc"), "write an absolute path, such as /export/data"),
    (StorageBackend, filer(path="/export/"), "write an absolute path, such as /export/data"),
    (StorageBackend, filer(server="filer:/export"), "write a host name or an IP address"),
    (StorageBackend, filer(server="-o nolock"), "write a host name or an IP address"),
    (StorageBackend, filer(folder="all"), "folder must tell volumes apart: use ${id}, or ${namespace} and ${name}"),
    (StorageBackend, filer(folder="${name}"), "folder must tell volumes apart: use ${id}"),
    (StorageBackend, filer(folder="../${id}"), "write a relative path of names and ${namespace}, ${name} or ${id}"),
    (StorageBackend, filer(folder="/${id}"), "write a relative path of names and ${namespace}, ${name} or ${id}"),
    (StorageBackend, filer(folder="${uid}"), "write a relative path of names and ${namespace}, ${name} or ${id}"),
    (StorageBackend, filer(adopt="home/${name}"), "write / or an absolute path of names and ${namespace}"),
    (StorageBackend, filer(adopt="/home/.."), "write / or an absolute path of names and ${namespace}"),
    (StorageBackend, filer({"mountOptions": ["fsc"]}), "write one NFS mount option that Moorage allows"),
    (StorageBackend, ganesha(overcommit="yes"), "spec.engine.ganesha.overcommit in body must be of type boolean"),
    (StorageBackend, ganesha({"nodeSelector": {}}), "nodeSelector names no label with a value"),
    (StorageBackend, ganesha({"nodeSelector": {"a b": "c"}}), "write labels' keys such as pool or example.com/pool"),
    (StorageBackend, ganesha({"nodeSelector": {"pool": "a b"}}), "write a label's value"),
    (StorageBackend, disks(volumeGroup="/dev/vg0"), "write the name of an LVM volume group"),
    (StorageBackend, disks(volumeGroup="-v"), "write the name of an LVM volume group"),
    (StorageBackend, disks({"mountOptions": ["hard"]}), "remove mountOptions: they are NFS mount options"),
]

CHANGES: list[tuple[type[Resource], dict[str, Any], dict[str, Any]]] = [
    (StorageVolume, SHARED, {"squash": "Root"}),
    (StorageVolume, shared(squash="All"), {"squash": "None"}),
    (StorageVolume, SHARED, {"onDelete": "Archive"}),
    (StorageVolume, LOCAL, {"size": "501Gi"}),
    (StorageBackend, ganesha(), {"mountOptions": ["nconnect=4"]}),
    (StorageBackend, ganesha(), {"engine": {"ganesha": {"overcommit": True}}}),
    (StorageBackend, filer(), {"engine": {"nfs": {"folder": "by-id/${id}", "adopt": "/home"}}}),
]

UNCHANGEABLE: list[tuple[type[Resource], dict[str, Any], dict[str, Any], str]] = [
    (StorageVolume, LOCAL, {"size": "499Gi"}, "size only grows: for less, make a smaller StorageVolume and copy"),
    (StorageVolume, LOCAL, {"type": "shared"}, "type cannot be changed after creation"),
    (StorageVolume, LOCAL, {"backend": "other"}, f"backend {ELSE}"),
    (StorageVolume, LOCAL, {"node": "node-1"}, f"node {ELSE}"),
    (StorageVolume, local(node="node-1"), {"node": "node-2"}, f"node {ELSE}"),
    (StorageVolume, local(node="node-1"), {"node": None}, f"node {ELSE}"),
    (StorageVolume, LOCAL, {"onDelete": "Archive"}, "onDelete: Archive is for shared volumes"),
    (StorageVolume, SHARED, {"source": {"volume": "data"}}, f"source {ELSE}"),
    (StorageVolume, shared(source={"volume": "a"}), {"source": {"volume": "b"}}, f"source {ELSE}"),
    (StorageVolume, shared(source={"volume": "a"}), {"source": None}, f"source {ELSE}"),
    (StorageVolume, SHARED, {"root": {"mode": "0700"}}, f"root {ELSE}"),
    (StorageVolume, shared(root={"mode": "0700"}), {"root": {"mode": "0770"}}, f"root {ELSE}"),
    (StorageVolume, SHARED, {"mountOptions": ["hard"]}, "mountOptions cannot be changed after creation"),
    (StorageVolume, shared(mountOptions=["hard"]), {"mountOptions": None}, "mountOptions cannot be changed"),
    (StorageVolume, SHARED, {"adopt": "/home/x"}, f"adopt {ELSE}"),
    (StorageSnapshot, {"volume": "a"}, {"volume": "b"}, "volume cannot be changed after creation: make another"),
    (StorageBackend, ganesha(), {"nodeSelector": {"pool": "gpu"}}, f"nodeSelector {ELSE}"),
    (StorageBackend, ganesha({"nodeSelector": {"a": "b"}}), {"nodeSelector": {"a": "c"}}, f"nodeSelector {ELSE}"),
    (StorageBackend, ganesha({"nodeSelector": {"a": "b"}}), {"nodeSelector": None}, f"nodeSelector {ELSE}"),
    (StorageBackend, filer(), {"engine": {"nfs": {"server": "other"}}}, "server and path cannot be changed"),
    (StorageBackend, filer(), {"engine": {"nfs": {"path": "/other"}}}, "server and path cannot be changed"),
    (StorageBackend, filer(), {"engine": {"nfs": None, "ganesha": GANESHA}}, "the kind of engine cannot be changed"),
    (StorageBackend, disks(), {"engine": {"local": None, "nfs": FILER}}, "the kind of engine cannot be changed"),
]


def words(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)[:60]


@pytest.mark.parametrize(("kind", "spec"), ACCEPTED, ids=words)
def test_accepts(api: Any, kind: type[Resource], spec: dict[str, Any]) -> None:
    answer = api.create(kind, "x", spec=spec, dry=True)

    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("kind", "spec", "sentence"), REFUSED, ids=words)
def test_refuses_with_a_sentence_that_says_what_to_do(
    api: Any, kind: type[Resource], spec: dict[str, Any], sentence: str
) -> None:
    answer = api.create(kind, "x", spec={key: value for key, value in spec.items() if value is not None}, dry=True)

    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["message"]


def existing(api: Any, kind: type[Resource], spec: dict[str, Any]) -> str:
    name = f"bad-input-{next(_number)}"
    answer = api.create(kind, name, spec=spec)
    assert answer.status_code == 201, answer.text
    return api.path(kind, name)


@pytest.mark.parametrize(("kind", "spec", "change"), CHANGES, ids=words)
def test_accepts_a_change(api: Any, kind: type[Resource], spec: dict[str, Any], change: dict[str, Any]) -> None:
    path = existing(api, kind, spec)

    answer = api.merge(path, {"spec": change})

    assert answer.status_code == 200, answer.text
    api.call("DELETE", path)


@pytest.mark.parametrize(("kind", "spec", "change", "sentence"), UNCHANGEABLE, ids=words)
def test_refuses_a_change_and_keeps_what_is_there(
    api: Any, kind: type[Resource], spec: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    path = existing(api, kind, spec)
    before = api.call("GET", path).json()

    answer = api.merge(path, {"spec": change})

    after = api.call("GET", path).json()
    api.call("DELETE", path)
    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["message"]
    assert after == before
