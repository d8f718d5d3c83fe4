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
# Each the end of the name of one case; as many as run at once. What else `make conformance` tries (sub-paths, mount
# options, inline volumes) has tests of our own here.
CASES = (
    rf"{DYNAMIC}volumes should store data",
    rf"{DYNAMIC}subPath should be able to unmount after the subpath directory is deleted .*",
    rf"{DYNAMIC}provisioning should mount multiple PV pointing to the same storage on the same node",
    r"\(default fs\) \(late-binding\)\] ephemeral should create read-only inline ephemeral volume",
)
FOCUS = rf"External.Storage.*({'|'.join(CASES)})$"


@pytest.mark.timeout(1500)
def test_a_fast_part_of_external_storage_passes_for_both_types(bed: Provider, kube: Kube) -> None:
    suite = ensure_suite(bed)

    def run(kind: str) -> list[Case]:
        part = Run(kind, FOCUS, minutes=15, processes=len(CASES))
        with tempfile.TemporaryDirectory() as folder:
            return external_storage(suite, part, kube, Path(folder) / kind)

    with ThreadPoolExecutor(len(TYPES)) as pool:
        found = dict(zip(TYPES, pool.map(run, TYPES), strict=True))

    for kind, cases in found.items():
        print(f"External.Storage, {kind}, fast part: {counts(cases)}")
    wrong = [case for cases in found.values() for case in cases if case.state != "passed"]
    assert [f"{case.type}: {case.name}: {case.message}" for case in wrong] == []
    assert [len(cases) for cases in found.values()] == [len(CASES), len(CASES)]
