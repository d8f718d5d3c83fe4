"""Pods that run bench.load, in Moorage's image (it has Python), and what they print."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import load
from harness.kube import Kube, wait_for
from harness.manifests import MOORAGE, Object

PROGRAM = Path(load.__file__).read_text()
LIMIT = 480.0  # seconds for the longest program


def manifest(name: str, namespace: str, node: str, volumes: Mapping[str, Object], command: Sequence[str]) -> Object:
    """A pod that runs once, as root, with each volume at the path that is its key."""
    named = {f"v{number}": (path, source) for number, (path, source) in enumerate(volumes.items())}
    container = {
        "name": "main",
        "image": MOORAGE,
        "command": list(command),
        "volumeMounts": [{"name": each, "mountPath": path} for each, (path, _) in named.items()],
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
    }
    spec: Object = {
        "containers": [container],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 2,
        "nodeSelector": {"kubernetes.io/hostname": node},
        "volumes": [{"name": each, **source} for each, (_, source) in named.items()],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def loading(name: str, namespace: str, node: str, volumes: Mapping[str, Object], *arguments: str) -> Object:
    """A pod of the load program."""
    return manifest(name, namespace, node, volumes, ["python3", "-IS", "-c", PROGRAM, *arguments])


def finish(kube: Kube, pod: Object) -> str:
    """Run the pod to its end and remove it; what it printed. Raises AssertionError with its words if it failed."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]

    def ended() -> str | None:
        phase = (kube.get("pod", name, namespace) or {}).get("status", {}).get("phase")
        return phase if phase in ("Succeeded", "Failed") else None

    kube.apply(pod)
    try:
        phase = wait_for(f"the end of pod {name}", ended, LIMIT, every=0.5)
        said = kube("logs", name, "-n", namespace)
    finally:
        kube.delete("pod", name, namespace)
    assert phase == "Succeeded", f"pod {name}: {said[-2000:]}"
    return said


def first_node(kube: Kube) -> str:
    """A node that ordinary pods may run on; the same each time."""
    return sorted(n["metadata"]["name"] for n in kube.items("nodes") if not n["spec"].get("taints"))[0]
