"""What to say about a StorageBackend: whether it answers, and, when it is being deleted, who still lives on it."""

from dataclasses import dataclass

from moorage import conditions, filerwork, names, placement, quantity
from moorage.actions import Action, DropServer, Hold, Notice, Plan, Problem
from moorage.conditions import Verdict, no, yes
from moorage.filerwork import FilerFacts, Work
from moorage.model import ConditionStatus, StorageBackend, StorageBackendStatus
from moorage.release import blocked

PROBE_EVERY = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """`trouble`: what the probe found wrong; `users`: volumes and buckets placed on it, in words; `vanished`: servers
    that nothing stands behind any more.

    `filer`: of an engine nfs, what its worker shows; then `trouble` is no more than a suspicion.
    """

    backend: StorageBackend
    now: str
    trouble: Problem | None = None
    users: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    filer: FilerFacts | None = None


def plan(facts: BackendFacts) -> Plan[StorageBackendStatus]:
    metadata = facts.backend.metadata
    deleting = "deletionTimestamp" in metadata
    held = names.FINALIZER in metadata.get("finalizers", ())
    if deleting and not held:
        return Plan(facts.backend.status)
    work = filerwork.plan(facts.filer) if facts.filer else Work((), facts.trouble)
    ready = _ready(work.trouble)
    verdicts = (ready, blocked(facts.users)) if deleting else (ready,)
    status = _status(facts, verdicts)
    actions: tuple[Action, ...] = work.actions if held else (Hold(), *work.actions)
    actions += tuple(DropServer(each) for each in facts.vanished)
    finish = deleting and not facts.users
    again = min(PROBE_EVERY, work.requeue_after or PROBE_EVERY)
    return Plan(status, actions, _notices(facts, status), None if finish else again, finish)


def _ready(trouble: Problem | None) -> Verdict:
    if trouble:
        return no(conditions.READY, trouble.reason, trouble.message)
    return yes(conditions.READY, "Ready", "it answers")


def _status(facts: BackendFacts, verdicts: tuple[Verdict, ...]) -> StorageBackendStatus:
    generation = facts.backend.metadata.get("generation", 0)
    old = facts.backend.status
    merged = conditions.merge(old.conditions, verdicts, generation, facts.now)
    columns = {"engine": placement.engine_of(facts.backend), "free": _free(old)}
    return old.model_copy(update={"observed_generation": generation, "conditions": merged, **columns})


def _free(status: StorageBackendStatus) -> str | None:
    """Room for people; None for an engine whose servers report none (S3)."""
    return quantity.rounded(sum(each.free_bytes for each in status.servers)) if status.servers else None


def _notices(facts: BackendFacts, status: StorageBackendStatus) -> tuple[Notice, ...]:
    old, new = facts.backend.status.conditions, status.conditions
    told: list[Notice] = []
    before, after = conditions.find(old, conditions.READY), conditions.find(new, conditions.READY)
    if after and (before is None or before.status != after.status):
        told.append(Notice(after.reason, after.message, warning=after.status != ConditionStatus.true))
    kind = conditions.DELETION_BLOCKED
    if conditions.is_true(new, kind) and not conditions.is_true(old, kind):
        told.append(Notice(kind, conditions.message_of(new, kind), warning=True))
    return tuple(told)
