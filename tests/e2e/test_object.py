"""Buckets and object volumes: S3 tools and mounts see the same objects; a key opens its own bucket only."""

import pytest
from botocore.exceptions import ClientError

from harness import s3
from harness.kube import Kube, wait_for
from harness.manifests import bucket, by_claim, pod, volume

pytestmark = pytest.mark.light


@pytest.fixture
def mounted(kube: Kube, namespace: str) -> str:
    """Bucket `models`, an object volume of it and pod `p` that mounts it; gives the namespace."""
    kube.apply(
        bucket("models", namespace, versioning=True),
        volume("models", namespace, type="object", bucket={"name": "models"}),
    )
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    kube.apply(pod("p", by_claim("models"), namespace))
    kube.wait_pod("p", namespace)
    return namespace


def test_pod_and_boto3_see_the_same_objects(kube: Kube, mounted: str) -> None:
    kube.exec("p", "sh", "-c", "mkdir /data/run1 && echo from-pod > /data/run1/a.txt", namespace=mounted)
    key = s3.secret(kube, "models-s3", mounted)

    with s3.client(kube, key) as client:
        read = client.get_object(Bucket=key["BUCKET"], Key="run1/a.txt")["Body"].read()
        client.put_object(Bucket=key["BUCKET"], Key="run1/b.txt", Body=b"from-boto3\n")

    assert read == b"from-pod\n"
    look = ("p", "sh", "-c", "cat /data/run1/b.txt 2>/dev/null; true")  # names of a folder are believed for a second
    assert wait_for("what boto3 put", lambda: kube.exec(*look, namespace=mounted), 30) == "from-boto3\n"


def test_versions_are_kept(kube: Kube, mounted: str) -> None:
    key = s3.secret(kube, "models-s3", mounted)

    with s3.client(kube, key) as client:
        for body in (b"one", b"two"):
            client.put_object(Bucket=key["BUCKET"], Key="k", Body=body)
        versions = client.list_object_versions(Bucket=key["BUCKET"], Prefix="k")["Versions"]

    assert len(versions) == 2


def test_a_key_opens_its_own_bucket_only(kube: Kube, mounted: str) -> None:
    kube.apply(bucket("other", mounted))
    other = kube.wait_phase("Bucket", "other", "READY", mounted)["status"]["bucketName"]
    key = s3.secret(kube, "models-s3", mounted)

    with s3.client(kube, key) as client:
        with pytest.raises(ClientError) as listed:
            client.list_objects_v2(Bucket=other)
        with pytest.raises(ClientError) as created:
            client.create_bucket(Bucket="mine-too")

    assert listed.value.response["Error"]["Code"] == "AccessDenied"
    assert created.value.response["Error"]["Code"] == "AccessDenied"


def test_a_prefix_is_the_root_of_its_volume(kube: Kube, mounted: str) -> None:
    key = s3.secret(kube, "models-s3", mounted)
    with s3.client(kube, key) as client:
        client.put_object(Bucket=key["BUCKET"], Key="checkpoints/step1", Body=b"1")
        client.put_object(Bucket=key["BUCKET"], Key="secret.txt", Body=b"not here")
    kube.apply(volume("part", mounted, type="object", bucket={"name": "models", "prefix": "checkpoints/"}))
    kube.apply(pod("q", by_claim("part"), mounted))
    kube.wait_pod("q", mounted, timeout=180)

    listed = kube.exec("q", "ls", "/data", namespace=mounted)

    assert listed.split() == ["step1"]


def test_an_object_volume_without_bucket_owns_one_and_takes_it_along(kube: Kube, namespace: str) -> None:
    kube.apply(volume("own", namespace, type="object"))
    kube.wait_phase("StorageVolume", "own", "READY", namespace)
    assert kube.get("Bucket", "own", namespace)

    kube.delete("StorageVolume", "own", namespace)

    wait_for("the bucket goes too", lambda: kube.get("Bucket", "own", namespace) is None, 60)
    wait_for("its Secret goes too", lambda: kube.get("secret", "own-s3", namespace) is None, 60)
