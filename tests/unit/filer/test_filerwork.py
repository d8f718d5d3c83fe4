"""Whether a filer's worker runs: each branch by values."""

import json
from typing import Any

import pytest

from moorage import filerwork
from moorage.actions import Create, Delete, Problem
from moorage.filerpod import WorkerPod
from moorage.filerwork import FilerFacts, Need, Work
from moorage.model import StorageBackend

HOW = WorkerPod("moorage", "moorage:1", "Never")
NOW = 1_800_000_000.0
ENDED = "2027-01-15T07:59:59Z"  # a second before NOW
SUSPICION = Problem("FilerUnreachable", "filer:/export: port 2049: No route to host.")


def backend(ready: tuple[str, str, str] | None = None, generation: int = 1, **metadata: Any) -> StorageBackend:
    condition = (
        [{"type": "Ready", "status": ready[0], "reason": ready[1], "message": ready[2], "lastTransitionTime": ENDED}]
        if ready
        else []
    )
    return StorageBackend.model_validate(
        {
            "metadata": {"name": "nas", "uid": "uid-nas", "generation": generation, **metadata},
            "spec": {
                "engine": {"nfs": {"server": "filer", "path": "/export", "size": "advisory"}},
                "nodeSelector": {"pool": "gpu"},
            },
            "status": {"conditions": condition},
        }
    )


def pod(phase: str, attempt: int = 0, generation: int = 1, said: str = "", **status: Any) -> dict[str, Any]:
    terminated = {"finishedAt": ENDED, "message": said, "exitCode": 1 if phase == "Failed" else 0}
    ended = {"containerStatuses": [{"state": {"terminated": terminated}}]} if phase in ("Failed", "Succeeded") else {}
    return {
        "metadata": {
            "name": "moorage-filer-nas",
            "namespace": "moorage",
            "creationTimestamp": ENDED,
            "annotations": {"moorage.dev/attempt": str(attempt), "moorage.dev/generation": str(generation)},
            "ownerReferences": [{"uid": "uid-nas"}],
        },
        "status": {"phase": phase, **ended, **status},
    }


def plan(found: dict[str, Any] | None, *needs: Need, now: float = NOW, **facts: Any) -> Work:
    return filerwork.plan(FilerFacts(facts.pop("backend", backend()), HOW, now, needs, found, **facts))


def attempts(work: Work) -> list[str]:
    """What is made, by its attempt, after what is deleted."""
    kinds = [type(each) for each in work.actions]
    assert kinds in ([], [Create], [Delete, Create])
    made = [each.manifest for each in work.actions if isinstance(each, Create)]
    return [each["metadata"]["annotations"]["moorage.dev/attempt"] for each in made]


def test_a_new_backend_is_tried_and_is_not_ready_until_then() -> None:
    found = plan(None)

    assert attempts(found) == ["0"]
    assert found.trouble == Problem("FilerNotTried", "its worker is trying whether the filer answers")
    assert plan(None, suspicion=SUSPICION).trouble == SUSPICION
    assert plan(pod("Pending")).trouble == found.trouble


def test_a_worker_that_has_the_export_mounted_proves_it_while_it_runs() -> None:
    ready = pod("Running", conditions=[{"type": "Ready", "status": "True"}])

    assert plan(ready, Need.fresh, suspicion=SUSPICION) == Work((), None, filerwork.LOOK)


def test_what_was_known_stands_while_the_next_worker_starts() -> None:
    sick = backend(ready=("False", "ExportNotFound", "no such export"))

    assert plan(pod("Running"), backend=sick).trouble == Problem("ExportNotFound", "no such export")
    assert plan(pod("Running"), backend=backend(ready=("True", "Ready", "it answers"))).trouble is None


def test_a_worker_that_ended_well_stays_as_the_proof() -> None:
    assert plan(pod("Succeeded"), Need.nothing) == Work()


def test_fresh_work_starts_a_worker_at_once_and_work_that_failed_later() -> None:
    assert attempts(plan(pod("Succeeded", attempt=3), Need.nothing, Need.fresh)) == ["0"]
    assert plan(pod("Succeeded"), Need.stuck) == Work((), None, 4.0)
    assert attempts(plan(pod("Succeeded"), Need.stuck, now=NOW + 4)) == ["1"]
    assert plan(pod("Succeeded", attempt=9), Need.stuck) == Work((), None, 119.0)


def test_a_port_that_does_not_answer_has_the_filer_tried_again_and_the_worker_judges() -> None:
    assert plan(pod("Succeeded"), suspicion=SUSPICION) == Work((), None, 4.0)
    again = plan(pod("Succeeded"), suspicion=SUSPICION, now=NOW + 4)
    assert (attempts(again), again.trouble) == (["1"], None)


@pytest.mark.parametrize(("attempt", "pause"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 80), (5, 120), (50, 120)])
def test_a_worker_that_failed_is_started_again_after_a_pause_that_doubles(attempt: int, pause: float) -> None:
    said = json.dumps({"reason": "ExportNotFound", "message": "filer:/export does not exist on the filer"})
    failed = pod("Failed", attempt, said=said)

    waiting = plan(failed, Need.fresh)
    again = plan(failed, Need.fresh, now=NOW + pause - 1)

    assert waiting == Work((), Problem("ExportNotFound", "filer:/export does not exist on the filer"), pause - 1)
    assert attempts(again) == [str(attempt + 1)]
    assert again.trouble == waiting.trouble


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        ({"message": "Pod was active on the node longer than the specified deadline"}, "", "longer than the specified"),
        ({"reason": "Evicted"}, "", "Evicted"),
        ({}, "Traceback of something", "Traceback of something"),
        ({}, "[1]", "[1]"),
        ({}, "", "no word of it"),
    ],
)
def test_a_worker_that_left_no_word_of_its_own(status: dict[str, str], said: str, words: str) -> None:
    trouble = plan(pod("Failed", 1, said=said, **status)).trouble

    assert trouble
    assert trouble.reason == "WorkerFailed"
    assert words in trouble.message


def test_a_pod_that_was_killed_once_says_nothing_of_the_filer() -> None:
    proved = backend(ready=("True", "Ready", "it answers"))

    assert plan(pod("Failed"), backend=proved) == Work((), None, 4.0)
    assert attempts(plan(pod("Failed"), backend=proved, now=NOW + 4)) == ["1"]


def test_a_pod_that_was_evicted_before_it_began_is_tried_again_too() -> None:
    evicted = pod("Failed", containerStatuses=[])

    assert plan(evicted).requeue_after == 4.0
    assert attempts(plan(evicted, now=NOW + 4)) == ["1"]


def test_a_pod_that_does_not_start_is_told_of_after_a_while() -> None:
    unscheduled = pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}])
    unpulled = pod("Pending", containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff"}}}])

    early, late = plan(unscheduled, now=NOW + 20), plan(unscheduled, now=NOW + 40)

    assert early.trouble == Problem("FilerNotTried", "its worker is trying whether the filer answers")
    assert late.trouble == Problem(
        "WorkerNotStarted", "its worker (pod moorage/moorage-filer-nas) does not start: 0/3 nodes"
    )
    assert "ImagePullBackOff" in str(plan(unpulled, now=NOW + 40).trouble)


def test_a_changed_backend_or_another_one_of_its_name_is_tried_at_once() -> None:
    said = json.dumps({"reason": "FilerRefused", "message": "no"})
    other = pod("Succeeded")
    other["metadata"]["ownerReferences"] = [{"uid": "uid-of-another"}]

    assert attempts(plan(pod("Succeeded"), backend=backend(generation=2))) == ["0"]
    assert attempts(plan(pod("Failed", 5, said=said), backend=backend(generation=2))) == ["0"]
    assert attempts(plan(other)) == ["0"]


def test_a_backend_that_is_being_deleted_starts_workers_for_its_volumes_only() -> None:
    leaving = backend(deletionTimestamp=ENDED)

    assert plan(None, backend=leaving).actions == ()
    assert plan(pod("Failed"), backend=leaving, now=NOW + 60).actions == ()
    assert attempts(plan(None, Need.fresh, backend=leaving)) == ["0"]


def test_the_pod_runs_on_the_backends_nodes_with_the_charts_words_and_no_privilege() -> None:
    how = WorkerPod(
        "storage", "moorage:2", spec={"tolerations": [{"operator": "Exists"}], "nodeSelector": {"os": "linux"}}
    )
    created = filerwork.plan(FilerFacts(backend(), how, NOW)).actions[0]

    assert isinstance(created, Create)
    made = created.manifest
    container = made["spec"]["containers"][0]
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("moorage-filer-nas", "storage")
    assert made["metadata"]["labels"]["moorage.dev/backend"] == "nas"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-nas"
    assert made["spec"]["nodeSelector"] == {"os": "linux", "pool": "gpu"}
    assert made["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert made["spec"]["activeDeadlineSeconds"] == 3600
    assert not made["spec"].get("hostNetwork")
    assert (container["command"], container["image"]) == (["moorage-filer"], "moorage:2")
    assert "privileged" not in container["securityContext"]
    assert container["securityContext"]["capabilities"]["add"][0] == "SYS_ADMIN"


# What volumes need.


def volume(share: dict[str, Any] | None = None, size: str = "1Gi", squash: str = "None", **more: Any) -> dict[str, Any]:
    reported = {"server": "moorage-filer-nas", "state": "Served", "sizeBytes": 1 << 30, **share} if share else None
    return {
        "metadata": {"name": "data", **more.pop("metadata", {})},
        "spec": {"size": size, "squash": squash},
        "status": {"placement": {"server": "moorage-filer-nas"}, **({"share": reported} if reported else {}), **more},
    }


GONE = {"deletionTimestamp": ENDED}


@pytest.mark.parametrize(
    ("body", "need"),
    [
        (volume(), Need.fresh),
        (volume({"state": "Creating"}), Need.fresh),
        (volume({"server": "other"}), Need.fresh),
        (volume({"state": "Served"}), Need.nothing),
        (volume({"state": "Served"}, size="2Gi"), Need.fresh),
        (volume({"state": "Served"}, squash="Root"), Need.fresh),
        (volume({"state": "Served", "reason": "NotOffered"}, squash="Root"), Need.nothing),
        (volume({"state": "Served", "reason": "NotOffered"}), Need.fresh),
        (volume({"state": "Served", "reason": "FilerRefused"}, size="2Gi"), Need.stuck),
        (volume({"state": "Failed", "reason": "AdoptInUse"}), Need.stuck),
        (volume({"state": "Served"}, metadata=GONE), Need.nothing),
        (volume(metadata=GONE), Need.nothing),
        (volume({"state": "Served"}, metadata=GONE, release="Delete"), Need.fresh),
        (volume({"state": "Failed"}, metadata=GONE, release="Delete"), Need.fresh),
        (volume({"state": "Failed", "reason": "RemovalFailed"}, metadata=GONE, release="Delete"), Need.stuck),
        (volume({"state": "Released"}, metadata=GONE, release="Delete"), Need.nothing),
    ],
)
def test_what_a_volume_needs(body: dict[str, Any], need: Need) -> None:
    assert filerwork.need(body) is need
