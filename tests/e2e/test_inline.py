"""Inline volumes: volume and mount-from in the pod, nothing that names a server, a key or another namespace."""

import pytest

from harness.kube import Kube, condition, wait_for
from harness.manifests import attachment, bucket, by_claim, inline, inline_bucket, pod, shared, volume

pytestmark = pytest.mark.light


def mount_failure(kube: Kube, namespace: str, name: str, text: str) -> str:
    """The pod's FailedMount message that holds `text`."""

    def probe() -> str:
        said = [event["message"] for event in kube.events("Pod", name, namespace) if event["reason"] == "FailedMount"]
        return next((message for message in said if text in message), "")

    return wait_for(f"FailedMount with {text!r}", probe, 120)


def test_mount_from_shows_only_its_folder(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(pod("writer", by_claim("data"), namespace))
    kube.wait_pod("writer", namespace)
    script = "mkdir -p /data/imagenet /data/private && echo cat > /data/imagenet/1.jpg && echo no > /data/private/x"
    kube.exec("writer", "sh", "-c", script, namespace=namespace)

    kube.apply(pod("reader", inline("data", "/imagenet", read_only=True), namespace))
    kube.wait_pod("reader", namespace)

    assert kube.exec("reader", "ls", "/data", namespace=namespace) == "1.jpg\n"
    ok, said = kube.attempt("exec", "-n", namespace, "reader", "--", "touch", "/data/new")
    assert not ok and "Read-only file system" in said


def test_an_object_volume_inline(kube: Kube, namespace: str) -> None:
    kube.apply(volume("models", namespace, type="object"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)

    kube.apply(pod("p", inline("models"), namespace))
    kube.wait_pod("p", namespace, timeout=180)

    assert kube.exec("p", "sh", "-c", "echo 1 > /data/x && cat /data/x", namespace=namespace) == "1\n"


def test_an_absent_volume_is_named_in_an_event_and_the_pod_starts_when_it_comes(kube: Kube, namespace: str) -> None:
    kube.apply(pod("p", inline("late"), namespace))

    said = mount_failure(kube, namespace, "p", "late")
    kube.apply(shared("late", "256Mi", namespace))

    assert f"{namespace}/late" in said
    kube.wait_pod("p", namespace, timeout=240)


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"volume": "data", "mountFrom": "../etc"}, "mountFrom"),
        ({"volume": "data", "server": "10.0.0.1"}, "server"),
        ({"volume": "other-namespace/data"}, "volume"),
        ({"volume": "data", "bucket": "data"}, "bucket"),
        ({"mountFrom": "/data"}, "volume"),
        ({"volume": "data", "readOnly": "maybe"}, "readOnly"),
        ({"bucket": "data", "endpoint": "http://10.0.0.1"}, "endpoint"),
    ],
)
def test_bad_attributes_are_refused_with_a_reason(
    kube: Kube, namespace: str, attributes: dict[str, str], sentence: str
) -> None:
    source = {"csi": {"driver": "csi.moorage.dev", "volumeAttributes": attributes}}

    kube.apply(pod("p", source, namespace))

    assert "InvalidArgument" in mount_failure(kube, namespace, "p", sentence)


def test_a_folder_that_is_not_there_is_an_error_and_never_a_bare_directory(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)

    kube.apply(pod("p", inline("data", "/no/such/folder"), namespace))

    assert "/no/such/folder" in mount_failure(kube, namespace, "p", "/no/such/folder")
    found = kube.get("pod", "p", namespace)
    assert found and found["status"]["phase"] == "Pending"


def test_a_bucket_inline_needs_no_volume(kube: Kube, namespace: str) -> None:
    kube.apply(bucket("models", namespace))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.apply(pod("writer", inline_bucket("models"), namespace))
    kube.wait_pod("writer", namespace, timeout=180)
    kube.exec("writer", "sh", "-c", "mkdir /data/runs && echo 1 > /data/runs/x", namespace=namespace)

    kube.apply(pod("reader", inline_bucket("models", mountFrom="/runs", readOnly="true"), namespace))
    kube.wait_pod("reader", namespace, timeout=180)

    assert kube.exec("reader", "cat", "/data/x", namespace=namespace) == "1\n"
    ok, said = kube.attempt("exec", "-n", namespace, "reader", "--", "touch", "/data/new")
    assert not ok and "Read-only file system" in said
    kube.delete("Bucket", "models", namespace, wait=False)
    held = wait_for("DeletionBlocked", lambda: blocked(kube, "Bucket", "models", namespace), 60)
    assert f"{namespace}/reader" in held and f"{namespace}/writer" in held


def test_a_volume_of_another_namespace_that_is_not_shared_is_named_in_an_event(
    kube: Kube, namespace: str, elsewhere: str
) -> None:
    kube.apply(shared("data", "256Mi", namespace), attachment("theirs", "data", elsewhere, namespace))

    kube.apply(pod("p", inline("theirs"), elsewhere))

    said = mount_failure(kube, elsewhere, "p", "share")
    assert f"{namespace}/data" in said and elsewhere in said


def blocked(kube: Kube, kind: str, name: str, namespace: str) -> str:
    """Who holds an object that is being deleted; empty when nobody does."""
    found = condition(kube.get(kind, name, namespace) or {}, "DeletionBlocked")
    return found["message"] if found.get("status") == "True" else ""
