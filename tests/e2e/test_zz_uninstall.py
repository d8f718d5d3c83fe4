"""Last of all: uninstalling never hangs and loses nothing; a new install finds the data; `down` leaves nothing."""

from pathlib import Path

import pytest

from cluster.local import Local, leftovers
from cluster.provider import Provider
from harness.install import install, uninstall
from harness.kube import Kube, wait_for
from harness.manifests import by_claim, pod, shared


def test_uninstall_keeps_data_and_a_new_install_serves_it_again(kube: Kube, bed: Provider) -> None:
    namespace = "t-survivor"
    kube("create", "namespace", namespace)
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)
    kube.exec("p", "sh", "-c", "echo survivor > /data/file && sync /data/file", namespace=namespace)
    kube("delete", "pod", "p", "-n", namespace, "--timeout=90s", timeout=100)

    uninstall(bed)

    kept = kube.get("StorageVolume", "data", namespace)
    assert kept and not kept["metadata"].get("finalizers")
    assert kube.items("csidrivers") == []

    install(bed)
    kube.wait_phase("StorageVolume", "data", "READY", namespace, timeout=180)
    kube.apply(pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace, timeout=180)
    assert kube.exec("p", "cat", "/data/file", namespace=namespace) == "survivor\n"


def test_uninstalled_objects_can_be_deleted_without_an_operator(kube: Kube, bed: Provider) -> None:
    kube.apply(shared("gone", "256Mi"))
    kube.wait_phase("StorageVolume", "gone", "READY")

    uninstall(bed)
    kube.delete("StorageVolume", "gone", timeout=30)

    assert kube.get("StorageVolume", "gone") is None
    wait_for("no pod of ours", lambda: kube.items("pods", "moorage") == [], 120)


def test_down_leaves_nothing(bed: Provider) -> None:
    if not isinstance(bed, Local):
        pytest.skip("only the local provider makes nodes of its own; kind removes its containers")
    state = Path(bed.kubeconfig).parent

    bed.delete()

    assert leftovers() == []
    assert not state.exists()
