"""The chart's own pods, by component and node."""

from harness.install import NAMESPACE
from harness.kube import Kube, wait_for


def pods_of(kube: Kube, component: str, node: str = "") -> list[str]:
    """Names of the component's pods, on one node if it is given; those that are on their way out are left out."""
    found = kube.items("pods", NAMESPACE, f"app.kubernetes.io/component={component}")
    there = (each for each in found if not node or each["spec"].get("nodeName") == node)
    return [each["metadata"]["name"] for each in there if "deletionTimestamp" not in each["metadata"]]


def pod_on(kube: Kube, component: str, node: str) -> str:
    """The component's pod on the node; empty while there is none."""
    return next(iter(pods_of(kube, component, node)), "")


def replace(kube: Kube, component: str, node: str, *how: str) -> str:
    """Delete the component's pod on the node, `how` kubectl is told; the name of the next one, which need not be up."""
    old = pod_on(kube, component, node)
    kube("delete", "pod", old, "-n", NAMESPACE, "--timeout=60s", *how, timeout=70)
    return wait_for(f"another {component}", lambda: _other(pod_on(kube, component, node), old), 60)


def _other(name: str, old: str) -> str:
    return name if name != old else ""
