"""Namespaces of tests: made, and emptied when the test is over; at once, or while the next tests run."""

import uuid
from concurrent.futures import Future, ThreadPoolExecutor

from harness.kube import Kube, wait_for

KINDS = ("storageattachments.moorage.dev", "pvc", "storagevolumes.moorage.dev", "buckets.moorage.dev")


def make(kube: Kube) -> str:
    """A new namespace that pods may be made in."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    kube("create", "namespace", name)
    wait_for("service account", lambda: kube.get("serviceaccount", "default", name), 30)
    return name


def empty(kube: Kube, name: str) -> None:
    """Delete everything in it and wait until it is gone, pods first; then the namespace itself."""
    kube("delete", "storageattachments.moorage.dev", "--all", "-n", name, "--wait=false")
    kube("delete", "pods", "--all", "-n", name, "--wait=true", "--timeout=90s", timeout=100)
    for kind in KINDS:
        kube("delete", kind, "--all", "-n", name, "--wait=true", "--timeout=90s", timeout=100)
    kube("delete", "namespace", name, "--wait=false")


class Leftovers:
    """Namespaces that are emptied in the background."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._pool = ThreadPoolExecutor(2)
        self._begun: dict[Future[None], str] = {}

    def add(self, name: str, test: str) -> None:
        """Begin to empty it; `test` is named if that fails."""
        self._begun[self._pool.submit(empty, self._kube, name)] = f"{name} of {test}"

    def wait(self) -> None:
        """Until all are empty. Raises AssertionError that names those which could not be emptied."""
        begun, self._begun = self._begun, {}
        wrong = [f"{begun[future]}: {error}" for future in begun if (error := future.exception())]
        assert not wrong, f"not emptied: {'; '.join(wrong)}"
