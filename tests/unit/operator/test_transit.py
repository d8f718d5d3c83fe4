"""ATTACHING and DETACHING, from pods per node and attachments; the same for every type, and for buckets."""

from typing import Any

import pytest

from moorage import conditions, plan, transit
from moorage.backing import Backing
from moorage.errors import Forbidden
from moorage.facts import VolumeFacts
from moorage.holders import PodState, Uses
from moorage.model import Phase, Placement, StorageVolume
from moorage.stumble import stumbled
from moorage.transit import SeenAttachment, Users

NOW = "2026-01-01T00:00:00.000001Z"
LATER = "2026-01-01T00:00:05.000001Z"


def users(**pods: str) -> dict[tuple[str, str], Uses]:
    """name="node state"."""
    found = {name: each.split() for name, each in pods.items()}
    return {("ns", name): Uses(node=node, state=PodState(state)) for name, (node, state) in found.items()}


def judged(found: Users, *attachments: SeenAttachment) -> tuple[str, str, str]:
    verdict = transit.ready(found, attachments, "fine")
    return verdict.reason, verdict.status.value, verdict.message


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, ("Ready", "fine")),
        (users(a="n1 running"), ("Ready", "fine")),
        (users(a="n1 waiting"), ("Attaching", "attaching on n1: pod ns/a waits for it")),
        (users(a="n1 waiting", b="n1 running"), ("Ready", "fine")),
        (users(a="n1 running", b="n2 waiting"), ("Attaching", "attaching on n2: pod ns/b waits for it")),
        (
            users(d="n3 waiting", c="n2 waiting", b="n2 waiting", a="n3 waiting"),
            ("Attaching", "attaching on n2: pod ns/b waits for it (and 3 more)"),
        ),
        (users(a="n1 leaving"), ("Detaching", "detaching from n1: pod ns/a is leaving")),
        (users(a="n1 leaving", b="n1 running"), ("Ready", "fine")),
        (users(a="n1 leaving", b="n1 waiting"), ("Attaching", "attaching on n1: pod ns/b waits for it")),
        (users(a="n1 leaving", b="n2 waiting"), ("Attaching", "attaching on n2: pod ns/b waits for it")),
    ],
)
def test_what_moves_is_named_and_stays_usable(found: Users, expected: tuple[str, str]) -> None:
    reason, status, message = judged(found)

    assert (reason, message) == expected
    assert status == "True"


def test_attachments_move_their_volume_too() -> None:
    coming, going = SeenAttachment("far/x", Phase.ATTACHING), SeenAttachment("far/y", Phase.DETACHING)
    still = SeenAttachment("far/z", Phase.READY)

    assert judged({}, still, SeenAttachment("far/new")) == ("Ready", "True", "fine")
    assert judged({}, going, coming) == ("Attaching", "True", "StorageAttachment far/x is attaching")
    assert judged({}, going, still) == ("Detaching", "True", "StorageAttachment far/y is detaching")
    assert judged(users(a="n1 waiting"), coming)[2] == "attaching on n1: pod ns/a waits for it (and 1 more)"


def body(type: str, **status: Any) -> StorageVolume:
    metadata = {"name": "data", "namespace": "ns", "uid": "u", "generation": 1, "finalizers": ["moorage.dev/finalizer"]}
    return StorageVolume.model_validate(
        {"metadata": metadata, "spec": {"type": type, "size": "5Gi", "claim": "None"}, "status": status}
    )


def test_a_type_to_come_inherits_the_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever serves a volume, its phases come from pods and attachments."""
    backing = Backing(Placement(backend="b", engine="x"), {"mount": "x"})
    monkeypatch.setattr(plan, "find_backing", lambda _: backing)

    waiting = plan.plan(VolumeFacts(body("local"), NOW, users=users(a="n1 waiting")))
    after = plan.plan(VolumeFacts(body("local", **waiting.status.dump()), LATER, users=users(a="n1 running")))

    assert (waiting.status.phase, waiting.status.attached, waiting.status.phase_since) == (Phase.ATTACHING, 1, NOW)
    assert (after.status.phase, after.status.phase_since) == (Phase.READY, LATER)
    assert [each.reason for each in after.notices] == ["Ready"]


def test_the_time_of_a_phase_stays_while_the_phase_stays() -> None:
    first = conditions.outcome(body("local").status, [transit.ready({}, (), "a")], 1, NOW)
    status = body("local").status.model_copy(update=first)

    second = conditions.outcome(status, [transit.ready({}, (), "b")], 2, LATER)

    assert (second["phase_since"], second["observed_generation"]) == (NOW, 2)
    assert {each.last_transition_time for each in second["conditions"]} == {"2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("state", ["waiting", "leaving"])
def test_what_is_on_its_way_stays_usable_when_a_step_is_refused(state: str) -> None:
    update = conditions.outcome(body("local").status, [transit.ready(users(a=f"n1 {state}"), (), "")], 1, NOW)
    status = body("local").status.model_copy(update=update)

    step = stumbled(status, {"generation": 1}, Forbidden("no"), LATER)

    assert step.status == status
