"""The S3 server as the chart runs it with TLS: a second one, in a namespace of its own, beside the cluster's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from harness import s3
from harness.install import CHART, helm
from harness.keypod import keypod, use
from harness.kube import Kube, condition, wait_for
from harness.manifests import Object, bucket, by_claim, pod, volume

SERVER = {
    **{"s3.enabled": "true", "s3.tls.enabled": "true", "s3.backend.default": "false"},
    # in place of a disk, see `server`; and the operator is in another namespace than the policy would think
    **{"s3.data.storageClass": "", "s3.data.hostPath": "/nowhere", "s3.networkPolicy": "false"},
    "s3.priorityClassName": "",
}
PARTS = ("s3", "s3tls", "backends", "serviceaccounts")


def server(kube: Kube, namespace: str) -> list[Object]:
    """What the chart makes of its S3 server with TLS, in `namespace`, with a disk that goes with its pod."""
    values = ["--values", str(kube.cluster.values)] if kube.cluster.values else []
    wanted = [word for name, value in SERVER.items() for word in ("--set", f"{name}={value}")]
    shown = [word for part in PARTS for word in ("--show-only", f"templates/{part}.yaml")]
    text = helm(kube.cluster, "template", "moorage", str(CHART), "-n", namespace, *values, *wanted, *shown)
    things: list[Object] = [each for each in yaml.safe_load_all(text) if each and _of_server(each)]
    for each in things:
        if each["kind"] == "StatefulSet":
            volumes: list[Object] = each["spec"]["template"]["spec"]["volumes"]
            volumes[:] = [{"name": "data", "emptyDir": {}} if "hostPath" in one else one for one in volumes]
        if each["kind"] == "StorageBackend":
            each["metadata"]["name"] = f"tls-{namespace}"
    return things


def _of_server(thing: Object) -> bool:
    if thing["kind"] == "StorageBackend":
        return "s3" in thing["spec"]["engine"]
    return thing["metadata"]["name"].startswith("moorage-s3")


@pytest.fixture
def backend(kube: Kube, namespace: str) -> Iterator[str]:
    """The name of a Ready StorageBackend, whose server speaks TLS only."""
    name = f"tls-{namespace}"
    kube.apply(*server(kube, namespace))
    kube("rollout", "status", "statefulset/moorage-s3", "-n", namespace, "--timeout=120s", timeout=130)
    wait_for(f"{name} Ready", lambda: _ready(kube, name), 90)
    yield name
    for kind, which in (("pod", ("p0", "p1", "tool")), ("StorageVolume", ("models",)), ("Bucket", ("models",))):
        for each in which:  # in this order, while there is a server that they can be taken off
            kube.delete(kind, each, namespace)
    kube.delete("StorageBackend", name)
    kube.delete("statefulset", "moorage-s3", namespace)


def _ready(kube: Kube, name: str) -> bool:
    found = kube.get("StorageBackend", name)
    return bool(found) and condition(found or {}, "Ready").get("status") == "True"


def test_tools_and_mounts_use_a_bucket_over_tls(kube: Kube, namespace: str, backend: str, workers: list[str]) -> None:
    spec: dict[str, Any] = {"backend": backend}
    kube.apply(bucket("models", namespace, **spec))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.apply(volume("models", namespace, type="object", bucket={"name": "models"}, mounter="moorfs"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    key = s3.secret(kube, "models-s3", namespace)
    kube.apply(keypod("tool", namespace, "models-s3"))
    kube.apply(*(pod(f"p{i}", by_claim("models"), namespace, node) for i, node in enumerate(workers[:2])))
    for name in ("tool", "p0", "p1"):
        kube.wait_pod(name, namespace, timeout=180)

    write = "printf world > /data/hello && mkdir /data/d && dd if=/dev/zero of=/data/d/big bs=1M count=20"
    kube.exec("p0", "sh", "-c", write, namespace=namespace)
    by_tool = use(kube, "tool", namespace)
    with s3.client(kube, key, namespace) as client:
        listed = client.list_objects_v2(Bucket=key["BUCKET"])["Contents"]
        client.put_object(Bucket=key["BUCKET"], Key="by-boto3", Body=b"from-boto3")

    assert (key["AWS_ENDPOINT_URL"][:8], key["S3_USE_HTTPS"], by_tool) == ("https://", "1", "200 world 200")
    sizes = {each["Key"]: each["Size"] for each in listed if not each["Key"].endswith("/")}
    assert sizes == {"d/big": 20 << 20, "hello": 5, "mine": 1}, json.dumps(sizes)
    assert kube.exec("p1", "cat", "/data/by-boto3", namespace=namespace) == "from-boto3"
    assert kube.exec("p1", "sh", "-c", "cat /data/d/big | wc -c", namespace=namespace).split() == [str(20 << 20)]
