"""Conditions (the truth of a status) and the phase (derived from them).

A `Verdict` is what a plan thinks of one condition now; `merge` turns verdicts into metav1.Conditions, keeping
lastTransitionTime where the status did not change (the rule of the Kubernetes API conventions).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from moorage.model import Condition, ConditionStatus, Phase

PROVISIONED = "Provisioned"
READY = "Ready"
ATTACHED = "Attached"
HEALTHY = "Healthy"
RESIZED = "Resized"
SIZE_ENFORCED = "SizeEnforced"
KEYS_ENFORCED = "KeysEnforced"
CAPACITY_LOW = "CapacityLow"
DELETION_BLOCKED = "DeletionBlocked"
CONFIGURED = "Configured"
LOCK_ENFORCED = "ObjectLockEnforced"
CLOSE_IS_STORED = "CloseIsStored"

MESSAGE_MAX = 1024  # the API allows more; nobody reads more


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition without its times."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""


class Judged(Protocol):
    """What the statuses that have a phase have in common."""

    @property
    def phase(self) -> Phase | None: ...
    @property
    def phase_since(self) -> str | None: ...
    @property
    def conditions(self) -> tuple[Condition, ...]: ...


def yes(type: str, reason: str, message: str = "") -> Verdict:
    return Verdict(type, ConditionStatus.true, reason, message)


def no(type: str, reason: str, message: str = "") -> Verdict:
    return Verdict(type, ConditionStatus.false, reason, message)


def lifecycle(phase: Phase, message: str = "", *, usable: bool = False) -> Verdict:
    """The Ready condition, whose reason mirrors the phase; `usable` when pods may mount in that phase."""
    status = ConditionStatus.true if usable or phase == Phase.READY else ConditionStatus.false
    return Verdict(READY, status, phase.value.capitalize(), message)


def outcome(before: Judged, verdicts: Iterable[Verdict], generation: int, now: str) -> dict[str, Any]:
    """What the verdicts make of a status: its conditions, phase, since when, and the generation that was judged.

    `now` may have fractions of a second: `phase_since` keeps them, the times of conditions have none (metav1.Time).
    """
    merged = merge(before.conditions, verdicts, generation, now)
    current = phase(merged)
    since = before.phase_since if before.phase == current else None
    return {
        "phase": current,
        "phase_since": since or now,
        "observed_generation": generation,
        "conditions": merged,
    }


def merge(old: Iterable[Condition], verdicts: Iterable[Verdict], generation: int, now: str) -> tuple[Condition, ...]:
    """The verdicts as conditions, ordered by type; a condition without a verdict goes."""
    before = {each.type: each for each in old}
    now = now.partition(".")[0] + "Z" if "." in now else now
    return tuple(
        Condition(
            type=each.type,
            status=each.status,
            reason=each.reason,
            message=_short(each.message),
            observed_generation=generation,
            last_transition_time=_since(before.get(each.type), each, now),
        )
        for each in sorted(verdicts, key=lambda verdict: verdict.type)
    )


def phase(conditions: Iterable[Condition]) -> Phase:
    """The documented status; PENDING until somebody has judged the object."""
    ready = find(conditions, READY)
    try:
        return Phase(ready.reason.upper()) if ready else Phase.PENDING
    except ValueError:
        return Phase.PENDING


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    return next((each for each in conditions if each.type == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    found = find(conditions, type)
    return found is not None and found.status == ConditionStatus.true


def message_of(conditions: Iterable[Condition], type: str) -> str:
    found = find(conditions, type)
    return found.message if found else ""


def _since(before: Condition | None, verdict: Verdict, now: str) -> str:
    return before.last_transition_time if before and before.status == verdict.status else now


def _short(message: str) -> str:
    return message if len(message) <= MESSAGE_MAX else message[: MESSAGE_MAX - 1] + "…"
