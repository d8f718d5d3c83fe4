"""`python -m posixsuite [--part volumes|object] [--plain-only] [--page]`: run the suites, write the pages, say what has
no reason.

The part `volumes` (shared and local ones, docs/posix.md) starts a cluster; the part `object` (docs/posix-object.md)
needs none, but tests/unit/moorfs in PYTHONPATH. Without `--part` both run. `--plain-only`: on a plain XFS alone.
`--page`: only write the pages anew from what was found.
"""

from __future__ import annotations

import argparse
import sys

from cluster.images import ensure
from cluster.progress import say, slow
from cluster.provider import Provider, choose
from harness.install import ROOT, install
from harness.kube import Kube
from harness.manifests import volume
from posixsuite import outcome
from posixsuite.outcome import Case
from posixsuite.page import OBJECT, VOLUMES, page
from posixsuite.places import Place, Pods, all_cases, plain_xfs
from posixsuite.programs import ensure_programs, recipe

RESULTS = {VOLUMES: ROOT / "build" / "posix.json", OBJECT: ROOT / "build" / "posix-object.json"}
PAGES = {VOLUMES: ROOT / "docs" / "posix.md", OBJECT: ROOT / "docs" / "posix-object.md"}
NAMESPACE = "posix"
KINDS = ("shared", "local")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m posixsuite", description=__doc__)
    parser.add_argument("--part", choices=(VOLUMES, OBJECT), action="append")
    parser.add_argument("--plain-only", action="store_true")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if asked.plain_only:
        return 1 if outcome.unexplained(plain(), outcome.load_reasons()) else 0
    parts: list[str] = asked.part or [VOLUMES, OBJECT]
    for part in [] if asked.page else parts:
        found = on_buckets() if part == OBJECT else on_volumes(choose())
        outcome.save(RESULTS[part], [*found, *plain()])
    return max([judge(part, outcome.load(RESULTS[part])) for part in parts])


def on_volumes(bed: Provider) -> list[Case]:
    """The suites in pods, on a volume of each type that is a file system of the cluster's own."""
    bed.create()
    install(bed)
    bed.load_images([ensure(recipe())])
    kube, node = Kube(bed), bed.nodes()[0]
    kube.attempt("create", "namespace", NAMESPACE)
    try:
        return [case for kind in KINDS for case in on_volume(kube, kind, node)]
    finally:
        kube("delete", "namespace", NAMESPACE, "--wait=false")


def on_volume(kube: Kube, kind: str, node: str) -> list[Case]:
    where = {"node": node} if kind == "local" else {}
    kube.apply(volume(kind, NAMESPACE, type=kind, size="1Gi", **where))
    kube.wait_phase("StorageVolume", kind, "READY", NAMESPACE)
    try:
        return told(Pods(kind, kube, NAMESPACE, kind, node))
    finally:
        kube("delete", "pods", "--all", "-n", NAMESPACE, "--timeout=90s", timeout=100)
        kube.delete("StorageVolume", kind, NAMESPACE)


def on_buckets() -> list[Case]:
    """The suites on mounts of buckets of this machine."""
    from posixsuite.objects import buckets  # only this part needs what is imported there

    cases: list[Case] = []
    with buckets(ensure_programs()) as places:
        for opened in places:
            with opened() as place:
                cases += told(place, apart=place.name == "s3fs")
    return cases


def plain() -> list[Case]:
    with plain_xfs(ensure_programs()) as place:
        return told(place)


def told(place: Place, apart: bool = False) -> list[Case]:
    """Run the suites and say the counts and what failed."""
    with slow(f"POSIX suites, {place.name}"):
        cases = all_cases(place, apart)
    say(f"{place.name}: {outcome.counts(cases)}")
    for case in cases:
        if case.state == "failed":
            say(f"FAILED {case.name}: {case.message}")
    return cases


def judge(part: str, cases: list[Case]) -> int:
    """Write the page; 1 if a case that did not pass has no reason."""
    reasons = outcome.load_reasons()
    PAGES[part].write_text(page(part, cases, reasons))
    unknown = outcome.unexplained(cases, reasons)
    for case in unknown:
        print(f"no reason: {case.place}: {case.state}: {case.name}: {case.message}")
    print(f"{PAGES[part]}: {outcome.counts(cases)}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
