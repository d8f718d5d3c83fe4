"""A fast and stable part of Kubernetes' External Storage suite; `make conformance` runs all of it."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.provider import Provider
from cluster.suite import ensure_suite
from conformance.case import Case, counts
from conformance.external import TYPES, Run, external_storage
from harness.kube import Kube

DYNAMIC = r"Dynamic PV \(default fs\)\] "
# Each the end of the name of one case: data, folders of a volume, options, two claims, inline and generic volumes.
CASES = (
    rf"{DYNAMIC}volumes should store data",
    rf"{DYNAMIC}subPath should support existing directory",
    rf"{DYNAMIC}subPath should be able to unmount after the subpath directory is deleted .*",
    rf"{DYNAMIC}subPath should fail if subpath file is outside the volume .*",
    rf"{DYNAMIC}provisioning should provision storage with mount options",
    rf"{DYNAMIC}provisioning should mount multiple PV pointing to the same storage on the same node",
    r"CSI Ephemeral-volume \(default fs\)\] ephemeral should create read/write inline ephemeral volume",
    r"\(default fs\) \(late-binding\)\] ephemeral should create read-only inline ephemeral volume",
)
FOCUS = rf"External.Storage.*({'|'.join(CASES)})$"


@pytest.mark.timeout(1500)
def test_a_fast_part_of_external_storage_passes_for_both_types(bed: Provider, kube: Kube) -> None:
    suite = ensure_suite(bed)

    def run(kind: str) -> list[Case]:
        with tempfile.TemporaryDirectory() as folder:
            return external_storage(suite, Run(kind, FOCUS, minutes=15, processes=4), kube, Path(folder) / kind)

    with ThreadPoolExecutor(len(TYPES)) as pool:
        found = dict(zip(TYPES, pool.map(run, TYPES), strict=True))

    for kind, cases in found.items():
        print(f"External.Storage, {kind}, fast part: {counts(cases)}")
    wrong = [case for cases in found.values() for case in cases if case.state != "passed"]
    assert [f"{case.type}: {case.name}: {case.message}" for case in wrong] == []
    assert [len(cases) for cases in found.values()] == [len(CASES), len(CASES)]
