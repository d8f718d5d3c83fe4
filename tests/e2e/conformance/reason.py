"""Why cases are skipped or fail: reasons written by hand, and their fit to what a run showed."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conformance.case import Case

FILE = Path(__file__).with_name("reasons.yaml")


@dataclass(frozen=True)
class Reason:
    """`why` stands for the cases of these suites, types and states whose text `pattern` is found in.

    For a skipped case the text is its message; for a failed or pending one, its name.
    """

    state: str
    pattern: str
    why: str
    types: tuple[str, ...] = ()
    suite: str = ""

    def fits(self, case: Case) -> bool:
        text = case.message if self.state == "skipped" else case.name
        return (
            case.state == self.state
            and (not self.types or case.type in self.types)
            and self.suite in ("", case.suite)
            and re.search(self.pattern, text) is not None
        )


def load(path: Path = FILE) -> list[Reason]:
    """The reasons of the file, which has a list of them under each state."""
    told: dict[str, list[dict[str, Any]]] = yaml.safe_load(path.read_text())
    return [
        Reason(state, each["pattern"], each["why"], tuple(each.get("types", ())), each.get("suite", ""))
        for state, entries in told.items()
        for each in entries
    ]


def reason_for(case: Case, reasons: Iterable[Reason]) -> Reason | None:
    """The first reason that fits."""
    return next((reason for reason in reasons if reason.fits(case)), None)


def unexplained(cases: Iterable[Case], reasons: Sequence[Reason]) -> list[Case]:
    """The cases that did not pass and have no reason."""
    return [case for case in cases if case.state != "passed" and reason_for(case, reasons) is None]


def unused(cases: Sequence[Case], reasons: Iterable[Reason]) -> list[Reason]:
    """Reasons for a skip that no skip has any more."""
    return [reason for reason in reasons if reason.state == "skipped" and not any(reason.fits(case) for case in cases)]
