"""Snapshots and clones of volumes with data, beside a copy through the mount, which is csi-driver-nfs's way."""

import time

from bench.loadpod import finish, first_node, loading, manifest
from bench.ready import remove, until_ready
from bench.record import Figures
from harness.kube import Kube
from harness.manifests import API, Object, by_claim, shared

FILLINGS = {400: "1Gi", 2000: "3Gi"}  # MB of data, and the volume for it
COPIED = 400  # MB; a copy of more would take minutes


def clones(kube: Kube, namespace: str) -> Figures:
    figures: Figures = {}
    for megabytes, size in FILLINGS.items():
        figures |= of_one(kube, namespace, megabytes, size)
    return figures


def of_one(kube: Kube, namespace: str, megabytes: int, size: str) -> Figures:
    name = f"full-{megabytes}"
    made = [shared(name, size, namespace)]
    until_ready(kube, namespace, made)
    try:
        volumes, node = {"/data": by_claim(name)}, first_node(kube)
        finish(kube, loading(f"fill-{megabytes}", namespace, node, volumes, "fill", "/data", str(megabytes)))
        taken = snapshot(kube, namespace, name)
        figures: Figures = {f"StorageSnapshot of {megabytes} MB, apply to READY": {"s": taken}}
        for title, source in (("the snapshot", {"snapshot": name}), ("the volume", {"volume": name})):
            clone = shared(f"{name}-of-{next(iter(source))}", size, namespace, source=source)
            took = until_ready(kube, namespace, [clone])
            made.append(clone)
            figures[f"volume of {megabytes} MB from {title}, apply to READY"] = {"s": round(took, 2)}
        if megabytes == COPIED:
            figures[f"tar -cz of {megabytes} MB through the mount, as csi-driver-nfs does"] = {
                "s": copy(kube, namespace, node, volumes)
            }
        return figures
    finally:
        kube("delete", "storagesnapshots.moorage.dev", "--all", "-n", namespace, "--timeout=60s", timeout=70)
        remove(kube, namespace, made)


def snapshot(kube: Kube, namespace: str, name: str) -> float:
    """Seconds from just before apply until `kubectl wait` saw it READY."""
    body: Object = {
        "apiVersion": API,
        "kind": "StorageSnapshot",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"volume": name},
    }
    start = time.monotonic()
    kube.apply(body)
    which = f"storagesnapshots.moorage.dev/{name}"
    kube("wait", "--for=jsonpath={.status.phase}=READY", which, "-n", namespace, "--timeout=60s", timeout=70)
    return round(time.monotonic() - start, 2)


def copy(kube: Kube, namespace: str, node: str, volumes: dict[str, Object]) -> float:
    """Seconds as the pod's own clock counts them."""
    script = "s=$(date +%s%N); tar -C /data -czf /data/.snapshot.tar.gz filling && sync /data/.snapshot.tar.gz"
    script += "; e=$(date +%s%N); rm /data/.snapshot.tar.gz; echo $(( (e - s) / 1000000 ))"
    said = finish(kube, manifest("copy", namespace, node, volumes, ["sh", "-c", script]))
    return round(int(said.split()[-1]) / 1000, 1)


ROWS = (clones,)
