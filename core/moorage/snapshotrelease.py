"""What to do about a StorageSnapshot that is being deleted; the same order as a volume's (`moorage.release`)."""

from moorage import conditions, names, placement
from moorage.actions import Notice, Plan
from moorage.conditions import Verdict, lifecycle
from moorage.facts import trouble_at
from moorage.model import ImageState, Phase, StorageSnapshotStatus
from moorage.release import RECHECK, RECHECK_HOLDERS, RELEASING, blocked, listed, unfound
from moorage.snapshotfacts import SnapshotFacts
from moorage.snapshotplan import conclude, settle

RECHECK_AGENT = 30.0


def release(facts: SnapshotFacts) -> Plan[StorageSnapshotStatus]:
    """The next step of a deletion."""
    status = facts.snapshot.status
    if names.FINALIZER not in facts.snapshot.metadata.get("finalizers", ()):
        return Plan(status)
    if status.phase == Phase.DESTROYED:  # written last: all is done and told
        return Plan(status, finish=True)
    if status.phase not in RELEASING:
        return _destroying(facts, "looking which volumes still begin with it", requeue_after=0)
    if status.release:
        return _after_agent(facts)
    if facts.holders:
        return _destroying(facts, f"in use by {listed(facts.holders)}", requeue_after=RECHECK_HOLDERS)
    freed = status.model_copy(update={"release": True})
    return _destroying(facts, "no volume needs it; the share agent is told", status=freed, requeue_after=0)


def _after_agent(facts: SnapshotFacts) -> Plan[StorageSnapshotStatus]:
    placed, image = facts.snapshot.status.placement, facts.snapshot.status.image
    if placed is None or (image and image.state == ImageState.Released):
        return _destroyed(facts)
    lost = placement.lost(facts.backend, placed)
    if lost:
        return _destroyed(facts, lost)
    trouble = trouble_at(placed, facts.backend, facts.room)
    said = image.message if image and image.message else "it removes the snapshot"
    reason = trouble.message if trouble else said
    return _destroying(facts, f"waiting for the share agent on {placed.server}: {reason}", requeue_after=RECHECK_AGENT)


def _destroying(
    facts: SnapshotFacts,
    message: str,
    *,
    status: StorageSnapshotStatus | None = None,
    requeue_after: float = RECHECK,
) -> Plan[StorageSnapshotStatus]:
    holders = () if status or facts.snapshot.status.release else facts.holders
    verdicts = (lifecycle(Phase.DESTROYING, message), blocked(holders), *_kept(facts))
    return settle(facts, status or facts.snapshot.status, verdicts, (), requeue_after)


def _destroyed(facts: SnapshotFacts, lost: str = "") -> Plan[StorageSnapshotStatus]:
    """`lost`: why the agent could not be told."""
    notices, message = (), "the snapshot and its data are gone"
    if lost:
        notices = (Notice("DataRemains", f"{lost}: the data of the snapshot stays where it is", warning=True),)
        message = "the snapshot is gone; its data stays where it is"
    elif facts.snapshot.status.placement is None:
        message = "it was never taken"
    elif missing := unfound(facts.snapshot.status.conditions):
        message = f"the snapshot is gone; {missing}"
    status = conclude(facts, facts.snapshot.status, (lifecycle(Phase.DESTROYED, message), blocked(())))
    return Plan(status, (), (*notices, Notice("Destroyed", message)), finish=True)


def _kept(facts: SnapshotFacts) -> tuple[Verdict, ...]:
    """Provisioned stays as it was while the snapshot goes: it tells whether there was anything to destroy."""
    before = conditions.find(facts.snapshot.status.conditions, conditions.PROVISIONED)
    return (Verdict(before.type, before.status, before.reason, before.message),) if before else ()
