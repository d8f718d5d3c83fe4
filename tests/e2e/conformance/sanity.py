"""csi-sanity, the CSI spec's own judge, on a worker node against the real driver with its real mounts and servers."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.provider import Provider
from conformance.case import Case, read
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import Object

SOCKET = "/var/lib/kubelet/plugins/moorage-sanity/csi.sock"
WORK = "/var/lib/kubelet/moorage-sanity"
DEADLINE = 900.0  # seconds for the cases of one type; they take about 100 here
ACCOUNT = "moorage-csi-node"
# One driver serves all types, so it offers snapshots and clones; but only those of shared volumes.
_ONLY_SHARED = r"Snapshot|source snapshot|source volume|(volume|source) clone"


@dataclass(frozen=True)
class Driver:
    """The driver as csi-sanity meets it: controller and node on one socket of a node."""

    bed: Provider
    node: str


@contextmanager
def driver(kube: Kube, node: str) -> Generator[Driver]:
    """The driver on a worker node, as the node plugin's account with the controller's rights too."""
    bed = kube.cluster
    bed.node_exec(node, ["mkdir", "-p", str(Path(SOCKET).parent), WORK])
    try:
        kube.apply(_binding(), _pod(kube, node))
        kube.wait_pod("sanity", NAMESPACE, timeout=120)
        yield Driver(bed, node)
    finally:
        kube.delete("pod", "sanity", NAMESPACE)
        kube("delete", "clusterrolebinding", "sanity", "--ignore-not-found")


def csi_sanity(driver: Driver, kind: str) -> list[Case]:
    """All cases of one type of volume. A case that fails is no exception; CommandFailed means that nothing ran."""
    # No class for snapshots: a VolumeSnapshotClass of Moorage has no parameters.
    parameters, report = f"{WORK}/parameters-{kind}.yaml", f"{WORK}/report-{kind}.json"
    run = driver.bed.node_exec
    run(driver.node, ["sh", "-c", f"rm -f {report}; echo 'type: {kind}' > {parameters}"])
    argv = [
        driver.bed.node_tool("csi-sanity"),
        f"--csi.endpoint={SOCKET}",
        f"--csi.mountdir={WORK}/{kind}-mount",
        f"--csi.stagingdir={WORK}/{kind}-staging",
        f"--csi.testvolumeparameters={parameters}",
        "--csi.testvolumesize=335544320",
        "--csi.testvolumeexpandsize=402653184",
        *(() if kind == "shared" else (f"--ginkgo.skip={_ONLY_SHARED}",)),
        "--ginkgo.no-color",
        f"--ginkgo.json-report={report}",
    ]
    run(driver.node, ["sh", "-c", '"$@" 2>&1; true', "sanity", *argv], timeout=DEADLINE)
    return read(run(driver.node, ["cat", report]), "csi-sanity", kind, None if kind == "shared" else _ONLY_SHARED)


def _binding() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sanity"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "moorage-csi-controller"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }


def _pod(kube: Kube, node: str) -> Object:
    """The node plugin's own pod, once more, serving controller and node on one socket of its own."""
    daemonset = kube.get("daemonset", "moorage-csi-node", NAMESPACE)
    assert daemonset
    spec = daemonset["spec"]["template"]["spec"]
    container = next(each for each in spec["containers"] if each["name"] == "csi")
    main = {
        **{key: container[key] for key in ("image", "env", "securityContext") if key in container},
        "name": "csi",
        "command": ["moorage-csi", "all"],
        # health is served but not advertised by default (docs/adr/0011); its cases are to run
        "args": [f"--endpoint=unix://{SOCKET}", "--health-port=0", "--volume-health=true"],
        "volumeMounts": [each for each in container["volumeMounts"] if each["name"] != "registration"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sanity", "namespace": NAMESPACE},
        "spec": {
            **{key: spec[key] for key in ("hostNetwork", "dnsPolicy", "tolerations") if key in spec},
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": True,
            "nodeName": node,
            "containers": [main],
            "volumes": [each for each in spec["volumes"] if each["name"] != "registration"],
        },
    }
