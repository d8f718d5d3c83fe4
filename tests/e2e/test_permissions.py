"""Who may write, and in which way a volume is mounted: users, groups, squashing, clients, access modes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness.kube import Kube, wait_for
from harness.manifests import by_claim, claim, pod, shared

Object = dict[str, Any]


def as_user(thing: Object, user: int, group: int | None = None) -> Object:
    """The pod as a user without rights, with an fsGroup if one is given."""
    context: Object = {"runAsUser": user, "runAsGroup": user, "runAsNonRoot": True}
    thing["spec"]["securityContext"] = context | ({"fsGroup": group} if group is not None else {})
    return thing


def mode_claim(name: str, mode: str, namespace: str) -> Object:
    wanted = claim(name, "moorage-shared", "256Mi", namespace)
    wanted["spec"]["accessModes"] = [mode]
    return wanted


def made(kube: Kube, namespace: str, **spec: Any) -> None:
    kube.apply(shared("data", "256Mi", namespace, **spec))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)


@pytest.mark.light
def test_anybody_may_write_unless_the_volume_says_otherwise(kube: Kube, namespace: str) -> None:
    made(kube, namespace)
    kube.apply(as_user(pod("p", by_claim("data"), namespace), 4321))
    kube.wait_pod("p", namespace)

    kube.exec("p", "sh", "-c", "echo mine > /data/file", namespace=namespace)

    assert kube.exec("p", "stat", "-c", "%u:%g", "/data/file", namespace=namespace) == "4321:4321\n"


@pytest.mark.light
def test_owner_and_mode_of_the_root_folder_are_those_asked_for(kube: Kube, namespace: str) -> None:
    made(kube, namespace, root={"mode": "0750", "uid": 1000, "gid": 2000})
    kube.apply(as_user(pod("owner", by_claim("data"), namespace), 1000))
    kube.apply(as_user(pod("stranger", by_claim("data"), namespace), 3000))
    for name in ("owner", "stranger"):
        kube.wait_pod(name, namespace)

    kube.exec("owner", "sh", "-c", "echo mine > /data/file", namespace=namespace)
    ok, said = kube.attempt("exec", "-n", namespace, "stranger", "--", "ls", "/data")

    assert kube.exec("owner", "stat", "-c", "%u:%g %a", "/data", namespace=namespace) == "1000:2000 750\n"
    assert not ok and "Permission denied" in said


@pytest.mark.light
def test_an_fs_group_may_write_and_no_tree_is_walked(kube: Kube, namespace: str) -> None:
    made(kube, namespace, root={"mode": "0755"})
    kube.apply(pod("root", by_claim("data"), namespace))
    kube.wait_pod("root", namespace)
    kube.exec("root", "sh", "-c", "mkdir -p /data/old/deep && echo x > /data/old/deep/file", namespace=namespace)

    kube.apply(as_user(pod("p", by_claim("data"), namespace), 1234, group=5678))
    kube.wait_pod("p", namespace)
    kube.exec("p", "sh", "-c", "echo mine > /data/file && mkdir /data/folder", namespace=namespace)

    seen = kube.exec("p", "stat", "-c", "%u:%g", "/data/file", "/data/folder", namespace=namespace)
    old = kube.exec("p", "stat", "-c", "%u:%g", "/data/old", "/data/old/deep/file", namespace=namespace)
    assert seen.split() == ["1234:5678", "1234:5678"]
    assert old.split() == ["0:0", "0:0"]


@pytest.mark.light
def test_root_is_nobody_on_a_volume_that_squashes_it_and_that_can_be_changed(kube: Kube, namespace: str) -> None:
    made(kube, namespace, squash="Root")
    kube.apply(pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace)
    kube.exec("p", "touch", "/data/squashed", namespace=namespace)

    patch = json.dumps({"spec": {"squash": "None"}})
    kube("patch", "storagevolumes.moorage.dev", "data", "-n", namespace, "--type=merge", "-p", patch)

    def owner_of_a_new_file() -> str:
        script = "rm -f /data/new; touch /data/new; stat -c %u /data/new"
        return kube.exec("p", "sh", "-c", script, namespace=namespace).strip()

    assert kube.exec("p", "stat", "-c", "%u", "/data/squashed", namespace=namespace) == "65534\n"
    wait_for("root is root again", lambda: owner_of_a_new_file() == "0", 60)


def test_mount_options_of_the_volume_are_those_of_the_mount(kube: Kube, namespace: str) -> None:
    made(kube, namespace, mountOptions=["vers=4.2", "rsize=65536", "nconnect=2"])
    kube.apply(pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace)

    mounts = kube.exec("p", "cat", "/proc/mounts", namespace=namespace).splitlines()

    options = next(line.split()[3].split(",") for line in mounts if line.split()[1] == "/data")
    assert {"vers=4.2", "rsize=65536", "nconnect=2", "hard"} <= set(options)


@pytest.fixture
def stranger(kube: Kube) -> Iterator[str]:
    """A Node that joins and leaves: nothing runs on it, its address is all there is."""
    address = "10.88.0.77"
    kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "stranger"}, "spec": {"unschedulable": True}})
    status = {"status": {"addresses": [{"type": "InternalIP", "address": address}]}}
    kube("patch", "node", "stranger", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    yield address
    kube("delete", "node", "stranger", "--ignore-not-found")


def test_exports_admit_the_nodes_and_follow_them(kube: Kube, namespace: str, stranger: str) -> None:
    made(kube, namespace)
    volume = kube.get("StorageVolume", "data", namespace)
    assert volume
    number = volume["status"]["share"]["exportId"]

    def clients() -> str:
        return kube.exec("moorage-nfs-0", "sh", "-c", SHOW.format(number), namespace="moorage")

    wait_for("the new node is admitted", lambda: stranger in clients(), 60)
    kube("delete", "node", "stranger")

    wait_for("the node that left is not", lambda: stranger not in clients(), 60)


# What Ganesha itself says, over its bus.
SHOW = (
    "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/moorage/bus dbus-send --system --print-reply --dest=org.ganesha.nfsd"
    " /org/ganesha/nfsd/ExportMgr org.ganesha.nfsd.exportmgr.DisplayExport uint16:{}"
)


@pytest.mark.light
def test_a_claim_for_reading_is_really_read_only(kube: Kube, namespace: str) -> None:
    kube.apply(mode_claim("data", "ReadOnlyMany", namespace), pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)

    ok, said = kube.attempt("exec", "-n", namespace, "p", "--", "touch", "/data/file")

    assert not ok and "Read-only file system" in said


@pytest.mark.light
def test_a_claim_for_one_pod_is_for_one_pod(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(mode_claim("data", "ReadWriteOncePod", namespace))
    kube.apply(pod("first", by_claim("data"), namespace, workers[0]))
    kube.wait_pod("first", namespace, timeout=180)
    kube.apply(pod("second", by_claim("data"), namespace, workers[0]))

    def told() -> list[str]:
        said = [event["message"] for event in kube.events("Pod", "second", namespace)]
        return [each for each in said if "ReadWriteOncePod" in each]

    assert wait_for("the scheduler says why", told, 60)
    kube("delete", "pod", "first", "-n", namespace, "--timeout=60s", timeout=70)
    kube.wait_pod("second", namespace, timeout=120)


@pytest.mark.light
def test_a_claim_for_one_node_serves_several_pods_there(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(mode_claim("data", "ReadWriteOnce", namespace))
    kube.apply(*(pod(name, by_claim("data"), namespace, workers[0]) for name in ("first", "second")))
    for name in ("first", "second"):
        kube.wait_pod(name, namespace, timeout=180)

    kube.exec("first", "sh", "-c", "echo one > /data/file && sync /data/file", namespace=namespace)

    assert kube.exec("second", "cat", "/data/file", namespace=namespace) == "one\n"
