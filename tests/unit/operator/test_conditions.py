import pytest

from moorage import conditions, transitions
from moorage.conditions import lifecycle, merge, no, yes
from moorage.model import Condition, Phase


def times(found: tuple[Condition, ...]) -> dict[str, str]:
    return {each.type: each.last_transition_time for each in found}


def test_the_time_moves_only_when_the_status_changes() -> None:
    first = merge((), (no("Ready", "Pending", "a"), yes("Healthy", "Fine")), 1, "t1")

    same = merge(first, (no("Ready", "Provisioning", "b"), yes("Healthy", "Fine")), 2, "t2")
    changed = merge(same, (yes("Ready", "Ready"), yes("Healthy", "Fine")), 2, "t3")

    assert times(same) == {"Ready": "t1", "Healthy": "t1"}
    assert times(changed) == {"Ready": "t3", "Healthy": "t1"}
    assert {each.observed_generation for each in same} == {2}


@pytest.mark.parametrize("phase", list(Phase))
def test_the_phase_is_derived_from_the_ready_condition(phase: Phase) -> None:
    assert conditions.phase(merge((), (lifecycle(phase),), 1, "t")) == phase


def test_only_ready_is_usable_unless_said_otherwise() -> None:
    usable = {phase for phase in Phase if lifecycle(phase).status == "True"}

    assert usable == {Phase.READY}
    assert lifecycle(Phase.ATTACHING, usable=True).status == "True"


def test_nobody_judged_is_pending() -> None:
    assert conditions.phase(()) == Phase.PENDING


def test_messages_are_bounded() -> None:
    (found,) = merge((), (no("Ready", "Failed", "x" * 5000),), 1, "t")

    assert len(found.message) == conditions.MESSAGE_MAX


def test_a_transition_is_told_once() -> None:
    waiting = merge((), (no("Provisioned", "NoBackend", "m"), lifecycle(Phase.PENDING, "m")), 1, "t")
    ready = merge(waiting, (yes("Provisioned", "Provisioned"), lifecycle(Phase.READY)), 1, "t")

    assert [each.reason for each in transitions.notices((), waiting)] == ["NoBackend"]
    assert transitions.notices(waiting, waiting) == ()
    assert [(each.reason, each.warning) for each in transitions.notices(waiting, ready)] == [("Ready", False)]


def test_another_cause_of_waiting_is_told() -> None:
    one = merge((), (no("Provisioned", "NoBackend", "m"), lifecycle(Phase.PENDING, "m")), 1, "t")
    other = merge(one, (no("Provisioned", "BackendNotReady", "n"), lifecycle(Phase.PENDING, "n")), 1, "t")

    assert [each.reason for each in transitions.notices(one, other)] == ["BackendNotReady"]
