"""Buckets mounted by moorfs: what is closed is stored; open files outlive moorfs, the mounter and the node plugin."""

import pytest

from harness import s3
from harness.components import pod_on, replace
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import bucket, by_claim, pod, volume
from harness.processes import kill, kill_command

# A file that stays open: each line is written through the descriptor that was opened at the start.
HOLD = (
    "exec 3>>/data/log; i=0; while :; do i=$((i+1)); echo $i >&3 || echo $i >> /tmp/errors; "
    "cat /data/read > /tmp/read || echo read >> /tmp/errors; sleep 0.1; done"
)


@pytest.fixture
def mounted(kube: Kube, namespace: str) -> str:
    """Bucket `models` and its object volume `models` by moorfs; gives the namespace."""
    kube.apply(bucket("models", namespace, emptyOnDelete=True))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.apply(volume("models", namespace, type="object", bucket={"name": "models"}, mounter="moorfs"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    return namespace


def holder(kube: Kube, namespace: str, node: str) -> None:
    """Pod `holder` with a file open for writing and one read again and again."""
    kube.apply(pod("seed", by_claim("models"), namespace, node))
    kube.wait_pod("seed", namespace, timeout=180)
    kube.exec("seed", "sh", "-c", "echo read > /data/read", namespace=namespace)
    kube.apply(pod("holder", by_claim("models"), namespace, node, command=HOLD))
    kube.wait_pod("holder", namespace, timeout=180)


def lines(kube: Kube, namespace: str) -> list[str]:
    return kube.exec("holder", "cat", "/data/log", namespace=namespace, timeout=90).split()


def went_on(kube: Kube, namespace: str, before: int) -> None:
    wait_for("the writer goes on", lambda: len(lines(kube, namespace)) > before + 5, 90)
    after = lines(kube, namespace)
    assert after == [str(i + 1) for i in range(len(after))]
    ok, errors = kube.attempt("exec", "-n", namespace, "holder", "--", "cat", "/tmp/errors")
    assert not ok and "No such file" in errors


def test_what_is_closed_is_stored_and_seen_on_another_node(kube: Kube, mounted: str, workers: list[str]) -> None:
    kube.apply(*(pod(f"p{i}", by_claim("models"), mounted, node) for i, node in enumerate(workers[:2])))
    for name in ("p0", "p1"):
        kube.wait_pod(name, mounted, timeout=180)

    write = "mkdir -p /data/run1 && echo from-p0 > /data/run1/a && chmod 640 /data/run1/a"
    kube.exec("p0", "sh", "-c", write, namespace=mounted)
    key = s3.secret(kube, "models-s3", mounted)
    with s3.client(kube, key) as client:
        stored = client.get_object(Bucket=key["BUCKET"], Key="run1/a")["Body"].read()

    assert stored == b"from-p0\n"
    assert kube.exec("p1", "cat", "/data/run1/a", namespace=mounted) == "from-p0\n"
    assert kube.exec("p1", "stat", "-c", "%a %s", "/data/run1/a", namespace=mounted) == "640 8\n"


def test_open_files_go_on_when_moorfs_is_killed(kube: Kube, mounted: str, workers: list[str]) -> None:
    holder(kube, mounted, workers[0])
    before = len(wait_for("first lines", lambda: lines(kube, mounted), 60))

    kill_command(kube, pod_on(kube, "mounter", workers[0]), "moorfs", NAMESPACE)

    went_on(kube, mounted, before)


def test_open_files_go_on_when_the_mounter_is_replaced(kube: Kube, mounted: str, workers: list[str]) -> None:
    """An upgrade of the mounter: the node plugin keeps the connection meanwhile."""
    holder(kube, mounted, workers[0])
    before = len(wait_for("first lines", lambda: lines(kube, mounted), 60))

    replace(kube, "mounter", workers[0])

    went_on(kube, mounted, before)


def test_open_files_go_on_when_node_plugin_and_then_mounter_are_killed(
    kube: Kube, mounted: str, workers: list[str]
) -> None:
    holder(kube, mounted, workers[0])
    before = len(wait_for("first lines", lambda: lines(kube, mounted), 60))

    kube("rollout", "restart", "daemonset/moorage-csi-node", "-n", NAMESPACE)
    kube("rollout", "status", "daemonset/moorage-csi-node", "-n", NAMESPACE, "--timeout=120s", timeout=130)
    replace(kube, "mounter", workers[0])

    went_on(kube, mounted, before)


@pytest.mark.parametrize("how", ["its mounter is replaced", "it is asked to end"])
def test_a_dead_s3fs_mount_is_replaced_in_the_running_container(
    kube: Kube, namespace: str, workers: list[str], how: str
) -> None:
    kube.apply(volume("old", namespace, type="object", mounter="s3fs"))
    kube.wait_phase("StorageVolume", "old", "READY", namespace)
    kube.apply(pod("p", by_claim("old"), namespace, workers[0]))
    kube.wait_pod("p", namespace, timeout=180)
    kube.exec("p", "sh", "-c", "echo stored > /data/file", namespace=namespace)
    before = kube.get("pod", "p", namespace)
    assert before

    if how == "it is asked to end":
        kill(kube, pod_on(kube, "mounter", workers[0]), "s3fs", NAMESPACE, "TERM")
    else:
        replace(kube, "mounter", workers[0])

    def reads() -> bool:
        ok, said = kube.attempt("exec", "-n", namespace, "p", "--", "cat", "/data/file")
        return ok and said == "stored\n"

    wait_for("a good read in the same container", reads, 90)
    kube.exec("p", "sh", "-c", "echo more > /data/file", namespace=namespace)
    after = kube.get("pod", "p", namespace)
    assert after
    states = [each["status"]["containerStatuses"][0] for each in (before, after)]
    assert states[0]["containerID"] == states[1]["containerID"] and states[1]["restartCount"] == 0
    kube.apply(pod("q", by_claim("old"), namespace, workers[1]))
    kube.wait_pod("q", namespace, timeout=180)
    assert kube.exec("q", "cat", "/data/file", namespace=namespace) == "more\n"


def test_a_pod_that_is_not_root_writes_with_its_fsgroup(kube: Kube, mounted: str, workers: list[str]) -> None:
    writer = pod("p", by_claim("models"), mounted, workers[0], user=1000)
    writer["spec"]["securityContext"]["fsGroup"] = 3000
    kube.apply(writer)
    kube.wait_pod("p", mounted, timeout=180)

    script = "echo mine > /data/f && mkdir /data/d && stat -c %g /data/f /data/d"
    said = kube.exec("p", "sh", "-c", script, namespace=mounted)

    assert said.split() == ["3000", "3000"]
