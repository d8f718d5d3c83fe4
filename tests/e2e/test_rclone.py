"""Buckets mounted by rclone: what a pod closed is stored once its volume is unmounted, and the volume tells it."""

import pytest

from harness import s3
from harness.components import pod_on, replace
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import bucket, by_claim, pod, volume
from harness.processes import kill

SECONDS = 180.0
SMALL = 30
# More than can be uploaded in no time, and many small files in folders.
WRITE = (
    f"mkdir -p /data/run1/many && for i in $(seq {SMALL}); do echo small-$i > /data/run1/many/$i; done"
    " && dd if=/dev/zero of=/data/run1/big bs=1M count=32 2>/dev/null && echo end >> /data/run1/big"
)


@pytest.fixture
def mounted(kube: Kube, namespace: str, workers: list[str]) -> str:
    """Bucket `models`, its object volume `models` by rclone, and pod `p` that mounts it; gives the namespace."""
    kube.apply(bucket("models", namespace, emptyOnDelete=True))
    kube.wait_phase("Bucket", "models", "READY", namespace)
    kube.apply(volume("models", namespace, type="object", bucket={"name": "models"}, mounter="rclone"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    kube.apply(pod("p", by_claim("models"), namespace, workers[0]))
    kube.wait_pod("p", namespace, timeout=180)
    return namespace


def stored(kube: Kube, namespace: str, key: str) -> bytes:
    """The object, or nothing while it is not there."""
    secret = s3.secret(kube, "models-s3", namespace)
    with s3.client(kube, secret) as client:
        listed = client.list_objects_v2(Bucket=secret["BUCKET"], Prefix=key).get("Contents", [])
        if key not in [each["Key"] for each in listed]:
            return b""
        return client.get_object(Bucket=secret["BUCKET"], Key=key)["Body"].read()


def small_objects(kube: Kube, namespace: str) -> int:
    secret = s3.secret(kube, "models-s3", namespace)
    with s3.client(kube, secret) as client:
        listed = client.list_objects_v2(Bucket=secret["BUCKET"], Prefix="run1/many/").get("Contents", [])
    return sum(each["Key"].rsplit("/", 1)[1].isdecimal() and each["Size"] > 0 for each in listed)


def all_is_stored(kube: Kube, namespace: str) -> None:
    """Of what WRITE wrote; raises TimedOut."""
    wait_for("the big object", lambda: len(stored(kube, namespace, "run1/big")) == (32 << 20) + 4, SECONDS)
    wait_for("all small objects", lambda: small_objects(kube, namespace) == SMALL, SECONDS)
    assert stored(kube, namespace, f"run1/many/{SMALL}") == b"small-%d\n" % SMALL


def test_what_a_pod_has_closed_is_stored_when_the_pod_has_gone(kube: Kube, mounted: str) -> None:
    kube.exec("p", "sh", "-c", WRITE, namespace=mounted, timeout=SECONDS)

    kube.delete("pod", "p", mounted)

    all_is_stored(kube, mounted)


def test_the_volume_says_that_closed_files_can_be_lost(kube: Kube, mounted: str) -> None:
    found = kube.get("StorageVolume", "models", mounted)

    assert found
    (told,) = [each for each in found["status"]["conditions"] if each["type"] == "CloseIsStored"]
    assert (told["status"], told["reason"]) == ("False", "Writeback")
    assert "before the bucket has the bytes" in told["message"]


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_an_rclone_that_somebody_ends_comes_back_in_the_running_container_with_what_it_had(
    kube: Kube, mounted: str, workers: list[str], signal: str
) -> None:
    kube.exec("p", "sh", "-c", "echo before > /data/before", namespace=mounted)
    wait_for("the first object", lambda: stored(kube, mounted, "before") == b"before\n", SECONDS)

    kill(kube, pod_on(kube, "mounter", workers[0]), "rclone", NAMESPACE, signal)

    def reads() -> bool:
        ok, said = kube.attempt("exec", "-n", mounted, "p", "--", "cat", "/data/before")
        return ok and said == "before\n"

    wait_for("a good read in the same container", reads, SECONDS)
    kube.exec("p", "sh", "-c", "echo after > /data/after", namespace=mounted)
    wait_for("what was written then", lambda: stored(kube, mounted, "after") == b"after\n", SECONDS)


def test_a_mounter_that_is_replaced_loses_nothing_that_was_closed(kube: Kube, mounted: str, workers: list[str]) -> None:
    kube.exec("p", "sh", "-c", WRITE, namespace=mounted, timeout=SECONDS)

    replace(kube, "mounter", workers[0])

    all_is_stored(kube, mounted)
