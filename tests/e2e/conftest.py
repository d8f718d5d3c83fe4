"""A cluster with the chart installed (see harness.prepare), and a namespace for each test."""

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from cluster.provider import Provider, choose
from harness.kube import Kube, wait_for


@pytest.fixture(scope="session")
def bed() -> Provider:
    chosen = choose()
    chosen.create()  # returns at once when it is up
    return chosen


@pytest.fixture(scope="session")
def kube(bed: Provider) -> Kube:
    return Kube(bed)


@pytest.fixture(scope="session")
def workers(kube: Kube) -> list[str]:
    """Names of the nodes that ordinary pods may run on; at least two."""
    free = [node for node in kube.items("nodes") if not node["spec"].get("taints")]
    names = sorted(node["metadata"]["name"] for node in free)
    assert len(names) >= 2, f"two worker nodes are needed, found {names}"
    return names


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace of the test's own; afterwards everything in it is deleted, pods first."""
    with fresh_namespace(kube) as name:
        yield name


@pytest.fixture
def elsewhere(kube: Kube, namespace: str) -> Iterator[str]:
    """A second namespace, emptied before the first."""
    with fresh_namespace(kube) as name:
        yield name


@contextmanager
def fresh_namespace(kube: Kube) -> Generator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    kube("create", "namespace", name)
    wait_for("service account", lambda: kube.get("serviceaccount", "default", name), 30)
    yield name
    kube("delete", "storageattachments.moorage.dev", "--all", "-n", name, "--wait=false")
    kube("delete", "pods", "--all", "-n", name, "--wait=true", "--timeout=90s", timeout=100)
    for kind in ("storageattachments.moorage.dev", "pvc", "storagevolumes.moorage.dev", "buckets.moorage.dev"):
        kube("delete", kind, "--all", "-n", name, "--wait=true", "--timeout=90s", timeout=100)
    kube("delete", "namespace", name, "--wait=false")
