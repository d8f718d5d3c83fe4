"""`python -m posixsuite [--plain-only] [--page]`: run the suites, write docs/posix.md, say what has no reason.

`--plain-only`: without a cluster, on a plain XFS alone. `--page`: only write the page anew from what was found.
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
from posixsuite.page import page
from posixsuite.places import Place, Pods, all_cases, plain_xfs
from posixsuite.programs import ensure_programs, recipe

RESULTS = ROOT / "build" / "posix.json"
PAGE = ROOT / "docs" / "posix.md"
NAMESPACE = "posix"
KINDS = ("shared", "local")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m posixsuite", description=__doc__)
    parser.add_argument("--plain-only", action="store_true")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if asked.plain_only:
        return 1 if outcome.unexplained(plain(), outcome.load_reasons()) else 0
    if not asked.page:
        outcome.save(RESULTS, [*on_volumes(choose()), *plain()])
    return judge(outcome.load(RESULTS))


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


def plain() -> list[Case]:
    with plain_xfs(ensure_programs()) as place:
        return told(place)


def told(place: Place) -> list[Case]:
    """Run the suites and say the counts and what failed."""
    with slow(f"POSIX suites, {place.name}"):
        cases = all_cases(place)
    say(f"{place.name}: {outcome.counts(cases)}")
    for case in cases:
        if case.state == "failed":
            say(f"FAILED {case.name}: {case.message}")
    return cases


def judge(cases: list[Case]) -> int:
    """Write the page; 1 if a case that did not pass has no reason."""
    reasons = outcome.load_reasons()
    PAGE.write_text(page(cases, reasons))
    unknown = outcome.unexplained(cases, reasons)
    for case in unknown:
        print(f"no reason: {case.place}: {case.state}: {case.name}: {case.message}")
    print(f"{PAGE}: {outcome.counts(cases)}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
