"""Upstream's manifests of the snapshot controller as they are applied to the bed."""

from typing import Any

from harness.snapshotter import IMAGE, adapted


def deployment() -> dict[str, Any]:
    image = "registry.k8s.io/sig-storage/snapshot-controller:v8.6.0"
    container = {"name": "snapshot-controller", "image": image, "args": ["--v=5"]}
    return {"kind": "Deployment", "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}}}


def test_one_controller_runs_of_the_image_that_the_nodes_hold() -> None:
    done = adapted(deployment(), servers=False)

    assert done["spec"]["replicas"] == 1
    pod = done["spec"]["template"]["spec"]
    assert [each["image"] for each in pod["containers"]] == [IMAGE]
    assert pod["containers"][0]["args"] == ["--v=5", "--feature-gates=CSIVolumeGroupSnapshot=false"]
    assert "nodeSelector" not in pod


def test_on_the_local_cluster_it_runs_beside_the_servers() -> None:
    pod = adapted(deployment(), servers=True)["spec"]["template"]["spec"]

    assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}
    assert pod["tolerations"] == [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]


def test_other_objects_stay_as_they_are() -> None:
    account = {"kind": "ServiceAccount", "metadata": {"name": "snapshot-controller"}}

    assert adapted(dict(account), servers=True) == account
