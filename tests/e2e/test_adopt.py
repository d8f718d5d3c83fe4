"""Data outlives the objects that stood for it: kept, listed, adopted, and nobody else's."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness import s3
from harness.kube import Kube, condition, wait_for
from harness.manifests import bucket, by_claim, pod, shared

pytestmark = pytest.mark.light


def kept(kube: Kube, share: str) -> dict[str, Any]:
    """The entry of a kept share in the status of its server; {} when it is not listed."""
    backends = kube.items("storagebackends.moorage.dev")
    servers = [server for backend in backends for server in backend.get("status", {}).get("servers", [])]
    return next((each for server in servers for each in server.get("kept", []) if each["id"] == share), {})


def write_and_keep(kube: Kube, namespace: str) -> str:
    """A volume `data` with a file, deleted and retained; the id of its share."""
    kube.apply(shared("data", "256Mi", namespace, onDelete="Retain"), pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)
    kube.exec("p", "sh", "-c", "echo precious > /data/file && sync /data/file", namespace=namespace)
    share = (kube.get("StorageVolume", "data", namespace) or {})["status"]["id"]
    kube("delete", "pod", "p", "-n", namespace, "--timeout=90s", timeout=100)
    kube.delete("StorageVolume", "data", namespace)
    wait_for(f"share {share} listed as kept", lambda: kept(kube, share), 60)
    return share


def test_a_kept_share_is_adopted_with_its_data_and_grows(kube: Kube, namespace: str) -> None:
    share = write_and_keep(kube, namespace)
    listed = kept(kube, share)

    kube.apply(shared("again", "512Mi", namespace, adopt=share), pod("q", by_claim("again"), namespace))
    kube.wait_pod("q", namespace, timeout=180)

    assert listed == {"id": share, "namespace": namespace, "name": "data", "sizeBytes": 256 * 2**20}
    assert kube.exec("q", "cat", "/data/file", namespace=namespace) == "precious\n"
    size = int(kube.exec("q", "stat", "-f", "-c", "%b", "/data", namespace=namespace)) * int(
        kube.exec("q", "stat", "-f", "-c", "%S", "/data", namespace=namespace)
    )
    assert size >= 512 * 2**20
    kube.exec("q", "sh", "-c", "echo more >> /data/file", namespace=namespace)
    wait_for("the adopted share is off the list", lambda: not kept(kube, share), 60)


def test_what_cannot_be_adopted_says_why_and_is_adopted_when_it_can(kube: Kube, namespace: str) -> None:
    share = write_and_keep(kube, namespace)
    kube.apply(shared("again", "257Mi", namespace, adopt="zzzzzzzz"))
    missing = kube.wait_phase("StorageVolume", "again", "FAILED", namespace)
    kube.apply(shared("first", "256Mi", namespace, adopt=share))
    kube.wait_phase("StorageVolume", "first", "READY", namespace)
    kube.apply(shared("second", "256Mi", namespace, adopt=share))
    taken = kube.wait_phase("StorageVolume", "second", "FAILED", namespace)

    kube("patch", "sv", "first", "-n", namespace, "--type=merge", "-p", '{"spec":{"onDelete":"Retain"}}')
    kube.delete("StorageVolume", "first", namespace)

    kube.wait_phase("StorageVolume", "second", "READY", namespace, timeout=120)
    assert condition(missing, "Provisioned")["reason"] == "AdoptNotFound"
    assert condition(taken, "Provisioned")["reason"] == "AdoptInUse"
    assert f"StorageVolume {namespace}/first" in condition(taken, "Ready")["message"]
    kube.apply(pod("q", by_claim("second"), namespace))
    kube.wait_pod("q", namespace, timeout=180)
    assert kube.exec("q", "cat", "/data/file", namespace=namespace) == "precious\n"


def test_another_namespace_gets_no_share_that_is_not_its_own(kube: Kube, namespace: str) -> None:
    share = write_and_keep(kube, namespace)
    thief = f"{namespace}-thief"
    kube("create", "namespace", thief)

    kube.apply(shared("mine", "256Mi", thief, adopt=share))
    refused = kube.wait_phase("StorageVolume", "mine", "FAILED", thief)
    kube.delete("StorageVolume", "mine", thief)
    kube("delete", "namespace", thief, "--timeout=90s", timeout=100)

    assert condition(refused, "Provisioned")["reason"] == "AdoptForbidden"
    assert kept(kube, share)
    kube.apply(shared("back", "256Mi", namespace, adopt=share))
    kube.wait_phase("StorageVolume", "back", "READY", namespace)


def test_a_volume_that_was_torn_away_is_kept_and_adopted(kube: Kube, namespace: str) -> None:
    kube.apply(shared("data", "256Mi", namespace), pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)
    kube.exec("p", "sh", "-c", "echo precious > /data/file && sync /data/file", namespace=namespace)
    share = (kube.get("StorageVolume", "data", namespace) or {})["status"]["id"]
    kube("delete", "pod", "p", "-n", namespace, "--timeout=90s", timeout=100)
    # as when an etcd is lost; the operator puts its finalizer back only on what is not being deleted
    kube("-n", "moorage", "scale", "deployment", "moorage-operator", "--replicas=0")
    try:
        wait_for("no operator", lambda: not kube.items("pods", "moorage", "app.kubernetes.io/component=operator"), 90)
        kube("patch", "sv", "data", "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        kube.delete("StorageVolume", "data", namespace)
    finally:
        kube("-n", "moorage", "scale", "deployment", "moorage-operator", "--replicas=1")
    wait_for(f"share {share} listed as kept", lambda: kept(kube, share), 60)

    kube.apply(shared("again", "256Mi", namespace, adopt=share), pod("q", by_claim("again"), namespace))
    kube.wait_pod("q", namespace, timeout=240)

    assert kube.exec("q", "cat", "/data/file", namespace=namespace) == "precious\n"


def test_a_kept_bucket_is_adopted_with_its_objects_by_a_new_key(kube: Kube, namespace: str) -> None:
    kube.apply(bucket("models", namespace, onDelete="Retain"))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    old = s3.secret(kube, "models-s3", namespace)
    with s3.client(kube, old) as client:
        client.put_object(Bucket=old["BUCKET"], Key="k", Body=b"precious")
    kube.delete("Bucket", "models", namespace)

    kube.apply(bucket("again", namespace, adopt=old["BUCKET"]))
    kube.wait_phase("Bucket", "again", "READY", namespace)

    new = s3.secret(kube, "again-s3", namespace)
    with s3.client(kube, new) as client:
        assert client.get_object(Bucket=old["BUCKET"], Key="k")["Body"].read() == b"precious"
    with s3.client(kube, old) as client, pytest.raises(ClientError) as shut:
        client.get_object(Bucket=old["BUCKET"], Key="k")
    assert shut.value.response["Error"]["Code"] == "InvalidAccessKeyId"


def test_a_namespace_goes_with_everything_in_it(kube: Kube, namespace: str) -> None:
    going = f"{namespace}-going"
    kube("create", "namespace", going)
    kube.apply(shared("data", "256Mi", going), bucket("models", going))
    kube.wait_phase("StorageVolume", "data", "READY", going)
    kube.wait_phase("Bucket", "models", "READY", going)

    kube("delete", "namespace", going, "--timeout=120s", timeout=130)

    assert kube.get("namespace", going) is None
