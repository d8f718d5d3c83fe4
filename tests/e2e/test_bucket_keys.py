"""Keys of buckets as pods have them: limited to what they shall open, rotated under mounts, revoked at once."""

from typing import Any

from harness import s3
from harness.keypod import keypod, use
from harness.kube import Kube, wait_for
from harness.manifests import API, bucket, by_claim, pod, volume


def key(name: str, namespace: str, access: str, **spec: Any) -> dict[str, Any]:
    buckets = [{"name": "models", "access": access}]
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "BucketKey", "metadata": metadata, "spec": {"buckets": buckets, **spec}}


def test_a_pod_reads_with_a_key_that_can_not_write_until_it_is_revoked(kube: Kube, namespace: str) -> None:
    kube.apply(bucket("models", namespace, emptyOnDelete=True), key("reader", namespace, "ReadOnly"))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.wait_phase("BucketKey", "reader", "READY", namespace)
    own = s3.secret(kube, "models-s3", namespace)
    with s3.client(kube, own) as client:
        client.put_object(Bucket=own["BUCKET"], Key="hello", Body=b"world")
    kube.apply(keypod("p", namespace, "reader-key"))
    kube.wait_pod("p", namespace, timeout=180)

    with_key = use(kube, "p", namespace)
    kube.apply(key("reader", namespace, "ReadOnly", revoked=True))
    wait_for("the key is refused", lambda: use(kube, "p", namespace).startswith("403"), 30)

    assert with_key == "200 world 403"
    assert kube.get("secret", "reader-key", namespace) is None


def test_a_mount_goes_on_when_its_bucket_gets_another_key(kube: Kube, namespace: str, workers: list[str]) -> None:
    spec: dict[str, Any] = {"emptyOnDelete": True, "key": {"overlap": "75s"}}
    kube.apply(bucket("models", namespace, **spec))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.apply(volume("models", namespace, type="object", bucket={"name": "models"}, mounter="moorfs"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    kube.apply(pod("p", by_claim("models"), namespace, workers[0]))
    kube.wait_pod("p", namespace, timeout=180)
    kube.exec("p", "sh", "-c", "echo before > /data/before", namespace=namespace)
    old = s3.secret(kube, "models-s3", namespace)

    kube.apply(bucket("models", namespace, **spec | {"key": {"overlap": "75s", "rotate": "now"}}))
    wait_for("another key", lambda: s3.secret(kube, "models-s3", namespace) != old, 60)

    def refused() -> bool:
        with s3.client(kube, old) as client:
            try:
                client.list_objects_v2(Bucket=old["BUCKET"])
            except client.exceptions.ClientError:
                return True
        return False

    wait_for("the old key is refused", refused, 150, every=2)
    script = "echo after > /data/after && sleep 2 && ls /data && cat /data/before"
    said = kube.exec("p", "sh", "-c", script, namespace=namespace)

    assert said.split() == ["after", "before", "before"]
    new = s3.secret(kube, "models-s3", namespace)
    with s3.client(kube, new) as client:
        assert client.get_object(Bucket=new["BUCKET"], Key="after")["Body"].read() == b"after\n"
