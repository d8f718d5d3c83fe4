"""The NFS server dies in the middle of the work: everything acknowledged is there, locks hold, writers go on.

When the file system of one volume shuts down its calls fail for a while, and nothing that was synced is lost.

How long they wait is measured by `make bench`; here is only checked that it ends, and that nothing is lost by it.
"""

import pytest

from harness import checker
from harness.install import NAMESPACE
from harness.kube import Kube, wait_for
from harness.manifests import by_claim, pod, shared
from harness.processes import kill

SERVER = "moorage-nfs-0"
# A line at a time, by its own open, write and fsync; what was acknowledged is noted beside.
WRITE = (
    "i=0; while :; do i=$((i+1)); echo $i >> /data/log && sync /data/log && echo $i >> /tmp/synced; sleep 0.1; done"
    " 2>> /tmp/errors"
)


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


def test_a_volume_whose_file_system_shuts_down_comes_back_by_itself(
    kube: Kube, namespace: str, workers: list[str]
) -> None:
    kube.apply(shared("data", "512Mi", namespace), shared("other", "512Mi", namespace))
    volume = kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.wait_phase("StorageVolume", "other", "READY", namespace)
    kube.apply(pod("writer", by_claim("data"), namespace, workers[0], command=WRITE))
    kube.wait_pod("writer", namespace, timeout=180)
    neighbour = checker.start(kube, "other", workers[0], rival=workers[1], namespace=namespace)

    def numbers(file: str) -> list[str]:
        return kube.exec("writer", "cat", file, namespace=namespace).split()

    def reasons() -> set[str]:
        return {event["reason"] for event in kube.events("StorageVolume", "data", namespace)}

    wait_for(
        "a first line", lambda: kube.attempt("exec", "writer", "-n", namespace, "--", "test", "-s", "/tmp/synced")[0]
    )
    mount = f"/export/{volume['status']['id']}"
    kube.exec(SERVER, "xfs_io", "-x", "-c", "shutdown", mount, namespace=NAMESPACE)
    before = len(numbers("/tmp/synced"))
    wait_for("the volume says that it is down", lambda: "FileSystemDown" in reasons(), 60)
    wait_for("the writer goes on", lambda: len(numbers("/tmp/synced")) > before + 20, 120)
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    report = neighbour.stop()
    kube.apply(pod("reader", by_claim("data"), namespace, workers[1]))
    kube.wait_pod("reader", namespace, timeout=180)
    synced = numbers("/tmp/synced")
    there = kube.exec("reader", "cat", "/data/log", namespace=namespace).split()

    assert len(synced) > 20
    assert set(synced) - set(there) == set()
    assert report.sound, report
