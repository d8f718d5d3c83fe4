"""What to say about a StorageBackend: whether it answers, and, when it is being deleted, who still lives on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage import conditions, engines, features, filerwork, keysenforced, names, quantity
from moorage.actions import Action, DropServer, Hold, Notice, Plan, Problem
from moorage.conditions import Verdict, no, yes
from moorage.filerwork import FilerFacts, Work
from moorage.model import ConditionStatus, StorageBackend, StorageBackendStatus
from moorage.release import blocked

PROBE_EVERY = 10.0  # seconds
NAMED_SERVERS = 5  # in a message; the rest is counted
_POOLED = frozenset({engines.GANESHA, engines.LOCAL})


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found. `trouble`: why nothing of the backend answers. `silent`: which servers do not, and why."""

    trouble: Problem | None = None
    silent: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """`trouble`: what the probe found wrong; `users`: volumes and buckets placed on it, in words; `vanished`: servers
    that nothing stands behind any more; `silent`: those that a probe got no answer from, and why.

    `filer`: of an engine nfs, what its worker shows; then `trouble` is no more than a suspicion.
    """

    backend: StorageBackend
    now: str
    trouble: Problem | None = None
    users: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    filer: FilerFacts | None = None
    silent: Mapping[str, str] = field(default_factory=dict[str, str])


def plan(facts: BackendFacts) -> Plan[StorageBackendStatus]:
    metadata = facts.backend.metadata
    deleting = "deletionTimestamp" in metadata
    held = names.FINALIZER in metadata.get("finalizers", ())
    if deleting and not held:
        return Plan(facts.backend.status)
    work = filerwork.plan(facts.filer) if facts.filer else Work((), facts.trouble)
    held_by = (blocked(facts.users),) if deleting else ()
    verdicts = (
        _ready(facts, work.trouble),
        *_capacity(facts.backend),
        *keysenforced.enforced(facts.backend.spec.engine.s3),
        *held_by,
    )
    status = _status(facts, verdicts)
    actions: tuple[Action, ...] = work.actions if held else (Hold(), *work.actions)
    actions += tuple(DropServer(each) for each in facts.vanished)
    finish = deleting and not facts.users
    again = min(PROBE_EVERY, work.requeue_after or PROBE_EVERY)
    return Plan(status, actions, _notices(facts, status), None if finish else again, finish)


def _ready(facts: BackendFacts, trouble: Problem | None) -> Verdict:
    if trouble:
        return no(conditions.READY, trouble.reason, trouble.message)
    if not facts.silent:
        return yes(conditions.READY, "Ready", "it answers")
    known = len(facts.backend.status.servers)
    some = _some([f"{name}: {why}" for name, why in sorted(facts.silent.items())])
    return yes(conditions.READY, "Ready", f"{known - len(facts.silent)} of {known} servers answer; {some}")


def _capacity(backend: StorageBackend) -> tuple[Verdict, ...]:
    """The alarm before a pool that promises more than it holds is full."""
    if engines.engine_of(backend) not in _POOLED:
        return ()
    full = [each for each in backend.status.servers if each.overfull]
    if not full:
        return (no(conditions.CAPACITY_LOW, "Enough"),)
    told = [f"{each.name} has {quantity.rounded(each.free_bytes)} left" for each in full]
    message = f"writes may soon fail with ENOSPC in all volumes there: {_some(told)}. Enlarge the pool, or delete data"
    return (yes(conditions.CAPACITY_LOW, "Overfull", message),)


def _some(found: list[str]) -> str:
    named = ", ".join(found[:NAMED_SERVERS])
    return f"{named} and {len(found) - NAMED_SERVERS} more" if len(found) > NAMED_SERVERS else named


def _status(facts: BackendFacts, verdicts: tuple[Verdict, ...]) -> StorageBackendStatus:
    generation = facts.backend.metadata.get("generation", 0)
    old = facts.backend.status
    merged = conditions.merge(old.conditions, verdicts, generation, facts.now)
    s3 = facts.backend.spec.engine.s3
    words = features.told(s3) if s3 else ()
    columns = {"engine": engines.engine_of(facts.backend), "free": _free(old), "features": words}
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
    kinds = (conditions.CAPACITY_LOW, conditions.DELETION_BLOCKED)
    begun = (each for each in kinds if conditions.is_true(new, each) and not conditions.is_true(old, each))
    return (*told, *(Notice(each, conditions.message_of(new, each), warning=True) for each in begun))
