"""A shared volume as a pod has it, beside the same export mounted without Moorage, on the same node, in one pod.

The bare server: the kubelet mounts the export with no options. csi-driver-nfs cannot be built from package registries;
what it does on a node is `mount -t nfs -o nfsvers=4.1` (the options of its example class), and the kubelet does that.
"""

import json
import re
import statistics
from collections.abc import Iterable

from bench.loadpod import finish, first_node, loading
from bench.ready import remove, until_ready
from bench.record import Figures
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import Object, by_claim, shared

ROUNDS, MEGABYTES, SECONDS = 15, 32, 0.3  # many and short: a busy machine disturbs few of them
BARE, PEER = "bare", "peer"
# nosharecache: else the kernel takes mounts of one export with equal options for one, and there is nothing to compare.
MOUNTS = {BARE: ["nosharecache"], PEER: ["nfsvers=4.1", "nosharecache"]}
_UNIT = re.compile("_(MBps|IOPS|per_s)$")
TITLES = {
    "/moorage": "a shared volume, through Moorage",
    f"/{BARE}": "the same export, mounted with no options",
    f"/{PEER}": "the same export, mounted as csi-driver-nfs does (its driver cannot be built from registries)",
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
    for other in (f"/{BARE}", f"/{PEER}"):
        pairs = list(zip(found["/moorage"], found[other], strict=True))
        figures[f"Moorage : {other[1:]} (1 is equal, more is faster)"] = {
            _UNIT.sub("", name): round(statistics.median(ours[name] / theirs[name] for ours, theirs in pairs), 2)
            for name in _names(found[other])
        }
    return figures


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
