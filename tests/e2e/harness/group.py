"""A node group with its own servers, side by side; their pools lie on one small disk and promise more than it has."""

import json
from collections.abc import Generator
from contextlib import contextmanager

from cluster.local import Local
from harness.install import NAMESPACE, install
from harness.kube import Kube, Object
from harness.manifests import node_folder

GROUP = "fast"
SERVERS = (f"moorage-nfs-{GROUP}-0", f"moorage-nfs-{GROUP}-1")
MEMBER = "moorage.test/group"  # label of the nodes in the group
CLASS = f"moorage-test-{GROUP}"
HOME = f"/var/lib/moorage/{GROUP}"
DISK_BYTES = 1536 << 20


def group(host: str) -> Object:
    """The group in the chart's values; its servers run on `host`."""
    server = {
        "nodeSelector": {"kubernetes.io/hostname": host},
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
    }
    pool = {"storageClass": CLASS, "size": "1Gi"}
    rest = {"nodeSelector": {MEMBER: GROUP}, "minNodes": 1, "replicas": len(SERVERS), "overcommit": True}
    return {"name": GROUP, "server": server, "pool": pool, **rest}


def pool_volume(server: str) -> Object:
    claim = {"namespace": NAMESPACE, "name": f"pool-{server}"}
    return node_folder(f"moorage-test-{server}", f"{HOME}/{server}", "1Gi", CLASS, claim)


@contextmanager
def node_group(bed: Local, kube: Kube, host: str, member: str) -> Generator[None]:
    """The chart with that group besides: servers on `host`, volumes for `member`; afterwards as before."""
    bed.disk(GROUP, DISK_BYTES)
    try:
        device = bed.attach_disk(host, GROUP)
        bed.node_exec(host, ["mkdir", "-p", HOME])
        bed.node_exec(host, ["mount", device, HOME])
        bed.node_exec(host, ["mkdir", "-p", *(f"{HOME}/{server}" for server in SERVERS)])
        kube("label", "node", member, f"{MEMBER}={GROUP}", "--overwrite")
        kube.apply(*(pool_volume(server) for server in SERVERS))
        install(bed, "--set-json", f"nfs.groups={json.dumps([group(host)])}")
        for server in SERVERS:
            kube.wait_pod(server, NAMESPACE)
        yield
    finally:
        install(bed)
        for server in SERVERS:
            kube("wait", "--for=delete", f"pod/{server}", "-n", NAMESPACE, "--timeout=90s", timeout=100)
            kube.delete("pvc", f"pool-{server}", NAMESPACE)
            kube("delete", "pv", f"moorage-test-{server}", "--ignore-not-found")
        kube("label", "node", member, f"{MEMBER}-")
        bed.node_exec(host, ["sh", "-c", f"! mountpoint -q {HOME} || umount {HOME}"])
        bed.detach_disk(host, GROUP)
        bed.remove_disk(GROUP)
