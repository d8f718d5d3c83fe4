"""A node's power is cut and it comes back with an old kernel: its pods find their volume, and the old client works.

New kernels are what every other test runs on.
"""

import pytest

from cluster.local import Local
from cluster.provider import Provider
from harness.components import pod_on
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import by_claim, inline, pod, shared, volume
from harness.processes import kill_command

WALK = "find /data/x && ls -lR /data/x > /dev/null && cp -a /data/x /data/w && rm -r /data/x && mv /data/w /data/v"


def heals(kube: Kube, namespace: str) -> bool:
    """This kernel cannot send again what the dead moorfs did not answer: pods get an error once, and a new mount."""
    ok, said = kube.attempt("exec", "-n", namespace, "bucket", "--", "sh", "-c", "cat /data/k && echo 2 > /data/l")
    return ok and said == "1\n"


def test_an_old_client_works_after_a_power_cut(kube: Kube, namespace: str, workers: list[str], bed: Provider) -> None:
    if not isinstance(bed, Local):
        pytest.skip("only the local provider's nodes can change their kernel")
    node, other = workers[-1], workers[0]
    kube.apply(shared("data", "256Mi", namespace), volume("objects", namespace, type="object", mounter="moorfs"))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.wait_phase("StorageVolume", "objects", "READY", namespace)
    kube.apply(pod("before", by_claim("data"), namespace, node), pod("new", by_claim("data"), namespace, other))
    for name in ("before", "new"):
        kube.wait_pod(name, namespace)
    kube.exec("before", "sh", "-c", "mkdir -p /data/x/y/z && echo 1 > /data/x/y/z/f && sync", namespace=namespace)

    bed.node_kernel(node, old=True)
    try:
        kube.wait_pod("before", namespace, timeout=240)
        kube.apply(pod("old", inline("data"), namespace, node), pod("bucket", by_claim("objects"), namespace, node))
        for name in ("old", "bucket"):
            kube.wait_pod(name, namespace, timeout=240)

        kernel = kube.exec("old", "uname", "-r", namespace=namespace).strip()
        walked = kube.exec("old", "sh", "-c", f"{WALK} && cat /data/v/y/z/f", namespace=namespace).splitlines()
        each = "touch /data/o && chown $i:$i /data/o && stat -c %u:%g /data/o || exit 1"
        owner = f"for i in $(seq 1000 1049); do {each}; done"

        assert kernel.startswith("6.1.")
        assert walked == ["/data/x", "/data/x/y", "/data/x/y/z", "/data/x/y/z/f", "1"]
        for name in ("old", "new"):
            owners = kube.exec(name, "sh", "-c", owner, namespace=namespace).split()
            assert owners == [f"{i}:{i}" for i in range(1000, 1050)]
        assert kube.exec("new", "ls", "/data/v/y/z", namespace=namespace).strip() == "f"
        assert kube.exec("bucket", "sh", "-c", "echo 1 > /data/k && cat /data/k", namespace=namespace).strip() == "1"
        kill_command(kube, pod_on(kube, "mounter", node), "moorfs", NAMESPACE)
        wait_for("the bucket in the running pod again", lambda: heals(kube, namespace), 120)
        kube("delete", "pods", "--all", "-n", namespace, "--timeout=120s", timeout=130)
        wait_for("no pod is left", lambda: kube.items("pods", namespace) == [], 60)
    finally:
        bed.node_kernel(node, old=False)
