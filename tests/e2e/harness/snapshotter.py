"""What an administrator installs once per cluster so that its storage can offer snapshots: three CRDs, one controller.

All manifests are upstream's own, of the Go modules that the commands are built from. A cluster that has them keeps its.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster.local import Local
from cluster.provider import Provider
from cluster.toolchain import SOURCES, module_folder

MODULE = "github.com/kubernetes-csi/external-snapshotter"
CRDS = ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots")
GROUP = "snapshot.storage.k8s.io"
IMAGE = "registry.k8s.io/sig-storage/snapshot-controller:v8.7.0"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def ensure_snapshotter(cluster: Provider) -> None:
    """Install CRDs and controller unless the cluster has the CRDs already."""
    names = [f"{name}.{GROUP}" for name in CRDS]
    found = cluster.kubectl("get", "crd", "--ignore-not-found", "-o", "name", *names)
    if len(found.split()) == len(names):
        return
    source = SOURCES["snapshot-controller"]
    crds, deploy = (module_folder(source, f"{MODULE}{part}/v8") for part in ("/client", ""))
    for name in CRDS:
        cluster.kubectl("apply", "--server-side", "-f", str(crds / "config/crd" / f"{GROUP}_{name}.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names))
    here = isinstance(cluster, Local)
    objects = [adapted(thing, here) for thing in manifests(deploy / "deploy/kubernetes/snapshot-controller")]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)


def manifests(folder: Path) -> Iterator[dict[str, Any]]:
    """The controller's objects: account and rights, then the Deployment."""
    for name in ("rbac-snapshot-controller.yaml", "setup-snapshot-controller.yaml"):
        yield from (thing for thing in yaml.safe_load_all((folder / name).read_text()) if thing)


def adapted(thing: dict[str, Any], servers: bool) -> dict[str, Any]:
    """The Deployment with one pod, of the image that the cluster holds; `servers`: beside the control plane."""
    if thing["kind"] == "Deployment":
        thing["spec"]["replicas"] = 1
        pod = thing["spec"]["template"]["spec"]
        pod["containers"][0]["image"] = IMAGE
        # without the CRDs of group snapshots it would wait half a minute for them at each start
        pod["containers"][0]["args"].append("--feature-gates=CSIVolumeGroupSnapshot=false")
        if servers:
            pod["nodeSelector"] = {CONTROL_PLANE: ""}
            pod["tolerations"] = [{"key": CONTROL_PLANE, "operator": "Exists"}]
    return thing
