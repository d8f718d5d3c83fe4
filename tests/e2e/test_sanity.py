"""csi-sanity (csi-test) against the real driver: the CSI spec's own judge, with real mounts and real servers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.provider import Provider
from harness.install import NAMESPACE
from harness.kube import Kube

SOCKET = "/var/lib/kubelet/plugins/moorage-sanity/csi.sock"
WORK = "/var/lib/kubelet/moorage-sanity"


def sanity_pod(kube: Kube, node: str) -> dict[str, object]:
    """The node plugin's own pod, once more, serving controller and node on one socket of its own."""
    daemonset = kube.get("daemonset", "moorage-csi-node", NAMESPACE)
    assert daemonset
    spec = daemonset["spec"]["template"]["spec"]
    container = next(each for each in spec["containers"] if each["name"] == "csi")
    volumes = [each for each in spec["volumes"] if each["name"] != "registration"]
    mounts = [each for each in container["volumeMounts"] if each["name"] != "registration"]
    main = {
        **{key: container[key] for key in ("image", "env", "securityContext") if key in container},
        "name": "csi",
        "command": ["moorage-csi", "all"],
        "args": [f"--endpoint=unix://{SOCKET}", "--health-port=0"],
        "volumeMounts": mounts,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sanity", "namespace": NAMESPACE},
        "spec": {
            **{k: v for k, v in spec.items() if k in ("hostNetwork", "dnsPolicy", "tolerations")},
            "serviceAccountName": "moorage-csi-node",
            "automountServiceAccountToken": True,
            "nodeName": node,
            "containers": [main],
            "volumes": volumes,
        },
    }


@pytest.fixture(scope="module")
def driver(kube: Kube, bed: Provider, workers: list[str]) -> Iterator[str]:
    """The driver on a worker node, as the node plugin's account with the controller's rights too; gives the node."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sanity"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "moorage-csi-controller"},
        "subjects": [{"kind": "ServiceAccount", "name": "moorage-csi-node", "namespace": NAMESPACE}],
    }
    bed.node_exec(workers[0], ["mkdir", "-p", str(Path(SOCKET).parent), WORK])
    kube.apply(binding, sanity_pod(kube, workers[0]))
    kube.wait_pod("sanity", NAMESPACE, timeout=120)
    yield workers[0]
    kube("delete", "pod", "sanity", "-n", NAMESPACE, "--timeout=60s", timeout=70)
    kube("delete", "clusterrolebinding", "sanity")


@pytest.mark.parametrize("kind", ["shared", "object"])
def test_csi_sanity_passes(bed: Provider, driver: str, kind: str) -> None:
    parameters = f"{WORK}/parameters-{kind}.yaml"
    bed.node_exec(driver, ["sh", "-c", f"echo 'type: {kind}' > {parameters}"])
    argv = [
        bed.node_tool("csi-sanity"),
        f"--csi.endpoint={SOCKET}",
        f"--csi.mountdir={WORK}/{kind}-mount",
        f"--csi.stagingdir={WORK}/{kind}-staging",
        f"--csi.testvolumeparameters={parameters}",
        "--csi.testvolumesize=335544320",
        "--csi.testvolumeexpandsize=402653184",
        "--ginkgo.no-color",
    ]

    said = bed.node_exec(driver, ["sh", "-c", '"$@" 2>&1; true', "sanity", *argv], timeout=900)

    counts = re.search(r"(\d+) Passed \| (\d+) Failed \| \d+ Pending \| (\d+) Skipped", said)
    assert counts, said[-6000:]
    print(f"csi-sanity, {kind}: {counts.group(0)}")
    assert int(counts.group(2)) == 0, said[-12000:]
    assert int(counts.group(1)) >= 40
