"""Which Events a change of conditions is worth: one per transition, none for a status that only repeats itself."""

from collections.abc import Iterable
from typing import Protocol

from moorage import conditions, growth
from moorage.actions import Notice
from moorage.model import Condition, ConditionStatus, Phase


class Told(Protocol):
    """What every status has in common."""

    @property
    def conditions(self) -> tuple[Condition, ...]: ...


_NAMED_BY_CAUSE = frozenset({Phase.PENDING, Phase.FAILED})


def notices(old: Iterable[Condition], new: Iterable[Condition]) -> tuple[Notice, ...]:
    """What to tell about the step from the `old` conditions to the `new` ones."""
    before, after = tuple(old), tuple(new)
    found = (_of_phase(before, after), _of_blocking(before, after), _of_size(before, after))
    return tuple(each for each in found if each)


def mark(before: Told) -> str:
    """Which state a step starts from: the same for every attempt at the step, another one for the next step.

    Only the operator writes these fields, in the very write that ends the step. So an Event that is named by its
    object, its reason and this mark, and posted before that write, is told once, whoever dies in between. What no Event
    is made of stays out: it may change between two attempts.
    """
    kinds = (conditions.READY, conditions.DELETION_BLOCKED, conditions.RESIZED, conditions.CAPACITY_LOW)
    found = [each for kind in kinds if (each := conditions.find(before.conditions, kind))]
    judged = (f"{each.type} {each.status} {each.last_transition_time}" for each in found)
    sized = (f"{each.reason} {each.observed_generation}" for each in found if each.type == conditions.RESIZED)
    keys = (str(getattr(before, each, "")) for each in ("access_key_id", "previous", "key"))  # of buckets
    drift = getattr(before, "drift", None)  # of a Bucket
    drifted = (drift.at,) if drift else ()
    since, headline = str(getattr(before, "phase_since", None)), _headline(before.conditions)[0]
    return "/".join((since, headline, *judged, *sized, *keys, *drifted))


def _of_phase(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> Notice | None:
    reason, message, warning = _headline(after)
    if conditions.find(before, conditions.READY) and _headline(before)[0] == reason:
        return None
    return Notice(reason, message, warning)


def _headline(found: tuple[Condition, ...]) -> tuple[str, str, bool]:
    """Waiting and failing are named by their cause, everything else by the phase."""
    phase = conditions.phase(found)
    cause = conditions.find(found, conditions.PROVISIONED) or conditions.find(found, conditions.ATTACHED)
    ready = conditions.find(found, conditions.READY)
    message = ready.message if ready else ""
    if phase in _NAMED_BY_CAUSE and cause and cause.status == ConditionStatus.false:
        return cause.reason, message, True
    return phase.value.capitalize(), message, phase == Phase.FAILED


def _of_blocking(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> Notice | None:
    kind = conditions.DELETION_BLOCKED
    if conditions.is_true(after, kind) and not conditions.is_true(before, kind):
        return Notice(kind, conditions.message_of(after, kind), warning=True)
    return None


def _of_size(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> Notice | None:
    old, new = conditions.find(before, conditions.RESIZED), conditions.find(after, conditions.RESIZED)
    if not old or not new or (old.status, old.reason) == (new.status, new.reason):
        return None
    return Notice(new.reason, new.message, warning=new.reason not in growth.WAITING)
