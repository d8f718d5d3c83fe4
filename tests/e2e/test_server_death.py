"""The NFS server dies in the middle of the work: everything acknowledged is there, locks hold, writers go on.

How long they wait is measured by `make bench`; here is only checked that it ends, and that nothing is lost by it.
"""

import pytest

from harness import checker
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import shared
from harness.processes import kill

SERVER = "moorage-nfs-0"


def kill_process(kube: Kube, name: str) -> None:
    kill(kube, SERVER, name, NAMESPACE)


def kill_pod(kube: Kube) -> None:
    kube("delete", "pod", SERVER, "-n", NAMESPACE, "--grace-period=0", "--force")
    kube.wait_pod(SERVER, NAMESPACE, timeout=180)


@pytest.mark.parametrize("dies", ["ganesha", "ganesha twice", "message bus", "pod"])
def test_nothing_acknowledged_is_lost_when_the_server_dies(
    kube: Kube, namespace: str, workers: list[str], dies: str
) -> None:
    kube.apply(shared("data", "512Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    run = checker.start(kube, "data", workers[0], rival=workers[1], namespace=namespace)

    match dies:
        case "ganesha":
            kill_process(kube, "ganesha.nfsd")
        case "ganesha twice":  # the second time within the grace period of the first
            kill_process(kube, "ganesha.nfsd")
            run.wait_progress(1, timeout=120)
            kill_process(kube, "ganesha.nfsd")
        case "message bus":
            kill_process(kube, "dbus-daemon")
        case _:
            kill_pod(kube)
    run.wait_progress(20, timeout=120)
    report = run.stop()

    assert report.sound, report
    assert report.acknowledged > 30
