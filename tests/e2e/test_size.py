"""Sizes keep their word: what is promised is there, what is not there is not promised, and volumes can always grow."""

import json
import os
import subprocess
import sys

import pytest

from harness.install import NAMESPACE, ROOT
from harness.kube import Kube, condition, wait_for
from harness.manifests import by_claim, claim, pod, shared

MIB = 2**20
COUNT = "i=0; while :; do i=$((i+1)); echo $i >> /data/log && sync /data/log || echo $i >> /tmp/errors; done"


def servers(kube: Kube, backend: str = "shared") -> list[dict[str, object]]:
    found = kube.get("storagebackends.moorage.dev", backend)
    return found["status"].get("servers", []) if found else []


def room(kube: Kube) -> int:
    """Bytes of the largest volume that fits on the default backend's roomiest server."""
    return max(int(str(each["freeBytes"])) for each in servers(kube))


def df_kib(kube: Kube, namespace: str, name: str) -> int:
    return int(kube.exec(name, "df", "-kP", "/data", namespace=namespace).splitlines()[-1].split()[1])


def moor(kube: Kube, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as its user has it: with a kubeconfig, and nothing else."""
    path = os.pathsep.join(str(ROOT / each) for each in ("core", "cli"))
    environment = os.environ | {"KUBECONFIG": str(kube.cluster.kubeconfig), "PYTHONPATH": path}
    argv = [sys.executable, "-m", "moorage_cli", *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_volume_that_does_not_fit_says_so_and_is_made_when_there_is_room(kube: Kube, namespace: str) -> None:
    most = room(kube)
    big = (most // MIB - 300) * MIB
    kube.apply(shared("big", str(big), namespace))
    kube.wait_phase("StorageVolume", "big", "READY", namespace, timeout=180)

    kube.apply(shared("late", "512Mi", namespace))
    failed = kube.wait_phase("StorageVolume", "late", "FAILED", namespace)
    kube.delete("StorageVolume", "big", namespace)

    assert condition(failed, "Provisioned")["reason"] == "NoCapacity"
    kube.wait_phase("StorageVolume", "late", "READY", namespace, timeout=120)


@pytest.mark.light
def test_a_full_volume_refuses_the_next_byte_and_loses_none_before_it(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace)

    # Each file is synced and remembered outside of the volume before the next is begun.
    fill = (
        "i=0; while i=$((i+1)); [ $i -lt 100 ] && dd if=/dev/zero of=/data/$i bs=1M count=4 conv=fsync 2>/tmp/said;"
        " do echo $i >> /tmp/kept; done; cat /tmp/said"
    )
    said = kube.exec("p", "sh", "-c", fill, namespace=namespace, timeout=240)

    kept = kube.exec("p", "cat", "/tmp/kept", namespace=namespace).split()
    sizes = kube.exec("p", "sh", "-c", "for i in $(cat /tmp/kept); do stat -c %s /data/$i; done", namespace=namespace)
    assert "No space left on device" in said
    assert len(kept) >= 50
    assert set(sizes.split()) == {str(4 * MIB)}


def test_the_scheduler_is_told_how_much_room_there_is(kube: Kube) -> None:
    def told() -> list[dict[str, str]]:
        found = kube.items("csistoragecapacities", NAMESPACE)
        return [each for each in found if each["storageClassName"] == "moorage-shared" and each.get("capacity")]

    capacities = wait_for("CSIStorageCapacity objects of moorage-shared", told, 150)

    assert all(each.get("maximumVolumeSize") or each["capacity"] for each in capacities)


@pytest.mark.light
@pytest.mark.parametrize("road", ["spec.size", "PersistentVolumeClaim", "moor"])
def test_a_volume_grows_under_a_writer_on_every_road(kube: Kube, namespace: str, road: str) -> None:
    if road == "PersistentVolumeClaim":
        kube.apply(claim("data", "moorage-shared", "256Mi", namespace))
    else:
        kube.apply(shared("data", "256Mi", namespace))
        kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(pod("p", by_claim("data"), namespace, command=COUNT))
    kube.wait_pod("p", namespace, timeout=180)

    if road == "PersistentVolumeClaim":
        kube.apply(claim("data", "moorage-shared", "384Mi", namespace))
    elif road == "moor":
        done = moor(kube, "grow", "data", "384Mi", "-n", namespace)
        assert (done.returncode, done.stderr) == (0, "")
    else:
        _resize(kube, namespace, "384Mi")

    wait_for("df grows", lambda: df_kib(kube, namespace, "p") == 384 * 1024, 60)
    lines = kube.exec("p", "cat", "/data/log", namespace=namespace).split()
    ok, errors = kube.attempt("exec", "-n", namespace, "p", "--", "cat", "/tmp/errors")
    assert lines == [str(i + 1) for i in range(len(lines))]
    assert not ok and "No such file" in errors


def _resize(kube: Kube, namespace: str, size: str) -> str:
    patch = json.dumps({"spec": {"size": size}})
    return kube("patch", "storagevolumes.moorage.dev", "data", "-n", namespace, "--type=merge", "-p", patch)


@pytest.mark.light
def test_shrinking_is_refused_on_every_road_with_a_reason(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "512Mi", namespace), claim("own", "moorage-shared", "512Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    wait_for("bound", lambda: (kube.get("pvc", "own", namespace) or {})["status"].get("phase") == "Bound", 120)

    patch = '{"spec":{"size":"256Mi"}}'
    ok, said = kube.attempt("patch", "storagevolumes.moorage.dev", "data", "-n", namespace, "--type=merge", "-p", patch)
    request = '{"spec":{"resources":{"requests":{"storage":"256Mi"}}}}'
    claimed, refused = kube.attempt("patch", "pvc", "own", "-n", namespace, "--type=merge", "-p", request)
    done = moor(kube, "grow", "data", "256Mi", "-n", namespace)

    assert not ok and "size only grows" in said
    assert not claimed and "can not be less than" in refused
    assert done.returncode != 0 and "size only grows" in done.stderr


def test_usage_is_told_by_the_status_and_by_the_kubelet(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(pod("p", by_claim("data"), namespace, workers[0]))
    kube.wait_pod("p", namespace)

    # The files first: less than one per cent of the inodes is told only along with the bytes, or minutes later.
    write = (
        "for i in $(seq 100); do : > /data/$i; done; dd if=/dev/zero of=/data/big bs=1M count=64 conv=fsync 2>/dev/null"
    )
    kube.exec("p", "sh", "-c", write, namespace=namespace, timeout=120)

    def usage() -> dict[str, int] | None:
        seen = (kube.get("StorageVolume", "data", namespace) or {})["status"].get("usage", {})
        return seen if seen.get("usedBytes", 0) >= 64 * MIB and seen.get("inodesUsed", 0) >= 100 else None

    told = wait_for("status.usage", usage, 150)
    assert told["usedBytes"] + told["freeBytes"] == 256 * MIB

    def volume_stats() -> dict[str, int] | None:
        summary = json.loads(kube("get", "--raw", f"/api/v1/nodes/{workers[0]}/proxy/stats/summary"))
        volumes = [v for p in summary["pods"] if p["podRef"]["namespace"] == namespace for v in p.get("volume", ())]
        found = [v for v in volumes if v.get("pvcRef", {}).get("name") == "data"]
        return found[0] if found and found[0].get("usedBytes", 0) >= 64 * MIB else None

    seen = wait_for("the kubelet's figures", volume_stats, 150, every=2)
    assert seen["capacityBytes"] == 256 * MIB
    assert seen["inodesUsed"] >= 100
