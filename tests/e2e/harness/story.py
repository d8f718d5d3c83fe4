"""What the crash checker's writer told, what was found in its volume, and whether the one agrees with the other."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from harness import crash

Place = tuple[int, int]


@dataclass
class Story:
    """What `write` told."""

    acknowledged: dict[int, float] = field(default_factory=dict[int, float])
    failed: set[int] = field(default_factory=set[int])
    errors: list[str] = field(default_factory=list[str])
    start: float | None = None
    end: float | None = None
    beats: int = 0  # looks at the lock that found it held
    lock_lost: str = ""

    def hear(self, line: str) -> None:
        """One line; those of others (a runtime's, a traceback's) are kept as errors."""
        word, _, rest = line.strip().partition(" ")
        if word == "ack":
            number, _, moment = rest.partition(" ")
            self.acknowledged[int(number)] = float(moment)
        elif word == "error":
            self.failed.add(int(rest.split()[0]))
            self.errors.append(rest)
        elif word == "lost":
            self.lock_lost = rest
        elif word in ("start", "end"):
            setattr(self, word, float(rest))
        elif word == "lock":
            self.beats += 1
        elif word:
            self.errors.append(line.strip())

    def longest_stall(self) -> float:
        """Seconds between two acknowledgements, of which start and end are one each; infinite without an end."""
        if self.end is None or self.start is None:
            return math.inf
        moments = sorted([self.start, *self.acknowledged.values(), self.end])
        return max(b - a for a, b in pairwise(moments))


@dataclass
class Findings:
    """Numbers of acknowledged records that are not as they were acknowledged."""

    acknowledged: int = 0
    lost: list[int] = field(default_factory=list[int])  # an older record, or nothing, is in its slot
    torn: list[int] = field(default_factory=list[int])  # what is in its slot is no whole record
    misplaced: list[int] = field(default_factory=list[int])  # a whole record of another slot, or one never begun

    def wrong(self) -> dict[str, list[int]]:
        return {"lost": self.lost, "torn": self.torn, "misplaced": self.misplaced}


def contents(lines: Iterable[str]) -> dict[Place, int | str]:
    """What `read` of harness.crash printed: a record's number, `torn` or `empty` for each slot that is there."""
    found: dict[Place, int | str] = {}
    for line in lines:
        file, slot, what = line.split()
        found[int(file), int(slot)] = int(what) if what.isdigit() else what
    return found


def judge(story: Story, found: Mapping[Place, int | str], place: Callable[[int], Place] = crash.place) -> Findings:
    """Compare each slot with the newest record that was acknowledged for it.

    A later record in the slot is right if its writing began and was not acknowledged; such a one may also be half
    written, for nobody was told that it is safe.
    """
    newest = {place(number): number for number in sorted(story.acknowledged)}
    last = max([*story.acknowledged, *story.failed], default=-1)
    begun = sorted(number for number in range(last + 2) if number not in story.acknowledged)
    unsure = {place(number): number for number in begun}
    findings = Findings(acknowledged=len(story.acknowledged))
    for where, number in newest.items():
        seen = found.get(where, "empty")
        if seen == number or (isinstance(seen, str) and unsure.get(where, -1) > number):
            continue
        if isinstance(seen, str):
            (findings.torn if seen == "torn" else findings.lost).append(number)
        elif place(seen) == where and seen < number:
            findings.lost.append(number)
        elif place(seen) != where or seen not in begun:
            findings.misplaced.append(number)
    return findings
