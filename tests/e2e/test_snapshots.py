"""Snapshots and clones of shared volumes: by our own kinds, and by the ordinary ones of Kubernetes."""

from typing import Any

import pytest

from harness.kube import Kube, condition, wait_for
from harness.manifests import API, by_claim, claim, pod, shared

pytestmark = pytest.mark.light

Object = dict[str, Any]
SUM = "cd /data && find . -type f | sort | xargs md5sum"
FILL = "mkdir -p /data/set && for i in 1 2 3 4 5; do dd if=/dev/urandom of=/data/set/$i bs=1M count=4 conv=fsync; done"


def snapshot(name: str, volume: str, namespace: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "StorageSnapshot", "metadata": metadata, "spec": {"volume": volume}}


def volume_snapshot(name: str, claim_name: str, namespace: str) -> Object:
    spec = {"volumeSnapshotClassName": "moorage-shared", "source": {"persistentVolumeClaimName": claim_name}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": metadata, "spec": spec}


def from_source(name: str, namespace: str, source: Object, size: str = "256Mi") -> Object:
    wanted = claim(name, "moorage-shared", size, namespace)
    wanted["spec"]["dataSource"] = source
    return wanted


def use(kube: Kube, name: str, namespace: str) -> None:
    """A pod of the claim's name."""
    kube.apply(pod(name, by_claim(name), namespace))
    kube.wait_pod(name, namespace, timeout=180)


def sh(kube: Kube, name: str, namespace: str, script: str) -> str:
    return kube.exec(name, "sh", "-c", script, namespace=namespace, timeout=120)


def test_a_snapshot_keeps_the_moment_and_volumes_begin_with_it(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    use(kube, "data", namespace)
    sh(kube, "data", namespace, FILL + " 2>/dev/null")
    then = sh(kube, "data", namespace, SUM)

    kube.apply(snapshot("monday", "data", namespace))
    taken = kube.wait_phase("StorageSnapshot", "monday", "READY", namespace)
    sh(kube, "data", namespace, "rm -r /data/set && echo new > /data/new && sync")
    kube.apply(shared("again", "320Mi", namespace, source={"snapshot": "monday"}))
    kube.wait_phase("StorageVolume", "again", "READY", namespace)
    use(kube, "again", namespace)

    assert taken["status"]["size"] == "256Mi"
    assert sh(kube, "again", namespace, SUM) == then
    size = sh(kube, "again", namespace, "df -kP /data").splitlines()[-1].split()[1]
    assert size == str(320 * 1024)
    assert sh(kube, "data", namespace, "ls /data") == "new\n"


def test_a_clone_and_its_source_go_their_own_ways(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    use(kube, "data", namespace)
    sh(kube, "data", namespace, FILL + " 2>/dev/null")
    then = sh(kube, "data", namespace, SUM)

    kube.apply(shared("copy", "256Mi", namespace, source={"volume": "data"}))
    kube.wait_phase("StorageVolume", "copy", "READY", namespace)
    use(kube, "copy", namespace)
    sh(kube, "data", namespace, "echo changed > /data/set/1 && sync /data/set/1")
    first = sh(kube, "copy", namespace, SUM)
    sh(kube, "copy", namespace, "echo mine > /data/set/2 && sync /data/set/2")

    assert first == then
    assert sh(kube, "data", namespace, "cat /data/set/1") == "changed\n"
    assert sh(kube, "data", namespace, "stat -c %s /data/set/2") == f"{4 * 2**20}\n"


def test_a_snapshot_outlives_its_volume_and_takes_nothing_along(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    use(kube, "data", namespace)
    sh(kube, "data", namespace, "echo kept > /data/file && sync /data/file")
    kube.apply(snapshot("last", "data", namespace))
    kube.wait_phase("StorageSnapshot", "last", "READY", namespace)

    kube("delete", "pod", "data", "-n", namespace, "--timeout=60s", timeout=70)
    kube.delete("StorageVolume", "data", namespace)
    kube.apply(shared("back", "256Mi", namespace, source={"snapshot": "last"}))
    kube.wait_phase("StorageVolume", "back", "READY", namespace)
    kube.delete("StorageSnapshot", "last", namespace)

    use(kube, "back", namespace)
    assert sh(kube, "back", namespace, "cat /data/file") == "kept\n"


def test_what_cannot_be_kept_is_told(kube: Kube, namespace: str) -> None:
    kube.apply(snapshot("none", "nothing", namespace))
    kube.apply(shared("from-none", "256Mi", namespace, source={"snapshot": "nowhere"}))

    missing = kube.wait_phase("StorageSnapshot", "none", "PENDING", namespace)
    waiting = kube.wait_phase("StorageVolume", "from-none", "PENDING", namespace)

    assert "nothing" in condition(missing, "Ready")["message"]
    assert "nowhere" in condition(waiting, "Ready")["message"]


def test_ordinary_snapshots_and_clones_of_claims(kube: Kube, namespace: str) -> None:
    kube.apply(claim("data", "moorage-shared", "256Mi", namespace))
    use(kube, "data", namespace)
    sh(kube, "data", namespace, FILL + " 2>/dev/null")
    then = sh(kube, "data", namespace, SUM)

    kube.apply(volume_snapshot("monday", "data", namespace))
    kind = "volumesnapshots.snapshot.storage.k8s.io"
    wait_for(
        "the snapshot",
        lambda: ((kube.get(kind, "monday", namespace) or {}).get("status") or {}).get("readyToUse"),
        120,
    )
    sh(kube, "data", namespace, "rm -r /data/set && sync")
    group = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "monday"}
    kube.apply(from_source("restored", namespace, group))
    kube.apply(from_source("cloned", namespace, {"kind": "PersistentVolumeClaim", "name": "data"}))
    for name in ("restored", "cloned"):
        use(kube, name, namespace)

    assert sh(kube, "restored", namespace, SUM) == then
    assert sh(kube, "cloned", namespace, "ls /data") == ""
    kube("delete", kind, "monday", "-n", namespace, "--timeout=90s", timeout=100)
    wait_for("its StorageSnapshot goes", lambda: not kube.items("StorageSnapshot", namespace), 90)
