"""What pods do to their volumes is counted on the node, under the same names for every type of volume."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.components import pod_on
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import by_claim, pod, shared, volume

pytestmark = pytest.mark.light

MIB = 1 << 20
# NFS tells that a file is not there as an error, FUSE does not; a bucket has no hard links.
WORK = "cd /data && dd if=/dev/zero of=f bs=1M count=9 conv=fsync && cat f > /dev/null; cat none; ln f g; true"
FAILING = ("lookup", "open", "link")


def told(kube: Kube, component: str, node: str, port: int, namespace: str) -> dict[tuple[str, ...], float]:
    """By name, volume, type, and operation or direction."""
    read = (
        f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics', timeout=10).read().decode())"
    )
    text = kube.exec(pod_on(kube, component, node), "python3", "-c", read, namespace=NAMESPACE)
    return {
        (each.name, each.labels["volume"], each.labels["type"], what): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.labels.get("namespace") == namespace
        and (what := each.labels.get("operation") or each.labels.get("direction", ""))
    }


def test_each_volume_is_counted_on_its_node(kube: Kube, namespace: str, workers: list[str]) -> None:
    kube.apply(shared("files", "256Mi", namespace), volume("objects", namespace, type="object", mounter="moorfs"))
    for name in ("files", "objects"):
        kube.wait_phase("StorageVolume", name, "READY", namespace)
        kube.apply(pod(name, by_claim(name), namespace, workers[0]))
    for name in ("files", "objects"):
        kube.wait_pod(name, namespace, timeout=180)
        kube.exec(name, "sh", "-c", WORK, namespace=namespace, timeout=120)

    places = {("files", "shared"): ("csi-node", 19808), ("objects", "object"): ("mounter", 19810)}
    for (name, kind), (component, port) in places.items():

        def counted(name: str = name, kind: str = kind, component: str = component, port: int = port) -> bool:
            found = told(kube, component, workers[0], port, namespace)
            sent = found.get(("moorage_volume_network_bytes_total", name, kind, "write"), 0)
            opened = found.get(("moorage_volume_operations_total", name, kind, "open"), 0)
            failed = sum(found.get(("moorage_volume_operation_errors_total", name, kind, each), 0) for each in FAILING)
            took = found.get(("moorage_volume_operation_seconds_total", name, kind, "open"), 0)
            return sent >= 9 * MIB and opened >= 1 and failed >= 1 and took > 0

        wait_for(f"figures of {name}", counted, 60)
