"""An Event is named by the state before: the same for every attempt at a step, another one for the next."""

from typing import Any

from moorage import conditions, transitions
from moorage.actions import Notice
from moorage.conditions import Verdict, lifecycle, no, outcome, yes
from moorage.model import Phase, StorageVolumeStatus
from moorage_operator.events import event

BODY = {
    **{"apiVersion": "moorage.dev/v1alpha1", "kind": "StorageVolume"},
    "metadata": {"name": "data", "namespace": "ns", "uid": "u"},
}


def status(before: StorageVolumeStatus, second: int, *verdicts: Verdict, **more: Any) -> StorageVolumeStatus:
    now = f"2026-01-01T00:00:00.{second:06}Z"
    return before.model_copy(update=outcome(before, verdicts, 1, now) | more)


def name(before: StorageVolumeStatus, reason: str, message: str = "") -> str:
    return event(BODY, Notice(reason, message), transitions.mark(before), "me")["metadata"]["name"]


def test_a_second_attempt_makes_the_same_event_whatever_its_words() -> None:
    new = StorageVolumeStatus()

    assert name(new, "Ready", "one pod") == name(new, "Ready", "two pods")
    assert name(new, "Ready") != name(new, "Provisioning")


def test_what_the_agent_writes_meanwhile_changes_nothing() -> None:
    before = status(StorageVolumeStatus(), 1, lifecycle(Phase.PROVISIONING))
    served = {"state": "Served", "server": "moorage-nfs-0"}

    after = StorageVolumeStatus.model_validate({**before.dump(), "share": served})

    assert name(before, "Ready") == name(after, "Ready")


def test_the_same_step_of_another_day_is_another_event_even_within_a_second() -> None:
    first = status(StorageVolumeStatus(), 1, lifecycle(Phase.READY))
    away = status(first, 2, lifecycle(Phase.ATTACHING, usable=True))
    again = status(away, 3, lifecycle(Phase.READY))

    assert name(first, "Attaching") != name(again, "Attaching")


def test_another_cause_within_a_phase_is_another_state() -> None:
    one = status(StorageVolumeStatus(), 1, no(conditions.PROVISIONED, "NoBackend"), lifecycle(Phase.PENDING))
    other = status(one, 2, no(conditions.PROVISIONED, "BackendNotReady"), lifecycle(Phase.PENDING))

    assert one.phase_since == other.phase_since
    assert name(one, "Provisioning") != name(other, "Provisioning")


def test_what_no_event_is_made_of_may_change_between_two_attempts() -> None:
    waiting = (no(conditions.PROVISIONED, "ShareCreating"), lifecycle(Phase.PROVISIONING, "a"))
    one = status(StorageVolumeStatus(), 1, *waiting, no(conditions.ATTACHED, "NotAttached"))
    sick = (no(conditions.PROVISIONED, "BackendNotReady"), lifecycle(Phase.PROVISIONING, "b"))

    other = status(one, 2, *sick, yes(conditions.ATTACHED, "InUse"))

    assert name(one, "Ready") == name(other, "Ready")


def test_each_growth_is_told() -> None:
    small = status(StorageVolumeStatus(), 1, lifecycle(Phase.READY), yes(conditions.RESIZED, "Resized"))
    growing = status(small, 1, lifecycle(Phase.READY), no(conditions.RESIZED, "Resizing"))
    grown = growing.model_copy(
        update=outcome(growing, [lifecycle(Phase.READY), yes(conditions.RESIZED, "Resized")], 2, "2026-01-01T00:00:00Z")
    )

    assert len({name(each, "Resizing") for each in (small, growing, grown)}) == 3


def test_growing_is_no_trouble_and_what_hinders_it_is() -> None:
    has = (lifecycle(Phase.READY), yes(conditions.RESIZED, "Resized"))
    small = status(StorageVolumeStatus(), 1, *has)
    growing = status(small, 2, lifecycle(Phase.READY), no(conditions.RESIZED, "Resizing"))
    stuck = status(growing, 2, lifecycle(Phase.READY), no(conditions.RESIZED, "NoCapacity"))
    steps = ((small, growing), (growing, stuck), (stuck, status(stuck, 2, *has)))

    told = [notice for old, new in steps for notice in transitions.notices(old.conditions, new.conditions)]

    assert [(each.reason, each.warning) for each in told] == [
        ("Resizing", False), ("NoCapacity", True), ("Resized", False),
    ]  # fmt: skip


def test_an_event_says_whom_it_regards_and_fits_the_api() -> None:
    made = event(BODY, Notice("Failed", "é" * 2000, warning=True), "", "me")

    assert len(made["note"].encode()) <= 1000
    assert (made["type"], made["reason"], made["regarding"]["uid"]) == ("Warning", "Failed", "u")
