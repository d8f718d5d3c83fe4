"""A node loses its power and takes an NFS server with it; the pool's disk moves to another node, and writers go on."""

import pytest

from cluster.local import Local
from cluster.provider import Provider
from harness import checker
from harness.failover import GROUP, OFF, SERVER, fail_over, movable_server
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import shared


def test_a_dead_node_s_server_goes_on_elsewhere(kube: Kube, namespace: str, bed: Provider) -> None:
    if not isinstance(bed, Local):
        pytest.skip("only the local provider has nodes whose power can be cut and disks that move")
    dead, second, client = "node2", "node1", "node3"
    with movable_server(bed, kube, dead, second):
        kube.apply(shared("data", "512Mi", namespace, backend=GROUP))
        kube.wait_phase("StorageVolume", "data", "READY", namespace)
        run = checker.start(kube, "data", client, namespace=namespace)
        try:
            bed.node_power_cut(dead)
            fail_over(bed, kube, dead, second)

            run.wait_progress(timeout=120)
            report = run.stop()

            assert report.sound, report
            assert report.longest_stall < 30, report
            assert kube.wait_pod(SERVER, NAMESPACE)["spec"]["nodeName"] == second
        finally:
            bed.node_return(dead)
            kube.attempt("taint", "node", dead, f"{OFF}-")
        kube.delete("StorageVolume", "data", namespace)
