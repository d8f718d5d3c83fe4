"""What a volume adds to the start of a pod, and how long NodePublish takes."""

import re
import statistics
import time

from bench.ready import percentile, remove, spread, until_ready
from bench.record import Figures
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import Object, by_claim, pod, shared

REPEATS = 5


def start_time(kube: Kube, namespace: str, manifest: Object) -> float:
    """Seconds from apply until the pod is Ready, by a blocking wait."""
    name = manifest["metadata"]["name"]
    start = time.monotonic()
    kube.apply(manifest)
    kube("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=120s", timeout=130)
    took = time.monotonic() - start
    kube("delete", "pod", name, "-n", namespace, "--timeout=90s", timeout=100)
    return took


def pod_start(kube: Kube, namespace: str) -> Figures:
    """The same pod with and without a shared volume, in turn, on the same node."""
    data = shared("start", "256Mi", namespace)
    until_ready(kube, namespace, [data])
    node = sorted(n["metadata"]["name"] for n in kube.items("nodes") if not n["spec"].get("taints"))[0]
    without: list[float] = []
    with_volume: list[float] = []
    for i in range(REPEATS):
        without.append(start_time(kube, namespace, pod(f"without-{i}", None, namespace, node)))
        with_volume.append(start_time(kube, namespace, pod(f"with-{i}", by_claim("start"), namespace, node)))
    remove(kube, namespace, [data])
    added = statistics.median(with_volume) - statistics.median(without)
    return {
        "pod start without a volume": spread(without),
        "pod start with a shared volume (staged anew)": spread(with_volume),
        "what the volume adds to the pod start": {"median_s": round(added, 3)},
    }


def node_publish(kube: Kube, namespace: str) -> Figures:
    """NodePublishVolume as the node plugin logged it while the pods above started."""
    took: list[float] = []
    for each in kube.items("pods", NAMESPACE, "app.kubernetes.io/component=csi-node"):
        text = kube("logs", "-n", NAMESPACE, each["metadata"]["name"], "-c", "csi", "--tail=5000")
        took += [float(seconds) for seconds in re.findall(r"NodePublishVolume OK ([0-9.]+)s", text)]
    if not took:
        return {"NodePublishVolume": {"n": 0}}
    return {
        "NodePublishVolume": {
            "p50_ms": percentile(took, 0.5) * 1000,
            "p99_ms": percentile(took, 0.99) * 1000,
            "n": len(took),
        }
    }


ROWS = (pod_start, node_publish)
