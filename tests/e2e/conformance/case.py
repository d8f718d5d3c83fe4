"""The cases of a suite and what became of them, as ginkgo reports it."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

Suite = Literal["External.Storage", "csi-sanity"]
State = Literal["passed", "failed", "skipped", "pending"]
# What ginkgo calls the other ways in which a case can go wrong.
_STATES: Mapping[str, State] = {
    "passed": "passed", "skipped": "skipped", "pending": "pending", "failed": "failed",
    "panicked": "failed", "timedout": "failed", "interrupted": "failed", "aborted": "failed",
}  # fmt: skip
LEFT_OUT = "left out by us"
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


def read(report: str, suite: Suite, kind: str, left_out: str | None = None) -> list[Case]:
    """The cases in ginkgo's JSON report, and what failed of the suite's own set-up and clean-up.

    `left_out`: the pattern of the cases that a run of the whole suite left out; None when only a part was to run, of
    which the others are not told.
    """
    suites: list[dict[str, list[dict[str, Any]] | None]] = json.loads(report)
    found = (_case(spec, suite, kind, left_out) for each in suites for spec in each["SpecReports"] or [])
    return [case for case in found if case]


def _case(spec: Mapping[str, Any], suite: Suite, kind: str, left_out: str | None) -> Case | None:
    words: list[str] = [*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"] or spec["LeafNodeType"]]
    name, failure = " ".join(words), cast("dict[str, Any]", spec.get("Failure") or {})
    message = " ".join(str(failure.get("Message", "")).split())
    state = _STATES.get(spec["State"], "failed")
    if state == "skipped" and not message:  # by a filter, or because the run ended before
        if left_out is None or (suite == "External.Storage" and not name.startswith(_PREFIX)):
            return None
        message = LEFT_OUT if re.search(left_out, name) else "not begun when the run ended"
        state = "skipped" if message == LEFT_OUT else "failed"
    if spec["LeafNodeType"] != "It" and state != "failed":
        return None
    return Case(suite, kind, name.removeprefix(_PREFIX), state, message, spec["RunTime"] / 1e9)


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
