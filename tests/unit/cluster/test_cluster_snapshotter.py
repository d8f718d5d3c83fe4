"""Upstream's manifests of the snapshot controller as they are applied to the bed."""

from typing import Any

from harness.snapshotter import IMAGE, adapted


def deployment() -> dict[str, Any]:
    container = {"name": "snapshot-controller", "image": "registry.k8s.io/sig-storage/snapshot-controller:v8.6.0"}
    return {"kind": "Deployment", "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}}}


def test_one_controller_runs_of_the_image_that_the_nodes_hold() -> None:
    done = adapted(deployment(), servers=False)

    assert done["spec"]["replicas"] == 1
    assert done["spec"]["template"]["spec"] == {"containers": [{"name": "snapshot-controller", "image": IMAGE}]}


def test_on_the_local_cluster_it_runs_beside_the_servers() -> None:
    pod = adapted(deployment(), servers=True)["spec"]["template"]["spec"]

    assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}
    assert pod["tolerations"] == [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]


def test_other_objects_stay_as_they_are() -> None:
    account = {"kind": "ServiceAccount", "metadata": {"name": "snapshot-controller"}}

    assert adapted(dict(account), servers=True) == account
