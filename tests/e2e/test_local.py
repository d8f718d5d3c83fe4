"""A node's own disk: the claim goes where its pod goes, has the size that was asked, and stays on that node."""

from typing import Any

import pytest

from harness.install import NAMESPACE
from harness.kube import Kube, condition, wait_for
from harness.manifests import attachment, by_claim, claim, inline, pod, volume

MIB = 1024 * 1024
COUNT = "i=0; while :; do i=$((i+1)); echo $i >> /data/log && sync /data/log || echo $i >> /tmp/errors; sleep 0.2; done"
TOPOLOGY = "topology.moorage.dev/node"


def own(name: str, namespace: str, size: str = "256Mi") -> dict[str, Any]:
    """A claim of a disk of its pod's node."""
    asked = claim(name, "moorage-local", size, namespace)
    return {**asked, "spec": {**asked["spec"], "accessModes": ["ReadWriteOnce"]}}


def df_kib(kube: Kube, namespace: str, name: str) -> int:
    return int(kube.exec(name, "df", "-kP", "/data", namespace=namespace).splitlines()[-1].split()[1])


def node_of(kube: Kube, name: str, namespace: str) -> str:
    found = kube.get("pod", name, namespace)
    assert found
    return found["spec"]["nodeName"]


def told(kube: Kube, kind: str, name: str, namespace: str, words: str) -> bool:
    """Whether an Event of the object has these words as its reason or in its message."""
    found = kube.events(kind, name, namespace)
    return any(words == each["reason"] or words in each["message"] for each in found)


def lines(kube: Kube, namespace: str, name: str = "writer") -> list[str]:
    return kube.exec(name, "cat", "/data/log", namespace=namespace).split()


@pytest.fixture
def writer(kube: Kube, namespace: str, workers: list[str]) -> str:
    """Claim `disk` with pod `writer`, which counts, on the first worker; gives the namespace."""
    kube.apply(own("disk", namespace), pod("writer", by_claim("disk"), namespace, workers[0], command=COUNT))
    kube.wait_pod("writer", namespace, timeout=180)
    wait_for("a first line", lambda: lines(kube, namespace), 60)
    return namespace


@pytest.mark.light
def test_claims_wait_for_their_pods_and_live_on_their_nodes(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(own("a", namespace), own("b", namespace))
    kind, waits = "PersistentVolumeClaim", "WaitForFirstConsumer"
    wait_for("the claim waits", lambda: told(kube, kind, "a", namespace, waits), 60)
    assert kube.items("StorageVolume", namespace) == []

    pairs = list(zip("ab", workers, strict=False))
    kube.apply(*(pod(name, by_claim(name), namespace, node) for name, node in pairs))

    for name, node in pairs:
        kube.wait_pod(name, namespace, timeout=180)
        kube.exec(name, "sh", "-c", f"echo {name} > /data/mine", namespace=namespace)
        assert df_kib(kube, namespace, name) == 256 * 1024
        bound = kube.get("pvc", name, namespace) or {}
        found = kube.get("StorageVolume", bound["spec"]["volumeName"], namespace) or {}
        assert found["status"]["placement"]["server"] == node
        assert list(found["status"]["topology"]) == [TOPOLOGY]
        made = kube.get("pv", bound["spec"]["volumeName"]) or {}
        terms = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert terms[0]["matchExpressions"][0]["key"] == TOPOLOGY


@pytest.mark.light
def test_the_byte_after_the_last_gets_enospc(kube: Kube, namespace: str) -> None:
    kube.apply(own("disk", namespace), pod("p", by_claim("disk"), namespace))
    kube.wait_pod("p", namespace, timeout=180)

    said = kube.exec(
        "p", "sh", "-c", "dd if=/dev/zero of=/data/big bs=1M count=300 conv=fsync 2>&1; true", namespace=namespace,
        timeout=180,
    )  # fmt: skip

    assert "No space left on device" in said
    written = int(kube.exec("p", "stat", "-c", "%s", "/data/big", namespace=namespace))
    assert 200 * MIB < written <= 256 * MIB


@pytest.mark.light
def test_it_grows_by_its_claim_under_a_writer(kube: Kube, writer: str) -> None:
    kube.apply(own("disk", writer, "384Mi"))

    wait_for("df grows", lambda: df_kib(kube, writer, "writer") == 384 * 1024, 90)
    before = len(lines(kube, writer))
    wait_for("the writer goes on", lambda: len(lines(kube, writer)) > before + 3, 60)
    wait_for(
        "the claim says so",
        lambda: (kube.get("pvc", "disk", writer) or {})["status"]["capacity"]["storage"] == "384Mi",
        60,
    )
    assert lines(kube, writer)[:before] == [str(i + 1) for i in range(before)]


def test_a_pod_follows_its_disk(kube: Kube, writer: str, workers: list[str]) -> None:
    kube.delete("pod", "writer", writer)
    before = workers[0]

    kube.apply(pod("next", by_claim("disk"), writer))
    kube.wait_pod("next", writer, timeout=180)

    assert node_of(kube, "next", writer) == before
    assert lines(kube, writer, "next")[0] == "1"


@pytest.mark.light
def test_only_the_whole_disk_is_mounted(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(volume("disk", namespace, type="local", size="256Mi", node=workers[0]))
    kube.wait_phase("StorageVolume", "disk", "READY", namespace)

    kube.apply(
        attachment("part", "disk", namespace, mountFrom="/sets"),
        pod("p", inline("disk", "/sets"), namespace, workers[0]),
        pod("whole", inline("disk"), namespace, workers[0]),
    )

    refused = kube.wait_phase("StorageAttachment", "part", "FAILED", namespace)
    assert condition(refused, "Attached")["reason"] == "MountFromRefused"
    sentence = "a local volume is always mounted whole"
    wait_for("the pod is told", lambda: told(kube, "Pod", "p", namespace, sentence), 120)
    kube.wait_pod("whole", namespace, timeout=180)


@pytest.mark.parametrize("component", ["csi-node", "local"])
def test_a_writer_does_not_notice_that_our_pods_are_replaced(kube: Kube, writer: str, component: str) -> None:
    before = len(lines(kube, writer))
    label = f"app.kubernetes.io/component={component}"

    kube("delete", "pods", "-n", NAMESPACE, "-l", label, "--timeout=120s", timeout=130)
    kube("rollout", "status", f"daemonset/moorage-{component}", "-n", NAMESPACE, "--timeout=120s", timeout=130)

    wait_for("the writer goes on", lambda: len(lines(kube, writer)) > before + 3, 60)
    after = lines(kube, writer)
    assert after == [str(i + 1) for i in range(len(after))]
    ok, errors = kube.attempt("exec", "-n", writer, "writer", "--", "cat", "/tmp/errors")
    assert not ok and "No such file" in errors
    kube.apply(own("disk", writer, "320Mi"))
    wait_for("it still grows", lambda: df_kib(kube, writer, "writer") == 320 * 1024, 120)


@pytest.mark.light
def test_a_deleted_claim_takes_its_disk_along(kube: Kube, writer: str) -> None:
    name = (kube.get("pvc", "disk", writer) or {})["spec"]["volumeName"]
    kube.delete("pod", "writer", writer)

    kube.delete("pvc", "disk", writer)

    wait_for("the PersistentVolume goes", lambda: kube.get("pv", name) is None, 120)
    wait_for("the StorageVolume goes", lambda: kube.items("StorageVolume", writer) == [], 60)
