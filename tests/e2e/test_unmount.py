"""The server has gone and somebody writes: pods still end, and the node goes on serving other volumes."""

from collections.abc import Iterator

import pytest

from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import by_claim, pod, shared, volume

WRITE = "while :; do dd if=/dev/zero of=/data/big bs=64k count=64 conv=fsync 2>/dev/null; echo x > /tmp/wrote; done"
# Its first process ends by itself when asked to, with a file open that was never closed: shells close a copy of one
# at each redirection and at each end of a child, which would be an upload.
HOLD = "exec >/data/open; exec 3>/tmp/wrote; echo begun; sleep 1000000"


@pytest.fixture
def no_server(kube: Kube, namespace: str) -> Iterator[None]:
    """Afterwards the NFS server is there again, before the namespace (hence its name here) is emptied."""
    yield
    bring_back(kube, "moorage-nfs")


@pytest.fixture
def no_engine(kube: Kube, namespace: str) -> Iterator[None]:
    """Afterwards the S3 server is there again, before the namespace is emptied."""
    yield
    bring_back(kube, "moorage-s3")


def bring_back(kube: Kube, server: str) -> None:
    kube("scale", f"statefulset/{server}", "-n", NAMESPACE, "--replicas=1")
    kube("rollout", "status", f"statefulset/{server}", "-n", NAMESPACE, "--timeout=180s", timeout=190)


@pytest.mark.usefixtures("no_server")
def test_a_pod_that_writes_ends_and_others_begin_while_the_server_is_gone(
    kube: Kube, namespace: str, workers: list[str]
) -> None:
    kube.apply(shared("files", "256Mi", namespace), volume("objects", namespace, type="object"))
    for name in ("files", "objects"):
        kube.wait_phase("StorageVolume", name, "READY", namespace)
    kube.apply(*(pod(name, by_claim("files"), namespace, workers[0], command=WRITE) for name in ("w1", "w2")))
    for name in ("w1", "w2"):
        kube.wait_pod(name, namespace, timeout=180)
        wait_for("it writes", lambda name=name: kube.exec(name, "ls", "/tmp", namespace=namespace), 60)

    kube("scale", "statefulset/moorage-nfs", "-n", NAMESPACE, "--replicas=0")
    kube.wait_gone("pod", "moorage-nfs-0", NAMESPACE, timeout=120)
    kube("delete", "pods", "w1", "w2", "-n", namespace, "--wait=false")
    kube.apply(pod("other", by_claim("objects"), namespace, workers[0]))

    kube.wait_pod("other", namespace, timeout=120)  # the node plugin serves others meanwhile
    for name in ("w1", "w2"):
        kube.wait_gone("pod", name, namespace, timeout=60)
    # Nothing of the dead mount is left on the node.
    left = kube.cluster.node_exec(workers[0], ["cat", "/proc/mounts"])
    assert [line for line in left.splitlines() if " nfs4 " in line and namespace in line] == []


@pytest.mark.usefixtures("no_server")
def test_what_waits_for_the_server_goes_on_when_it_is_back(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(shared("files", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "files", "READY", namespace)
    kube("scale", "statefulset/moorage-nfs", "-n", NAMESPACE, "--replicas=0")
    kube.wait_gone("pod", "moorage-nfs-0", NAMESPACE, timeout=120)
    kube.apply(pod("early", by_claim("files"), namespace, workers[0]))

    def told() -> list[str]:
        said = [event["message"] for event in kube.events("Pod", "early", namespace)]
        return [each for each in said if "MountVolume" in each]

    assert wait_for("the pod says why it waits", told, 150)
    kube("scale", "statefulset/moorage-nfs", "-n", NAMESPACE, "--replicas=1")

    kube.wait_pod("early", namespace, timeout=240)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("mounter", ["moorfs", "s3fs"])
def test_pods_that_write_objects_end_while_the_engine_is_gone(
    kube: Kube, namespace: str, workers: list[str], mounter: str
) -> None:
    writers = {"writes": WRITE, "holds": HOLD}
    kube.apply(*(volume(name, namespace, type="object", mounter=mounter) for name in writers))
    for name, command in writers.items():
        kube.wait_phase("StorageVolume", name, "READY", namespace)
        kube.apply(pod(name, by_claim(name), namespace, workers[0], command=command))
    for name in writers:
        kube.wait_pod(name, namespace, timeout=180)
        wait_for("it writes", lambda name=name: kube.exec(name, "ls", "/tmp", namespace=namespace), 60)

    kube("scale", "statefulset/moorage-s3", "-n", NAMESPACE, "--replicas=0")
    kube.wait_gone("pod", "moorage-s3-0", NAMESPACE, timeout=120)
    kube("delete", "pods", *writers, "-n", namespace, "--wait=false")

    for name in writers:
        kube.wait_gone("pod", name, namespace, timeout=60)
    left = kube.cluster.node_exec(workers[0], ["cat", "/proc/mounts"])
    assert [line for line in left.splitlines() if "/volumes/kubernetes.io~csi/" in line and "fuse" in line] == []
