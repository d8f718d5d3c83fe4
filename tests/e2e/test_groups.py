"""A node group with NFS servers of its own: who may use its volumes, where they lie, and what overcommitting means."""

from collections.abc import Iterator

import pytest

from cluster.local import Local
from cluster.provider import Provider
from harness.group import GROUP, MEMBER, SERVERS, node_group
from harness.install import NAMESPACE
from harness.kube import Kube, condition, wait_for
from harness.manifests import attachment, by_claim, claim, inline, pod, shared


@pytest.fixture(scope="module")
def member(bed: Provider, kube: Kube, workers: list[str]) -> Iterator[str]:
    """The one node of the group."""
    if not isinstance(bed, Local):
        pytest.skip("only the local provider has disks that tests can make")
    with node_group(bed, kube, "node1", workers[1]):
        yield workers[1]


def said_of(kube: Kube, name: str, namespace: str, text: str) -> str:
    def probe() -> str:
        said = [event["message"] for event in kube.events("Pod", name, namespace)]
        return next((message for message in said if text in message), "")

    return wait_for(f"pod {name} is told {text!r}", probe, 120)


def test_volumes_of_a_group_are_for_its_nodes_only(kube: Kube, namespace: str, member: str, workers: list[str]) -> None:
    kube.apply(shared("data", "300Mi", namespace, backend=GROUP))
    volume = kube.wait_phase("StorageVolume", "data", "READY", namespace, timeout=120)
    kube.apply(pod("free", by_claim("data"), namespace), pod("outside", by_claim("data"), namespace, workers[0]))
    kube.apply(pod("inside", inline("data"), namespace, member), pod("beside", inline("data"), namespace, workers[0]))

    free = kube.wait_pod("free", namespace)
    kube.wait_pod("inside", namespace)
    kube.exec("free", "sh", "-c", "echo one > /data/file && sync /data/file", namespace=namespace)

    assert free["spec"]["nodeName"] == member
    assert volume["status"]["topology"] == {MEMBER: GROUP}
    assert kube.exec("inside", "cat", "/data/file", namespace=namespace) == "one\n"
    assert "affinity" in said_of(kube, "outside", namespace, "node affinity")
    assert f"{MEMBER}={GROUP}" in said_of(kube, "beside", namespace, MEMBER)


def test_a_claim_of_the_groups_class_takes_its_pod_there(kube: Kube, namespace: str, member: str) -> None:
    kube.apply(claim("data", f"moorage-{GROUP}", "300Mi", namespace), pod("p", by_claim("data"), namespace))

    started = kube.wait_pod("p", namespace, timeout=180)

    assert started["spec"]["nodeName"] == member


@pytest.mark.usefixtures("member")
def test_an_attachment_to_other_nodes_says_so(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(shared("data", "300Mi", namespace, backend=GROUP))
    kube.wait_phase("StorageVolume", "data", "READY", namespace, timeout=120)

    elsewhere = {"selector": {"matchLabels": {"kubernetes.io/hostname": workers[0]}}}
    kube.apply(attachment("away", "data", namespace, nodes=elsewhere))

    waiting = kube.wait_phase("StorageAttachment", "away", "PENDING", namespace)
    assert f"{MEMBER}={GROUP}" in condition(waiting, "Ready")["message"]


@pytest.mark.usefixtures("member")
def test_volumes_go_to_the_server_with_most_room_and_an_overfull_pool_raises_an_alarm(
    kube: Kube, namespace: str
) -> None:
    placed = two_volumes(kube, namespace)
    before = alarm(kube)

    said = [fill(kube, namespace, name) for name in placed]

    assert set(placed.values()) == set(SERVERS)
    assert before != "True"
    assert any("No space left" in text or "I/O error" in text for text in said), said
    wait_for("the alarm", lambda: alarm(kube) == "True", 60)
    for name in placed:
        wait_removed(kube, namespace, name)
        kube("delete", "pod", name, "-n", namespace, "--timeout=60s", timeout=70)
        kube.delete("StorageVolume", name, namespace)
    wait_for("the alarm ends", lambda: alarm(kube) == "False", 120)


@pytest.mark.usefixtures("member")
def test_a_volume_that_shuts_down_on_a_full_pool_comes_back_and_its_files_can_be_removed(
    kube: Kube, namespace: str
) -> None:
    placed = two_volumes(kube, namespace)
    for name in placed:
        fill(kube, namespace, name)

    volume = kube.get("StorageVolume", "two", namespace)
    assert volume
    mount = f"/export/{volume['status']['id']}"
    kube.exec(placed["two"], "xfs_io", "-x", "-c", "shutdown", mount, namespace=NAMESPACE)
    wait_removed(kube, namespace, "two")
    write = ("exec", "two", "-n", namespace, "--", "sh", "-c", "echo one > /data/new && sync /data/new")
    wait_for("there is room for more when it was trimmed", lambda: kube.attempt(*write, timeout=60)[0], 300, every=2)

    assert kube.exec("two", "cat", "/data/new", namespace=namespace) == "one\n"


def two_volumes(kube: Kube, namespace: str) -> dict[str, str]:
    """Volumes of 1 GiB, together more than the disk holds, with pods of their names; the server of each."""
    placed: dict[str, str] = {}
    for name in ("one", "two"):
        kube.apply(shared(name, "1Gi", namespace, backend=GROUP))
        volume = kube.wait_phase("StorageVolume", name, "READY", namespace, timeout=120)
        placed[name] = volume["status"]["placement"]["server"]
    kube.apply(*(pod(name, by_claim(name), namespace) for name in placed))
    for name in placed:
        kube.wait_pod(name, namespace)
    return placed


def fill(kube: Kube, namespace: str, name: str) -> str:
    """720 MiB into the volume, of which the second pod's do not all find room; what was said of it."""
    command = "dd if=/dev/zero of=/data/big bs=1M count=720 conv=fsync 2>&1; true"
    return kube.exec(name, "sh", "-c", command, namespace=namespace, timeout=240)


def wait_removed(kube: Kube, namespace: str, name: str) -> None:
    """Files can be removed on a full pool; where a file system has shut down on it, once that was mounted again."""

    def removed() -> bool:
        return kube.attempt("exec", name, "-n", namespace, "--", "rm", "-f", "/data/big", timeout=60)[0]

    wait_for(f"the file in {name} goes", removed, 180, every=2)


def alarm(kube: Kube) -> str:
    return condition(kube.get("storagebackends.moorage.dev", GROUP) or {}, "CapacityLow").get("status", "")
