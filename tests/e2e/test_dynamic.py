"""Ordinary claims of Moorage's StorageClasses."""

import pytest

from harness.kube import Kube, wait_for
from harness.manifests import by_claim, claim, pod

pytestmark = pytest.mark.light


@pytest.mark.parametrize("storage_class", ["moorage-shared", "moorage-object"])
def test_a_claim_is_bound_used_on_two_nodes_and_takes_its_volume_along(
    kube: Kube, namespace: str, workers: list[str], storage_class: str
) -> None:
    kube.apply(claim("data", storage_class, "256Mi", namespace))
    kube.apply(*(pod(name, by_claim("data"), namespace, node) for name, node in zip("ab", workers, strict=False)))
    for name in "ab":
        kube.wait_pod(name, namespace, timeout=180)
    kube.exec("a", "sh", "-c", "echo shared > /data/file", namespace=namespace)
    assert kube.exec("b", "cat", "/data/file", namespace=namespace) == "shared\n"
    bound = kube.get("pvc", "data", namespace)
    assert bound and bound["status"]["phase"] == "Bound"
    pv = bound["spec"]["volumeName"]

    kube("delete", "pods", "a", "b", "-n", namespace, "--timeout=90s", timeout=100)
    kube.delete("pvc", "data", namespace)

    wait_for("the PersistentVolume goes", lambda: kube.get("pv", pv) is None, 120)
    assert kube.items("StorageVolume", namespace) == []
    assert kube.items("Bucket", namespace) == []


def test_a_claim_grows(kube: Kube, namespace: str) -> None:
    kube.apply(claim("data", "moorage-shared", "256Mi", namespace), pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)

    kube.apply(claim("data", "moorage-shared", "320Mi", namespace))

    def size() -> str:
        return kube.exec("p", "df", "-kP", "/data", namespace=namespace).splitlines()[-1].split()[1]

    wait_for("df grows", lambda: size() == str(320 * 1024), 90)
    wait_for(
        "the claim says so",
        lambda: (kube.get("pvc", "data", namespace) or {})["status"]["capacity"]["storage"] == "320Mi",
        60,
    )
