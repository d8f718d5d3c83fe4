"""A group of NFS servers whose pool lies on a disk that moves, and what an administrator does when its node is dead."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager

from cluster.local import Local
from harness.install import NAMESPACE, install
from harness.kube import Kube, Object
from harness.manifests import node_folder

GROUP = "failover"
SERVER = f"moorage-nfs-{GROUP}-0"
CLAIM = f"pool-{SERVER}"
CLASS = "moorage-test-disk"
HOME = f"/var/lib/moorage/{GROUP}"  # where a node mounts the disk
LABEL = "moorage.test/failover"
OFF = "node.kubernetes.io/out-of-service"
DISK_BYTES = 4 << 30


def group(first: str) -> Object:
    """The group in the chart's values: its server runs on labelled nodes, on `first` when it can be had."""
    match = {"key": "kubernetes.io/hostname", "operator": "In", "values": [first]}
    preferred = [{"weight": 100, "preference": {"matchExpressions": [match]}}]
    server = {
        "nodeSelector": {LABEL: "yes"},
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
    }
    pool = {"storageClass": CLASS, "size": "3Gi"}
    return {"name": GROUP, "server": server, "pool": pool, "storageClass": {"create": False}}


def pool_volume() -> Object:
    """The PersistentVolume of the pool: a folder of the disk, so a node without the disk cannot start it."""
    claim = {"namespace": NAMESPACE, "name": CLAIM}
    return node_folder(f"moorage-test-{GROUP}", f"{HOME}/pool", "3Gi", CLASS, claim)


def bring_disk(bed: Local, node: str) -> None:
    """Attach the disk to the node and mount it there."""
    device = bed.attach_disk(node, GROUP)
    bed.node_exec(node, ["mkdir", "-p", HOME])
    bed.node_exec(node, ["mount", device, HOME])
    bed.node_exec(node, ["mkdir", "-p", f"{HOME}/pool"])


def take_disk(bed: Local, node: str) -> None:
    """Unmount and detach it; nothing happens where it is not."""
    bed.node_exec(node, ["sh", "-c", f"! mountpoint -q {HOME} || umount {HOME}"])
    bed.detach_disk(node, GROUP)


@contextmanager
def movable_server(bed: Local, kube: Kube, first: str, second: str) -> Generator[None]:
    """The chart with that group besides, its server running on `first`; afterwards as before."""
    bed.disk(GROUP, DISK_BYTES)
    try:
        bring_disk(bed, first)
        kube("label", "node", first, second, f"{LABEL}=yes", "--overwrite")
        kube.apply(pool_volume())
        install(bed, "--set-json", f"nfs.groups={json.dumps([group(first)])}")
        kube.wait_pod(SERVER, NAMESPACE)
        yield
    finally:
        install(bed)
        kube("wait", "--for=delete", f"pod/{SERVER}", "-n", NAMESPACE, "--timeout=90s", timeout=100)
        kube.delete("pvc", CLAIM, NAMESPACE)
        kube("delete", "pv", f"moorage-test-{GROUP}", "--ignore-not-found")
        kube("label", "node", first, second, f"{LABEL}-")
        for node in (first, second):
            take_disk(bed, node)
        bed.remove_disk(GROUP)


def fail_over(bed: Local, kube: Kube, dead: str, to: str) -> float:
    """What is done once `dead` is known to be off, as docs/operations.md says; the seconds that it took."""
    begin = time.monotonic()
    bring_disk(bed, to)
    kube("taint", "node", dead, f"{OFF}=nodeshutdown:NoExecute", "--overwrite")
    kube("delete", "pod", SERVER, "-n", NAMESPACE, "--force", "--grace-period=0", "--wait=false")
    return time.monotonic() - begin
