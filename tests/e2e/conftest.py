"""A cluster with the chart installed (see harness.prepare), and a namespace for each test."""

from collections.abc import Iterator

import pytest

from cluster.provider import Provider, choose
from harness.kube import Kube
from harness.namespaces import Leftovers, empty, make


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "light: its namespace may be emptied while the next light tests run")


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


@pytest.fixture(scope="session")
def leftovers(kube: Kube) -> Iterator[Leftovers]:
    found = Leftovers(kube)
    yield found
    found.wait()


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest, leftovers: Leftovers) -> None:
    """Nothing of earlier tests is left, unless the test is marked `light`.

    A light test looks only at its own namespace and disturbs nobody else's pods, servers or nodes: its namespace is
    emptied while the next light tests run, which saves seconds for each.
    """
    if not is_light(request):
        leftovers.wait()


@pytest.fixture
def namespace(request: pytest.FixtureRequest, kube: Kube, leftovers: Leftovers) -> Iterator[str]:
    """A namespace of the test's own; afterwards everything in it is deleted, pods first."""
    name = make(kube)
    yield name
    if is_light(request):
        leftovers.add(name, request.node.nodeid)
    else:
        empty(kube, name)


@pytest.fixture
def elsewhere(kube: Kube, namespace: str) -> Iterator[str]:
    """A second namespace, emptied before the first."""
    name = make(kube)
    yield name
    empty(kube, name)


def is_light(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("light") is not None
