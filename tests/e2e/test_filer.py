"""Engine nfs: volumes on a server that exists already, here a kernel NFS server in a machine of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.filer import Filer, filer
from cluster.provider import Provider
from harness.kube import Kube, condition, wait_for
from harness.manifests import API, by_claim, pod, shared

Object = dict[str, Any]


def backend(name: str, address: str, path: str, **engine: Any) -> Object:
    spec = {"engine": {"nfs": {"server": address, "path": path, "size": "advisory", **engine}}}
    return {"apiVersion": API, "kind": "StorageBackend", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def server(bed: Provider) -> Iterator[Filer]:
    with filer(bed) as found:
        yield found


@pytest.fixture
def filed(kube: Kube, server: Filer, namespace: str) -> Iterator[str]:
    """The name of a StorageBackend on the filer, whose folders `/home/<namespace>` may be adopted."""
    name = f"filer-{namespace}"
    kube.apply(backend(name, server.address, server.path, adopt="/home/${namespace}"))
    wait_for("the backend is Ready", lambda: is_ready(kube, name), 120)
    yield name
    kube("delete", "pods", "--all", "-n", namespace, "--timeout=90s", timeout=100)
    kube("delete", "storagevolumes.moorage.dev", "--all", "-n", namespace, "--timeout=90s", timeout=100)
    kube("delete", "storagebackends.moorage.dev", name, "--timeout=90s", timeout=100)


def is_ready(kube: Kube, name: str) -> bool:
    return condition(kube.get("storagebackends.moorage.dev", name) or {}, "Ready").get("status") == "True"


def test_a_volume_on_a_filer_is_used_on_two_nodes_and_its_size_is_advisory(
    kube: Kube, namespace: str, filed: str, workers: list[str]
) -> None:
    kube.apply(shared("data", "256Mi", namespace, backend=filed))
    volume = kube.wait_phase("StorageVolume", "data", "READY", namespace, timeout=180)
    kube.apply(*(pod(name, by_claim("data"), namespace, node) for name, node in zip("ab", workers, strict=False)))
    for name in "ab":
        kube.wait_pod(name, namespace)

    kube.exec("a", "sh", "-c", "echo hello > /data/file && sync /data/file", namespace=namespace)

    assert kube.exec("b", "cat", "/data/file", namespace=namespace) == "hello\n"
    enforced = condition(volume, "SizeEnforced")
    assert (enforced["status"], enforced["reason"]) == ("False", "Advisory")


@pytest.mark.parametrize(
    ("on_delete", "left"), [("Delete", []), ("Retain", ["data"]), ("Archive", ["archived-data"])], ids=str
)
def test_the_folder_goes_stays_or_is_renamed(
    kube: Kube, server: Filer, namespace: str, on_delete: str, left: list[str]
) -> None:
    name = f"folders-{namespace}"
    kube.apply(backend(name, server.address, server.path, folder="${namespace}/${name}"))
    wait_for("the backend is Ready", lambda: is_ready(kube, name), 120)
    kube.apply(shared("data", "256Mi", namespace, backend=name, onDelete=on_delete))
    kube.wait_phase("StorageVolume", "data", "READY", namespace, timeout=180)
    kube.apply(pod("p", by_claim("data"), namespace))
    kube.wait_pod("p", namespace)
    kube.exec("p", "sh", "-c", "mkdir -p /data/deep/er && echo kept > /data/deep/er/file", namespace=namespace)

    kube("delete", "pod", "p", "-n", namespace, "--timeout=60s", timeout=70)
    kube.delete("StorageVolume", "data", namespace, timeout=150)

    found = server.sh(f"ls {server.root}/{namespace}").split()
    kept = server.sh(f"cat {server.root}/{namespace}/*data/deep/er/file 2>/dev/null || true")
    assert found == left
    assert kept == ("kept\n" if left else "")
    kube("delete", "storagebackends.moorage.dev", name, "--timeout=90s", timeout=100)


def test_a_folder_that_is_there_is_adopted_by_one_volume(kube: Kube, server: Filer, namespace: str, filed: str) -> None:
    home = f"{server.root}/home/{namespace}"
    server.sh(f"mkdir -p {home}/set && echo precious > {home}/set/file && chmod 777 {home}/set")
    first = shared("first", "256Mi", namespace, backend=filed, adopt=f"/home/{namespace}/set", onDelete="Retain")
    kube.apply(first)
    kube.wait_phase("StorageVolume", "first", "READY", namespace, timeout=180)

    kube.apply(shared("second", "256Mi", namespace, backend=filed, adopt=f"/home/{namespace}/set"))
    kube.apply(shared("third", "256Mi", namespace, backend=filed, adopt="/etc"))
    second = kube.wait_phase("StorageVolume", "second", "FAILED", namespace)
    third = kube.wait_phase("StorageVolume", "third", "FAILED", namespace)
    kube.apply(pod("p", by_claim("first"), namespace))
    kube.wait_pod("p", namespace)

    assert kube.exec("p", "cat", "/data/file", namespace=namespace) == "precious\n"
    assert condition(second, "Provisioned")["reason"] == "AdoptInUse"
    assert condition(third, "Provisioned")["reason"] == "AdoptForbidden"


def test_a_filer_that_does_not_answer_or_lacks_the_path_is_told_on_the_backend(
    kube: Kube, server: Filer, namespace: str
) -> None:
    absent, nobody = f"absent-{namespace}", f"nobody-{namespace}"
    kube.apply(backend(absent, server.address, f"{server.path}/no/such/folder"), backend(nobody, "10.88.0.99", "/"))

    def reason(name: str) -> str:
        found = condition(kube.get("storagebackends.moorage.dev", name) or {}, "Ready")
        return found.get("reason", "") if found.get("status") == "False" else ""

    wait_for("the missing path is told", lambda: reason(absent) == "ExportNotFound", 150)
    wait_for("the silent filer is told", lambda: reason(nobody) == "FilerUnreachable", 240)
    kube.apply(shared("data", "256Mi", namespace, backend=nobody))
    waiting = kube.wait_phase("StorageVolume", "data", "PENDING", namespace)
    assert nobody in condition(waiting, "Ready")["message"]

    kube.delete("StorageVolume", "data", namespace)
    for name in (absent, nobody):
        kube("delete", "storagebackends.moorage.dev", name, "--timeout=90s", timeout=100)
