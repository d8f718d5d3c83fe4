"""mount-from never leads out of its volume, also when somebody in a pod tries to make it."""

import pytest

from harness.kube import Kube, wait_for
from harness.manifests import by_claim, inline, pod, shared

pytestmark = pytest.mark.light

# `set` is a folder now, and a way to the node's root the next moment.
SWAP = (
    "mkdir -p /data/real; echo real > /data/real/file; ln -s / /data/out; ln -s /data/real /data/way;"
    " ln -s /data/real /data/set;"
    " while :; do rm /data/set; mkdir /data/set; rmdir /data/set; ln -s / /data/set; done"
)


def refused(kube: Kube, namespace: str, name: str) -> str:
    def told() -> str:
        said = [event["message"] for event in kube.events("Pod", name, namespace) if event["reason"] == "FailedMount"]
        return next((message for message in said if "symbolic link" in message or "does not exist" in message), "")

    return wait_for(f"{name} is refused", told, 120)


def test_a_symbolic_link_is_not_followed_out_of_the_volume(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(pod("swapper", by_claim("data"), namespace, workers[0], command=SWAP))
    kube.wait_pod("swapper", namespace)

    kube.apply(*(pod(name, inline("data", f"/{name}"), namespace, workers[1]) for name in ("out", "way", "set")))

    assert "symbolic link" in refused(kube, namespace, "out")
    assert "symbolic link" in refused(kube, namespace, "way")
    # The third may start in a moment when `set` is a folder, which is empty then; never does it show the node's root.
    ok, said = kube.attempt("exec", "-n", namespace, "set", "--", "ls", "/data")
    assert not ok or "etc" not in said.split()
