"""The documented life of a volume and of a bucket, as a watcher sees it while real pods come and go."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from harness.kube import KINDS, Kube, wait_for
from harness.manifests import by_claim, inline_bucket, pod, shared, volume

pytestmark = pytest.mark.light


@contextmanager
def watching(kube: Kube, kind: str, name: str, namespace: str) -> Generator["Watch"]:
    """`kubectl get --watch` on one object, which need not exist yet."""
    argv = [*kube.argv, "get", KINDS[kind], "-n", namespace, "--watch", "--field-selector", f"metadata.name={name}"]
    process = subprocess.Popen([*argv, "-o", r"jsonpath={.status.phase}{'\n'}"], stdout=subprocess.PIPE, text=True)
    try:
        yield Watch(process)
    finally:
        process.terminate()
        process.wait(10)


class Watch:
    """The phases that a watcher saw, each change once."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def until(self, last: str) -> list[str]:
        """What was seen up to the phase `last`, which must come."""
        assert self._process.stdout
        seen: list[str] = []
        for line in self._process.stdout:
            phase = line.strip()
            if phase and phase != (seen[-1] if seen else ""):
                seen.append(phase)
            if phase == last:
                return seen
        raise AssertionError(f"the watch ended before {last}; it saw {seen}")


def test_a_shared_volume_goes_through_its_documented_life(kube: Kube, namespace: str) -> None:
    with watching(kube, "StorageVolume", "data", namespace) as watch:
        kube.apply(shared("data", "256Mi", namespace))
        kube("wait", KINDS["StorageVolume"], "data", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
        kube.apply(pod("user", by_claim("data"), namespace))
        kube.wait_pod("user", namespace, timeout=180)
        kube.wait_phase("StorageVolume", "data", "READY", namespace)
        kube("delete", "pod", "user", "-n", namespace, "--timeout=90s", timeout=100)
        kube.wait_phase("StorageVolume", "data", "READY", namespace)
        kube.delete("StorageVolume", "data", namespace)
        seen = watch.until("DESTROYED")

    life = ["PROVISIONING", "READY", "ATTACHING", "READY", "DETACHING", "READY", "DESTROYING", "DESTROYED"]
    assert seen[-len(life) :] == life
    assert set(seen[: -len(life)]) <= {"PENDING"}
    reasons = [event["reason"] for event in kube.events("StorageVolume", "data", namespace)]
    assert [each for each in reasons if each in ("Ready", "Destroying", "Destroyed")][-2:] == [
        "Destroying",
        "Destroyed",
    ]
    assert reasons.count("Destroyed") == reasons.count("Provisioning") == 1


def test_a_bucket_is_attaching_while_a_pod_mounts_it(kube: Kube, namespace: str) -> None:
    with watching(kube, "Bucket", "models", namespace) as watch:
        kube.apply(volume("models", namespace, type="object"))
        kube.wait_phase("Bucket", "models", "READY", namespace)
        kube.apply(pod("user", inline_bucket("models"), namespace))
        kube.wait_pod("user", namespace, timeout=180)
        wait_for("READY", lambda: (kube.get("Bucket", "models", namespace) or {})["status"]["phase"] == "READY", 60)
        attached = (kube.get("Bucket", "models", namespace) or {})["status"]["attached"]
        kube("delete", "pod", "user", "-n", namespace, "--timeout=90s", timeout=100)
        kube.delete("StorageVolume", "models", namespace)
        seen = watch.until("DESTROYED")

    assert attached == 1
    assert [each for each in seen if each in ("ATTACHING", "DETACHING")] == ["ATTACHING", "DETACHING"]
