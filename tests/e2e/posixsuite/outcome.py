"""What the suites said, and the reasons written by hand for what did not pass."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import yaml

State = Literal["passed", "failed", "skipped"]
REASONS = Path(__file__).with_name("reasons.yaml")
WORDS: dict[str, State] = {"ok": "passed", "FAILED": "failed", "skipped": "skipped"}
_LINE = re.compile(r"^(?P<name>\w+(::\w+)+)\s+(?P<word>ok|FAILED|skipped)$")
_SUMMARY = re.compile(r"^Summary: .* (?P<total>\d+) total$", re.MULTILINE)
_GOOD = "All operations completed A-OK!"


class Unfinished(RuntimeError):
    """A suite did not reach its end; the message holds its last words."""


@dataclass(frozen=True)
class Case:
    """One case of a suite in one place. `message`: what was not as expected, or why it was skipped; one line."""

    place: str
    suite: str
    name: str
    state: State
    message: str = ""


@dataclass(frozen=True)
class Reason:
    """`why` stands for the cases of this state whose name is found by `case`, in the places given (all, if none)."""

    state: str
    case: str
    why: str
    places: tuple[str, ...] = ()

    def fits(self, case: Case) -> bool:
        here = not self.places or case.place in self.places
        return here and case.state == self.state and re.search(self.case, case.name) is not None


def pjdfstest(place: str, said: str, died: str = "") -> list[Case]:
    """The cases in pjdfstest's output. When it ended before its end, one more that failed has the name `died`; without
    such a name Unfinished is raised."""
    cases: list[Case] = []
    words: list[str] = []
    for line in [*said.splitlines(), ""]:
        if found := _LINE.match(line.strip()):
            cases.append(Case(place, "pjdfstest", found["name"], WORDS[found["word"]]))
            words = []
        elif cases and line.startswith(("\t", " ")):
            words.append(line.strip())
            cases[-1] = Case(place, "pjdfstest", cases[-1].name, cases[-1].state, " ".join(words))
    summary = _SUMMARY.search(said)
    if summary is None and died:
        return [*cases, Case(place, "pjdfstest", died, "failed", "the program ended before all its cases were tried")]
    if summary is None or int(summary["total"]) != len(cases):
        raise Unfinished(f"pjdfstest, {place}: {len(cases)} cases seen; it ends: {said[-1000:]}")
    return cases


def fsx(place: str, seed: int, operations: int, said: str) -> Case:
    """One run of fsx."""
    good = said.rstrip().endswith(_GOOD)
    message = "" if good else " ".join(said.split())[-500:]
    return Case(place, "fsx", f"seed {seed}, {operations} operations", "passed" if good else "failed", message)


def counts(cases: Iterable[Case]) -> str:
    found = Counter(case.state for case in cases)
    return ", ".join(f"{found[state]} {state}" for state in ("passed", "failed", "skipped"))


def load_reasons(path: Path = REASONS) -> list[Reason]:
    told: dict[str, list[dict[str, str | list[str]]]] = yaml.safe_load(path.read_text())
    return [
        Reason(state, str(each["case"]), str(each["why"]), tuple(each.get("places", ())))
        for state, entries in told.items()
        for each in entries
    ]


def reason_for(case: Case, reasons: Iterable[Reason]) -> Reason | None:
    return next((reason for reason in reasons if reason.fits(case)), None)


def unexplained(cases: Iterable[Case], reasons: Sequence[Reason]) -> list[Case]:
    """The cases that did not pass and have no reason."""
    return [case for case in cases if case.state != "passed" and reason_for(case, reasons) is None]


def save(path: Path, cases: Iterable[Case]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n")


def load(path: Path) -> list[Case]:
    return [Case(**fields) for fields in json.loads(path.read_text())]
