"""docs/conformance.md, written from the results of a run and the reasons."""

from collections import Counter
from collections.abc import Iterable, Sequence

from conformance.case import Case, State
from conformance.reason import Reason, reason_for

TYPES = ("shared", "object")
_STATES: tuple[State, ...] = ("passed", "failed", "pending", "skipped")
_UNKNOWN = "**no reason is known**"

_HEAD = """# Conformance

Written by `make conformance` (`tests/e2e/conformance`); the reasons are those of `tests/e2e/conformance/reasons.yaml`.
A case that is skipped or fails without a reason there fails the target. But for what the tables call "left out by us",
nothing is skipped by a pattern: each skipped case looked at what the driver offers, or at the machine, and said itself
that it does not apply.
"""
_SANITY = """
## csi-sanity

csi-test {sanity}, which speaks CSI 1.13, on a worker node against the real driver with its real mounter, NFS server and
S3 server. `make test` runs all of it too (`tests/e2e/test_sanity.py`).
"""
_EXTERNAL = """
## Kubernetes External.Storage

The suite of Kubernetes {kubernetes} (`e2e.test`) with the driver files of `tests/e2e/external-storage`, on a cluster
of the same version with two worker nodes. `make test` runs a stable subset (`tests/e2e/test_external_storage.py`). For
the inline cases the run puts the StorageVolumes that the driver files name into the namespaces that the suite makes
(`tests/e2e/conformance/inline.py`).
"""


def page(cases: Sequence[Case], reasons: Sequence[Reason], versions: dict[str, str]) -> str:
    """The whole page. `versions`: those of `sanity` and `kubernetes`."""
    parts = [_HEAD]
    for suite, head in (("csi-sanity", _SANITY), ("External.Storage", _EXTERNAL)):
        parts += [head.format(**versions), *_suite([case for case in cases if case.suite == suite], reasons)]
    return "\n".join(parts).rstrip() + "\n"


def _suite(cases: Sequence[Case], reasons: Sequence[Reason]) -> Iterable[str]:
    yield _table(["type", *_STATES, "minutes of cases"], [_count(cases, kind) for kind in TYPES])
    failed = _explained(cases, reasons, "failed")
    yield "\nNo case fails.\n" if not failed else "\nFailing:\n\n" + failed
    if pending := _explained(cases, reasons, "pending"):
        yield "\nPending, that is, switched off by the suite's own authors:\n\n" + pending
    yield "\nSkipped:\n"
    yield _table([*TYPES, "cases", "why"], _skips(cases, reasons))


def _count(cases: Sequence[Case], kind: str) -> list[str]:
    own = [case for case in cases if case.type == kind]
    found = Counter(case.state for case in own)
    return [kind, *(str(found[state]) for state in _STATES), f"{sum(case.seconds for case in own) / 60:.0f}"]


def _explained(cases: Sequence[Case], reasons: Sequence[Reason], state: State) -> str:
    """A row for each case that is in this state for some type, or nothing."""
    chosen = [case for case in cases if case.state == state]
    rows = {
        (case.name, _why(case, reasons)): ", ".join(kind for kind in TYPES if any(_is(c, case, kind) for c in chosen))
        for case in sorted(chosen, key=lambda case: case.name)
    }
    return _table(["case", "type", "why"], [[name, kinds, why] for (name, why), kinds in rows.items()]) if rows else ""


def _is(case: Case, other: Case, kind: str) -> bool:
    return case.type == kind and case.name == other.name


def _skips(cases: Sequence[Case], reasons: Sequence[Reason]) -> list[list[str]]:
    """A row for each reason, the most frequent first: how many cases of each type, the suite's own word, and why."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        if case.state == "skipped":
            groups.setdefault(_why(case, reasons), []).append(case)
    rows = [[*_numbers(group), _example(group), why] for why, group in groups.items()]
    return sorted(rows, key=lambda row: -int(row[0]) - int(row[1]))


def _numbers(group: Sequence[Case]) -> list[str]:
    return [str(sum(case.type == kind for case in group)) for kind in TYPES]


def _example(group: Sequence[Case]) -> str:
    """What the suite says of most of them."""
    return Counter(case.message for case in group).most_common(1)[0][0].removesuffix("- skipping").rstrip(" -")


def _why(case: Case, reasons: Sequence[Reason]) -> str:
    reason = reason_for(case, reasons)
    return reason.why if reason else f"{_UNKNOWN}: {case.message}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def versions(go_mods: Iterable[str]) -> dict[str, str]:
    """The versions of the suites, out of the go.mod files that pin them."""
    names = {"github.com/kubernetes-csi/csi-test/v5": "sanity", "k8s.io/kubernetes": "kubernetes"}
    words = [line.removeprefix("require ").split() for text in go_mods for line in text.splitlines()]
    return {names[line[0]]: line[1] for line in words if len(line) >= 2 and line[0] in names}
