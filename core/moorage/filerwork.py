"""Whether a filer's worker shall run: the backend, what its volumes need and the pod that is there -> what to do.

A worker lives while there is work, and half a minute more. Its pod stays when it has ended: as the proof that the filer
answers, or with the words that say why not.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, cast

from moorage import conditions, filermount, quantity
from moorage.actions import Action, Create, Delete, Manifest, Problem, part, reference
from moorage.filerpod import ATTEMPT, GENERATION, WorkerPod, worker
from moorage.model import ShareState, StorageBackend

LOOK = 2.0  # seconds; watches show most of it sooner
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 120.0
PATIENCE = 30.0  # a pod that does not start within it is told of
REMOVAL_FAILED = "RemovalFailed"
NOT_OFFERED = "NotOffered"
WORKER_FAILED = "WorkerFailed"
_MESSAGE_MAX = 1024


class Need(Enum):
    """Of one volume."""

    nothing = auto()
    fresh = auto()  # no worker has looked at it yet
    stuck = auto()  # one has, and could not: again later, its cause may be gone


@dataclass(frozen=True, slots=True)
class FilerFacts:
    """`suspicion`: the filer's port does not answer the operator. `now`: seconds of the epoch."""

    backend: StorageBackend
    how: WorkerPod
    now: float
    needs: tuple[Need, ...] = ()
    pod: Manifest | None = None
    suspicion: Problem | None = None

    @property
    def attempt(self) -> int:
        text = part(self.pod, "metadata", "annotations").get(ATTEMPT, "0")
        return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Work:
    """What to do, what is wrong with the filer as far as is known, and when to look again (seconds; None: as usual)."""

    actions: tuple[Action, ...] = ()
    trouble: Problem | None = None
    requeue_after: float | None = None


def need(volume: Manifest) -> Need:
    """What a StorageVolume placed on a filer needs of its worker."""
    share, spec, placed = part(volume, "status", "share"), part(volume, "spec"), part(volume, "status", "placement")
    if "deletionTimestamp" in volume["metadata"]:
        return _need_of_released(volume, share)
    if not share or share.get("server") != placed.get("server") or share.get("state") == ShareState.Creating:
        return Need.fresh
    reason = share.get("reason", "")
    if share.get("state") == ShareState.Failed or reason not in ("", NOT_OFFERED):
        return Need.stuck
    squashed = spec.get("squash", "None") != "None"
    changed = squashed != (reason == NOT_OFFERED) or share.get("sizeBytes") != _bytes(spec)
    return Need.fresh if changed else Need.nothing


def _need_of_released(volume: Manifest, share: Manifest) -> Need:
    if not part(volume, "status").get("release") or share.get("state") == ShareState.Released:
        return Need.nothing
    return Need.stuck if share.get("reason") == REMOVAL_FAILED else Need.fresh


def _bytes(spec: Manifest) -> int:
    return quantity.parse(str(spec.get("size", "0")))


def plan(facts: FilerFacts) -> Work:
    """One step. Of two looks at one state the second gives the same."""
    pod = facts.pod
    if pod is None:
        idle = "deletionTimestamp" in facts.backend.metadata and not _wanted(facts.needs)
        return Work(() if idle else (_start(facts, 0),), _before(facts), LOOK)
    phase = part(pod, "status").get("phase", "Pending")
    if phase == "Failed":
        return _after_failure(facts, pod)
    if phase == "Succeeded":
        return _after_success(facts, pod)
    if "deletionTimestamp" in pod["metadata"]:
        return Work((), _before(facts), LOOK)
    if _is_ready(pod):
        return Work((), None, LOOK)
    late = facts.now - _moment(pod["metadata"].get("creationTimestamp"), facts.now) > PATIENCE
    return Work((), _not_started(pod) if late and phase == "Pending" else _before(facts), LOOK)


def _after_failure(facts: FilerFacts, pod: Manifest) -> Work:
    trouble: Problem | None = _words(pod)
    if trouble.reason == WORKER_FAILED and facts.attempt == 0:
        trouble = _before(facts)  # a pod that was evicted or killed says nothing of the filer; the next one will
    wait = _due(facts, pod, pause(facts.attempt + 1))
    if wait > 0 and not _is_outdated(facts, pod):
        return Work((), trouble, wait)
    return Work(_again(facts, pod, 0 if _is_outdated(facts, pod) else facts.attempt + 1), trouble, LOOK)


def _after_success(facts: FilerFacts, pod: Manifest) -> Work:
    """The filer answered, and its port must go on answering."""
    if _is_outdated(facts, pod) or Need.fresh in facts.needs:
        return Work(_again(facts, pod, 0), None, LOOK)
    if not facts.suspicion and Need.stuck not in facts.needs:
        return Work()
    wait = _due(facts, pod, pause(facts.attempt + 1))
    if wait > 0:
        return Work((), None, wait)
    return Work(_again(facts, pod, facts.attempt + 1), None, LOOK)


def pause(attempt: int) -> float:
    """Seconds before the worker that is the `attempt`-th in a row after one that failed."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 10))


def _wanted(needs: Iterable[Need]) -> bool:
    return any(each is not Need.nothing for each in needs)


def _start(facts: FilerFacts, attempt: int) -> Create:
    return Create(worker(facts.backend, facts.how, attempt))


def _again(facts: FilerFacts, pod: Manifest, attempt: int) -> tuple[Action, ...]:
    """A pod that has ended is deleted at once (no grace), so its name is free for the next."""
    if "deletionTimestamp" in facts.backend.metadata and not _wanted(facts.needs):
        return ()
    old = reference({**pod, "apiVersion": "v1", "kind": "Pod"})
    return (Delete(old), _start(facts, attempt))


def _due(facts: FilerFacts, pod: Manifest, after: float) -> float:
    """Seconds until `after` seconds have passed since the pod's end."""
    ended = _terminated(pod).get("finishedAt") or part(pod, "status").get("startTime")
    return _moment(ended or pod["metadata"].get("creationTimestamp"), facts.now) + after - facts.now


def _is_outdated(facts: FilerFacts, pod: Manifest) -> bool:
    """Started for another backend of this name, or before its spec changed."""
    metadata = facts.backend.metadata
    owners: list[Manifest] = pod["metadata"].get("ownerReferences") or []
    generation = part(pod, "metadata", "annotations").get(GENERATION)
    return generation != str(metadata.get("generation", 0)) or all(
        each.get("uid") != metadata["uid"] for each in owners
    )


def _before(facts: FilerFacts) -> Problem | None:
    """What was said before stands until the worker says otherwise."""
    known = conditions.find(facts.backend.status.conditions, conditions.READY)
    if known is None or known.reason == "FilerNotTried":
        return facts.suspicion or Problem("FilerNotTried", "its worker is trying whether the filer answers")
    return None if known.status == "True" else Problem(known.reason, known.message)


def _is_ready(pod: Manifest) -> bool:
    found: list[Manifest] = part(pod, "status").get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in found)


def _terminated(pod: Manifest) -> Manifest:
    containers: list[Manifest] = part(pod, "status").get("containerStatuses") or []
    return part(containers[0], "state", "terminated") if containers else {}


def _words(pod: Manifest) -> Problem:
    """What the worker left in its termination log; else what the kubelet says of it."""
    said, status = _terminated(pod), part(pod, "status")
    told = _json(said.get("message", ""))
    if told.get("message"):
        return Problem(str(told.get("reason") or filermount.REFUSED), str(told["message"])[:_MESSAGE_MAX])
    words = (
        status.get("message") or said.get("message") or said.get("reason") or status.get("reason") or "no word of it"
    )
    return Problem(WORKER_FAILED, f"its worker (pod {_name(pod)}) failed: {words}"[:_MESSAGE_MAX])


def _not_started(pod: Manifest) -> Problem:
    containers: list[Manifest] = part(pod, "status").get("containerStatuses") or []
    waiting = part(containers[0], "state", "waiting") if containers else {}
    found: list[Manifest] = part(pod, "status").get("conditions") or []
    unscheduled = next((each for each in found if each.get("type") == "PodScheduled"), Manifest())
    words = waiting.get("message") or waiting.get("reason") or unscheduled.get("message") or "it is Pending"
    return Problem("WorkerNotStarted", f"its worker (pod {_name(pod)}) does not start: {words}"[:_MESSAGE_MAX])


def _name(pod: Manifest) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def _json(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text)
    except ValueError:
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _moment(text: str | None, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else otherwise
    except ValueError:
        return otherwise
