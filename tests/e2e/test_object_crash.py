"""Whatever dies under writers of an object volume: each close that returned is in the bucket, and no error was seen."""

import pytest

from cluster.local import Local
from cluster.provider import Provider
from harness import objectchecker
from harness.components import pod_on, replace
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import volume
from harness.processes import kill_command

ENGINE = "moorage-s3-0"


@pytest.fixture
def models(kube: Kube, namespace: str) -> str:
    """An object volume `models` by moorfs, with a bucket of its own; gives the namespace."""
    kube.apply(volume("models", namespace, type="object", mounter="moorfs"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    return namespace


@pytest.mark.parametrize("dies", ["moorfs, five times", "mounter", "node plugin, then mounter", "engine"])
def test_nothing_acknowledged_is_lost(kube: Kube, models: str, workers: list[str], dies: str) -> None:
    run = objectchecker.start(kube, "models", workers[0], workers[1], models)

    def kill(component: str) -> str:
        return replace(kube, component, workers[0], "--grace-period=0", "--force")

    match dies:
        case "moorfs, five times":
            for _ in range(5):
                kill_command(kube, pod_on(kube, "mounter", workers[0]), "moorfs", NAMESPACE)
                run.wait_progress(7, timeout=60)
        case "mounter":
            kill("mounter")
        case "node plugin, then mounter":
            kube.wait_pod(kill("csi-node"), NAMESPACE)
            kill("mounter")
        case _:
            kube("delete", "pod", ENGINE, "-n", NAMESPACE, "--grace-period=0", "--force")
            kube.wait_pod(ENGINE, NAMESPACE, timeout=180)
    run.wait_progress(20, timeout=120)
    report = run.stop()

    assert report.sound, report
    assert report.acknowledged > 40


def test_what_was_closed_before_a_power_cut_is_in_the_bucket(
    kube: Kube, models: str, workers: list[str], bed: Provider
) -> None:
    if not isinstance(bed, Local):
        pytest.skip("only the local provider has nodes whose power can be cut")
    run = objectchecker.start(kube, "models", workers[0], workers[1], models)
    with run.followed() as acknowledged:
        wait_for("files to be promised", lambda: len(acknowledged()) > 30, 60)
        try:
            bed.node_power_cut(workers[0])

            assert run.older_than(acknowledged()) == {}
        finally:
            bed.node_return(workers[0])
