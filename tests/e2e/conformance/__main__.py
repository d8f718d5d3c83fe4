"""`make conformance`: a cluster with the chart, csi-sanity and External.Storage for both types, and the page on them.

`python -m conformance [--type TYPE ...]`: all types by default. `--page`: only write the page anew from what was found.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.progress import say, slow
from cluster.provider import Provider, choose
from cluster.suite import ensure_suite
from cluster.toolchain import HOME
from conformance import page, reason
from conformance.case import Case, counts, load, save
from conformance.external import TYPES, Run, external_storage
from conformance.sanity import csi_sanity, driver
from harness.install import ROOT, install
from harness.kube import Kube

RESULTS = ROOT / "build" / "conformance"
PAGE = ROOT / "docs" / "conformance.md"
# Of volumes on a node: low, because a case fills a node.
LIMIT = 16
MODULES = (HOME / "go.mod", HOME / "csi-sanity" / "go.mod")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--type", action="append", choices=TYPES, dest="types")
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if not asked.page:
        run_all(choose(), asked.types or TYPES)
    return judge(load(RESULTS / "results.json"))


def run_all(bed: Provider, types: Sequence[str]) -> None:
    """Run the suites for these types; what is known of other types stays in the results."""
    bed.create()
    install(bed, "--set", f"csiNode.maxVolumes={LIMIT}")
    kube, suite, file = Kube(bed), ensure_suite(bed), RESULTS / "results.json"
    kept = [case for case in load(file) if case.type not in types] if file.is_file() else []
    with driver(kube, bed.nodes()[0]) as served:
        for kind in types:
            with slow(f"csi-sanity, {kind}"):
                kept += told(csi_sanity(served, kind))
            save(file, kept)
    for kind in types:
        with slow(f"External.Storage, {kind} (its log: {RESULTS / kind / 'log'})", every=60):
            kept += told(external_storage(suite, Run(kind), kube, RESULTS / kind))
        save(file, kept)


def told(cases: list[Case]) -> list[Case]:
    """The cases, once their counts and failures were said."""
    say(counts(cases))
    for case in cases:
        if case.state == "failed":
            say(f"FAILED {case.name}: {case.message[:1000]}")
    return cases


def judge(cases: Sequence[Case], target: Path = PAGE) -> int:
    """Write the page; 1 if a case that did not pass has no reason, or a reason for a skip has no case."""
    reasons = reason.load()
    target.write_text(page.page(cases, reasons, page.versions(path.read_text() for path in MODULES)))
    unknown, stale = reason.unexplained(cases, reasons), reason.unused(cases, reasons)
    for case in unknown:
        print(f"no reason: {case.suite}, {case.type}: {case.state}: {case.name}: {case.message[:300]}")
    for each in stale:
        print(f"no case is skipped for this reason any more, take it out of {reason.FILE.name}: {each.pattern}")
    print(f"{target}: {counts(cases)}")
    return 1 if unknown or stale else 0


if __name__ == "__main__":
    sys.exit(main())
