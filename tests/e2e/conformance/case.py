"""The cases of a suite and what became of them, as ginkgo reports it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Suite = Literal["External.Storage", "csi-sanity"]
State = Literal["passed", "failed", "skipped", "pending"]
# What ginkgo calls the other ways in which a case can go wrong.
_STATES: Mapping[str, State] = {
    "passed": "passed", "skipped": "skipped", "pending": "pending", "failed": "failed",
    "panicked": "failed", "timedout": "failed", "interrupted": "failed", "aborted": "failed",
}  # fmt: skip
_PREFIX = "External Storage [Driver: csi.moorage.dev] "


@dataclass(frozen=True)
class Case:
    """One case for one type of volume. `message`: why it was skipped, or what went wrong; one line."""

    suite: Suite
    type: str
    name: str
    state: State
    message: str
    seconds: float


def read(report: str, suite: Suite, kind: str) -> list[Case]:
    """The cases in ginkgo's JSON report, and what failed of the suite's own set-up and clean-up.

    Cases that a filter left out have no message and are not told.
    """
    suites: list[dict[str, list[dict[str, Any]] | None]] = json.loads(report)
    specs = [(spec["LeafNodeType"], _case(spec, suite, kind)) for each in suites for spec in each["SpecReports"] or []]
    return [case for node, case in specs if case.state == "failed" or (node == "It" and _told(case))]


def _told(case: Case) -> bool:
    """Whether a case ran, or said why it did not."""
    return case.state != "skipped" or bool(case.message)


def _case(spec: Mapping[str, Any], suite: Suite, kind: str) -> Case:
    words: list[str] = [*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"] or spec["LeafNodeType"]]
    failure: dict[str, Any] = spec.get("Failure") or {}
    message = " ".join(str(failure.get("Message", "")).split())
    state = _STATES.get(spec["State"], "failed")
    return Case(suite, kind, " ".join(words).removeprefix(_PREFIX), state, message, spec["RunTime"] / 1e9)


def counts(cases: Iterable[Case]) -> str:
    """`12 passed, 0 failed, 30 skipped`."""
    found = Counter(case.state for case in cases)
    told = ["passed", "failed", *(["pending"] if found["pending"] else []), "skipped"]
    return ", ".join(f"{found[state]} {state}" for state in told)


def save(path: Path, cases: Iterable[Case]) -> None:
    """All cases as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n")


def load(path: Path) -> list[Case]:
    return [Case(**fields) for fields in json.loads(path.read_text())]
