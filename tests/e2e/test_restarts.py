"""Processes of ours die; nobody who uses a volume notices, and what was begun is finished."""

from harness.components import pods_of
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import by_claim, pod, shared, volume

COUNT = "i=0; while :; do i=$((i+1)); echo $i >> /data/log && sync /data/log || echo $i >> /tmp/errors; sleep 0.2; done"


def test_the_operator_is_killed_in_the_middle_of_a_provisioning(kube: Kube, namespace: str) -> None:
    names = [f"v{i}" for i in range(4)]
    kube.apply(*(shared(name, "256Mi", namespace) for name in names), volume("obj", namespace, type="object"))

    kube("delete", "pods", "-n", NAMESPACE, "--grace-period=0", "--force", "-l", "app.kubernetes.io/component=operator")

    for name in [*names, "obj"]:
        kube.wait_phase("StorageVolume", name, "READY", namespace, timeout=180)


def test_writers_do_not_notice_that_the_csi_node_pods_are_deleted(
    kube: Kube, namespace: str, workers: list[str]
) -> None:
    kube.apply(shared("files", "256Mi", namespace), volume("objects", namespace, type="object"))
    for name in ("files", "objects"):
        kube.wait_phase("StorageVolume", name, "READY", namespace)
    kube.apply(
        *(pod(f"{name}-writer", by_claim(name), namespace, workers[0], command=COUNT) for name in ("files", "objects"))
    )
    for name in ("files", "objects"):
        kube.wait_pod(f"{name}-writer", namespace, timeout=180)

    def lines(name: str) -> list[str]:
        return kube.exec(f"{name}-writer", "cat", "/data/log", namespace=namespace).split()

    before = {name: wait_for("a first line", lambda name=name: lines(name), 60) for name in ("files", "objects")}

    old = set(pods_of(kube, "csi-node"))
    kube("delete", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=csi-node", "--timeout=120s", timeout=130)
    wait_for("new node pods", lambda: len(set(pods_of(kube, "csi-node")) - old) == len(old), 120)
    kube("rollout", "status", "daemonset/moorage-csi-node", "-n", NAMESPACE, "--timeout=120s", timeout=130)

    for name in ("files", "objects"):
        wait_for("the writer goes on", lambda name=name: len(lines(name)) > len(before[name]) + 3, 60)
        after = lines(name)
        assert after == [str(i + 1) for i in range(len(after))]
        ok, errors = kube.attempt("exec", "-n", namespace, f"{name}-writer", "--", "cat", "/tmp/errors")
        assert not ok and "No such file" in errors
    kube.apply(pod("late", by_claim("files"), namespace, workers[0]))
    kube.wait_pod("late", namespace, timeout=180)


def test_the_nfs_server_is_killed_and_writers_go_on(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(shared("files", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "files", "READY", namespace)
    kube.apply(pod("writer", by_claim("files"), namespace, workers[0], command=COUNT))
    kube.wait_pod("writer", namespace, timeout=180)

    kube("delete", "pod", "moorage-nfs-0", "-n", NAMESPACE, "--grace-period=0", "--force")
    kube.wait_pod("moorage-nfs-0", NAMESPACE, timeout=180)

    def lines() -> list[str]:
        return kube.exec("writer", "cat", "/data/log", namespace=namespace, timeout=120).split()

    before = len(lines())
    wait_for("the writer goes on", lambda: len(lines()) > before + 3, 120)
    after = lines()
    assert after == [str(i + 1) for i in range(len(after))]
