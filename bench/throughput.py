"""A shared volume as a pod has it, beside the same export mounted without Moorage, on the same node, in one pod.

The bare server: the kubelet mounts the export with no options. csi-driver-nfs cannot be built from package registries;
what it does on a node is `mount -t nfs -o nfsvers=4.1` (the options of its example class), and the kubelet does that.
The twin has Moorage's own options: the kernel does the same for it as for Moorage's mount, so what its row differs from
1 by is chance, and a measure of how much of the other rows is.
"""

import json
import math
import re
import statistics
from collections.abc import Iterable, Sequence

from bench.loadpod import finish, first_node, loading
from bench.ready import remove, until_ready
from bench.record import Figures
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import Object, by_claim, shared
from moorage.backing import NFS_OPTIONS

ROUNDS, MEGABYTES, SECONDS = 80, 8, 0.1  # many and short: what disturbs one disturbs its neighbours as well
BARE, PEER, TWIN = "bare", "peer", "twin"
# nosharecache: else the kernel takes mounts of one export with equal options for one, and there is nothing to compare.
MOUNTS = {
    BARE: ["nosharecache"],
    PEER: ["nfsvers=4.1", "nosharecache"],
    TWIN: [*NFS_OPTIONS, "nosharecache"],
}
NOTE = "(1 is equal, more is faster; in brackets the 95 % interval)"
_UNIT = re.compile("_(MBps|IOPS|per_s)$")
TITLES = {
    "/moorage": "a shared volume, through Moorage",
    f"/{BARE}": "the same export, mounted with no options",
    f"/{PEER}": "the same export, mounted as csi-driver-nfs does (its driver cannot be built from registries)",
    f"/{TWIN}": "the same export, mounted with Moorage's options, for what is chance",
}


def throughput(kube: Kube, namespace: str) -> Figures:
    """Streams, random access and small files: medians of the rounds, and how many times faster Moorage is."""
    volume = shared("load", "512Mi", namespace)
    until_ready(kube, namespace, [volume])
    export = (kube.get("StorageVolume", "load", namespace) or {})["status"]["share"]
    by_hand = [each for name, flags in MOUNTS.items() for each in plain(kube, namespace, name, export, flags)]
    kube.apply(*by_hand)
    try:
        volumes = {"/moorage": by_claim("load"), **{f"/{name}": by_claim(f"load-{name}") for name in MOUNTS}}
        arguments = ["compare", str(ROUNDS), str(MEGABYTES), str(SECONDS), *volumes]
        said = finish(kube, loading("load", namespace, first_node(kube), volumes, *arguments))
    finally:
        for name in MOUNTS:
            kube.delete("pvc", f"load-{name}", namespace)
            kube("delete", "pv", f"{namespace}-load-{name}", "--ignore-not-found", "--timeout=60s", timeout=70)
        remove(kube, namespace, [volume])
    return rows(said.splitlines())


def rows(lines: Iterable[str]) -> Figures:
    """From the program's lines to medians, and to the medians of the rounds' shares."""
    told = [json.loads(line) for line in lines if line.startswith("{")]
    found = {folder: [each for each in told if each["folder"] == folder] for folder in TITLES}
    figures: Figures = {}
    for folder, own in found.items():
        figures[TITLES[folder]] = {
            name: round(statistics.median(each[name] for each in own), 1) for name in _names(own)
        }
    for other in MOUNTS:
        pairs = list(zip(found["/moorage"], found[f"/{other}"], strict=True))
        figures[f"Moorage : {other} {NOTE}"] = {
            _UNIT.sub("", name): _told([ours[name] / theirs[name] for ours, theirs in pairs])
            for name in _names(found[f"/{other}"])
        }
    return figures


def _told(shares: list[float]) -> str:
    low, high = interval(shares)
    return f"{statistics.median(shares):.2f} ({low:.2f}-{high:.2f})"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median of all rounds that could be lies, with 95 % certainty: by ranks, whatever the distribution."""
    ordered, away = sorted(values), 0.98 * math.sqrt(len(values))
    low = max(0, math.floor(len(ordered) / 2 - away) - 1)
    high = min(len(ordered) - 1, math.ceil(len(ordered) / 2 + away))
    return ordered[low], ordered[high]


def _names(rounds: list[dict[str, float]]) -> list[str]:
    return [name for name in rounds[0] if name != "folder"]


def plain(kube: Kube, namespace: str, name: str, export: Object, flags: list[str]) -> list[Object]:
    """A PersistentVolume and claim that have the kubelet mount the export by itself."""
    service = kube.get("service", export["address"].split(".")[0], NAMESPACE)
    assert service, f"no Service for {export['address']}"
    whole, capacity = f"{namespace}-load-{name}", {"storage": "512Mi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": whole},
        "spec": {
            **common,
            "capacity": capacity,
            "persistentVolumeReclaimPolicy": "Retain",
            "mountOptions": flags,
            "nfs": {"server": service["spec"]["clusterIP"], "path": export["path"]},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"load-{name}", "namespace": namespace},
        "spec": {**common, "volumeName": whole, "resources": {"requests": capacity}},
    }
    return [volume, claim]


ROWS = (throughput,)
