"""Waiting, failing and healing, deleting: the status says what is true, and nobody's data is pulled away."""

import json

import pytest

from harness.kube import Kube, condition, wait_for
from harness.manifests import bucket, by_claim, pod, shared

pytestmark = pytest.mark.light


def ready_condition(kube: Kube, name: str, namespace: str) -> dict[str, str]:
    return condition(kube.get("StorageVolume", name, namespace) or {}, "Ready")


def test_a_backend_that_does_not_exist_is_named_and_the_volume_heals_when_it_comes(kube: Kube, namespace: str) -> None:
    default = next(each for each in kube.items("storagebackends.moorage.dev") if "ganesha" in each["spec"]["engine"])
    kube.apply(shared("data", "256Mi", namespace, backend="late"))
    kube.wait_phase("StorageVolume", "data", "PENDING", namespace)
    waiting = ready_condition(kube, "data", namespace)

    late = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "StorageBackend",
        "metadata": {"name": "late"},
        "spec": {"engine": default["spec"]["engine"]},
    }
    kube.apply(late)
    kube.wait_phase("StorageVolume", "data", "READY", namespace)

    assert "late" in waiting["message"]
    kube.delete("StorageVolume", "data", namespace)
    kube.delete("storagebackends.moorage.dev", "late")


def test_a_full_pool_is_failed_no_capacity_and_heals_by_room(kube: Kube, namespace: str) -> None:
    kube.apply(shared("huge", "900Ti", namespace))

    kube.wait_phase("StorageVolume", "huge", "FAILED", namespace)

    assert "NoCapacity" in json.dumps(kube.get("StorageVolume", "huge", namespace))
    reasons = [event["reason"] for event in kube.events("StorageVolume", "huge", namespace)]
    assert "Failed" in reasons or "NoCapacity" in reasons
    kube.delete("StorageVolume", "huge", namespace)


def test_a_pod_waits_for_a_claim_whose_volume_is_not_ready(kube: Kube, namespace: str) -> None:
    kube.apply(pod("p", by_claim("data"), namespace))
    wait_for(
        "the scheduler says what is missing",
        lambda: [
            e for e in kube.events("Pod", "p", namespace) if 'persistentvolumeclaim "data" not found' in e["message"]
        ],
        60,
    )

    kube.apply(shared("data", "256Mi", namespace))

    kube.wait_pod("p", namespace, timeout=180)


def test_a_volume_in_use_is_not_destroyed_and_the_pod_is_named(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace), pod("user", by_claim("data"), namespace))
    kube.wait_pod("user", namespace, timeout=180)
    kube.exec("user", "sh", "-c", "echo precious > /data/file", namespace=namespace)

    kube.delete("StorageVolume", "data", namespace, wait=False)
    blocked = wait_for(
        "DeletionBlocked",
        lambda: (
            (c := condition(kube.get("StorageVolume", "data", namespace) or {}, "DeletionBlocked"))
            and c["status"] == "True"
            and c
        ),
        60,
    )

    assert f"{namespace}/user" in blocked["message"]
    assert kube.exec("user", "cat", "/data/file", namespace=namespace) == "precious\n"
    kube("delete", "pod", "user", "-n", namespace, "--timeout=90s", timeout=100)
    kube.wait_gone("StorageVolume", "data", namespace)
    assert "Destroyed" in [event["reason"] for event in kube.events("StorageVolume", "data", namespace)]


def test_destroyed_data_does_not_come_back_in_a_volume_of_the_same_name(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace), pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)
    kube.exec("p", "sh", "-c", "echo old > /data/file", namespace=namespace)
    kube("delete", "pod", "p", "-n", namespace, "--timeout=90s", timeout=100)
    pv = (kube.get("pvc", "data", namespace) or {})["spec"]["volumeName"]

    kube.delete("StorageVolume", "data", namespace)
    assert kube.get("pv", pv) is None
    kube.apply(shared("data", "256Mi", namespace), pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)

    assert kube.exec("p", "ls", "/data", namespace=namespace) == ""


def test_a_deleted_bucket_takes_its_key_and_objects_along(kube: Kube, namespace: str) -> None:
    kube.apply(bucket("models", namespace))
    kube.wait_phase("Bucket", "models", "READY", namespace)

    kube.delete("Bucket", "models", namespace)

    assert kube.get("secret", "models-s3", namespace) is None
    assert kube.get("Bucket", "models", namespace) is None
