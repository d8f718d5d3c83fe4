"""What to do about a StorageAttachment that is wanted: a claim in its namespace, holders on the nodes of its group.

Nothing is made before the volume is Ready and its owner agrees. When either ends, what was made goes again: no new pod
gets the volume, Kubernetes keeps the claim for the pods that run, and all comes back when the cause is gone.
Deletion is `moorage.attachmentrelease`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moorage import attachmentclaim, conditions, holderset, names, nodegroup, transitions
from moorage.actions import Action, Apply, Delete, Hold, Plan, Problem, reference
from moorage.attachmentfacts import AttachmentFacts
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.model import Phase, StorageAttachmentStatus, StorageVolume, VolumeType

RECHECK = 15.0  # seconds; a watch event normally comes first
NAMED_NODES = 10  # in the status; the rest is counted
_EMPTY: Mapping[str, Any] = {"attributes": None, "secret_ref": None, "claim_name": None, "nodes": None, "lagging": ()}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why it cannot be attached now. `withdraw`: what was made goes too."""

    phase: Phase
    problem: Problem
    withdraw: bool = False


def plan(facts: AttachmentFacts) -> Plan[StorageAttachmentStatus]:
    """The next step towards a READY attachment; a converged world gives no action and the status that is there."""
    hold: tuple[Action, ...] = () if names.FINALIZER in facts.attachment.metadata.get("finalizers", ()) else (Hold(),)
    found = _find(facts)
    if isinstance(found, Obstacle):
        return _hindered(facts, found, hold)
    return _attached(facts, found, hold)


# What stands in the way.


def _find(facts: AttachmentFacts) -> StorageVolume | Obstacle:
    volume = facts.volume
    if volume is None:
        return _pending("VolumeNotFound", f"StorageVolume {facts.volume_name} does not exist: create it", withdraw=True)
    if not facts.consented:
        message = f"StorageVolume {facts.volume_name} is not shared with namespace"
        asked = f"{message} {facts.attachment.metadata['namespace']}: ask its owner to name it in spec.share"
        return _pending("NotShared", asked, withdraw=True)
    if "deletionTimestamp" in volume.metadata:
        message = f"StorageVolume {facts.volume_name} is being destroyed: delete this attachment to let it go"
        return _pending("VolumeNotReady", message, withdraw=True)
    if attachmentclaim.is_stale(facts, volume):
        message = f"StorageVolume {facts.volume_name} was made anew: the claim of the earlier one goes first"
        return _pending("VolumeNotReady", message, withdraw=True)
    return _unfit(facts, volume) or _crowded(facts, volume) or volume


def _pending(reason: str, message: str, *, withdraw: bool = False) -> Obstacle:
    return Obstacle(Phase.PENDING, Problem(reason, message), withdraw)


def _unfit(facts: AttachmentFacts, volume: StorageVolume) -> Obstacle | None:
    if volume.spec.type == VolumeType.local and facts.attachment.spec.mount_from != "/":
        message = "a local volume is always mounted as a whole: make an attachment without mountFrom"
        return Obstacle(Phase.FAILED, Problem("MountFromRefused", message))
    usable = conditions.is_true(volume.status.conditions, conditions.READY)
    if not usable or volume.status.attributes is None:
        said = conditions.message_of(volume.status.conditions, conditions.READY) or "nobody has looked at it yet"
        return _pending("VolumeNotReady", f"StorageVolume {facts.volume_name} is not Ready: {said}")
    refused = attachmentclaim.conflict(facts)
    if refused:
        phase = Phase.PENDING if refused.reason == "ClaimDestroying" else Phase.FAILED
        return Obstacle(phase, refused, withdraw=True)
    return None


def _crowded(facts: AttachmentFacts, volume: StorageVolume) -> Obstacle | None:
    """What keeps mounts from nodes that have none yet. Mounts that are there are never taken away for it."""
    if facts.attachment.spec.nodes is None or facts.daemon_set is not None:
        return None
    metadata = facts.attachment.metadata
    taken = nodegroup.taken_by((metadata.get("creationTimestamp", ""), facts.name), facts.nodes, facts.rivals)
    if taken:
        rival, nodes = taken
        where = f"{facts.mount_as} on {_some(sorted(nodes))}"
        message = f"StorageAttachment {rival.name} has {where}: name another path in mountAs of a new attachment"
        return Obstacle(Phase.FAILED, Problem("MountAsTaken", message))
    return _too_few(facts, volume)


def _too_few(facts: AttachmentFacts, volume: StorageVolume) -> Obstacle | None:
    shared, topology = volume.spec.type == VolumeType.shared, volume.status.topology
    least = facts.min_nodes if shared else 1 if topology else 0
    if len(facts.nodes) >= least:
        return None
    which = f" with {nodegroup.labels_text(topology)}, where alone the volume can be used," if topology else ""
    message = f"{_count(len(facts.nodes))}{which} match spec.nodes, a {volume.spec.type.value} volume needs at least"
    return _pending("TooFewNodes", f"{message} {least}: label more nodes; it attaches when they are there")


def _hindered(facts: AttachmentFacts, obstacle: Obstacle, hold: tuple[Action, ...]) -> Plan[StorageAttachmentStatus]:
    problem = obstacle.problem
    verdicts = (no(conditions.ATTACHED, problem.reason, problem.message), lifecycle(obstacle.phase, problem.message))
    going = facts.standing if obstacle.withdraw else ()
    gone = tuple(Delete(reference(each)) for each in going if "deletionTimestamp" not in each["metadata"])
    # It tells, too, that the volume is still held: only one that was agreed to ever gets a handle. Pods are asked for
    # when nothing else speaks for it, after a status was written that lets no new one in: only then it may go.
    held = facts.standing or facts.attached or facts.users or not facts.shut
    kept = facts.attachment.status.volume_handle if held else None
    status = facts.attachment.status.model_copy(
        update={**_EMPTY, "volume_handle": kept, "mount_as": shown_path(facts), "attached": facts.attached}
    )
    # Volume, consent and nodes are watched; claims of others and what still has to go are not all.
    unseen = obstacle.phase == Phase.FAILED or facts.standing or facts.claim or kept
    return _settle(facts, status, verdicts, (*hold, *gone), RECHECK if unseen else None)


def shown_path(facts: AttachmentFacts) -> str | None:
    return facts.mount_as if facts.attachment.spec.nodes else None


# Attaching.


def _attached(facts: AttachmentFacts, volume: StorageVolume, hold: tuple[Action, ...]) -> Plan[StorageAttachmentStatus]:
    made = (*attachmentclaim.actions(facts, volume), *_holder_actions(facts, volume))
    holding = nodegroup.holding(facts.nodes, facts.holders)
    lagging = tuple(each.name for each in facts.nodes if each.name not in holding)
    grouped = facts.attachment.spec.nodes is not None
    status = facts.attachment.status.model_copy(
        update={
            "volume_handle": attachmentclaim.handle(facts, volume),
            "attributes": attachmentclaim.attributes(facts, volume),
            "secret_ref": volume.status.secret_ref,
            "claim_name": facts.attachment.metadata["name"],
            "mount_as": shown_path(facts),
            "nodes": f"{len(holding)}/{len(facts.nodes)}" if grouped else None,
            "lagging": lagging[:NAMED_NODES] if grouped else (),
            "attached": facts.attached,
        }
    )
    verdicts = _verdicts(facts, lagging) if grouped else _claim_verdicts(facts)
    return _settle(facts, status, verdicts, (*hold, *made), None)


def _holder_actions(facts: AttachmentFacts, volume: StorageVolume) -> tuple[Action, ...]:
    group, found = facts.attachment.spec.nodes, facts.daemon_set
    leaving = found is not None and "deletionTimestamp" in found["metadata"]
    if group is None:
        return (Delete(reference(found)),) if found and not leaving and found in facts.standing else ()
    wanted = holderset.daemon_set(facts, group.selector, volume.status.topology)
    if found is None or (not leaving and not holderset.is_current(found, wanted)):
        return (Apply(wanted),)
    return ()


def _claim_verdicts(facts: AttachmentFacts) -> tuple[Verdict, ...]:
    name = facts.attachment.metadata["name"]
    if facts.claim and "deletionTimestamp" in facts.claim["metadata"]:
        message = f"PersistentVolumeClaim {name} is still being deleted; a new one follows"
        return no(conditions.ATTACHED, "ClaimDestroying", message), lifecycle(Phase.ATTACHING, message, usable=True)
    message = f"pods may use claim {name}"
    return yes(conditions.ATTACHED, "ClaimReady", message), lifecycle(Phase.READY, message)


def _verdicts(facts: AttachmentFacts, lagging: tuple[str, ...]) -> tuple[Verdict, ...]:
    there, all_ = len(facts.nodes) - len(lagging), len(facts.nodes)
    if not lagging:
        message = f"mounted at {facts.mount_as} on {_count(all_)}{_outside(facts)}"
        return yes(conditions.ATTACHED, "OnAllNodes", message), lifecycle(Phase.READY, message)
    first = next(each for each in facts.nodes if each.name == lagging[0])
    why = nodegroup.why_lagging(first, facts.holders, facts.rivals)
    rest = f"; waiting too: {_some(lagging[1:])}" if len(lagging) > 1 else ""
    message = f"mounted at {facts.mount_as} on {there} of {_count(all_)}; {first.name}: {why}{rest}{_outside(facts)}"
    return no(conditions.ATTACHED, "Lagging", message), lifecycle(Phase.ATTACHING, message, usable=True)


def _outside(facts: AttachmentFacts) -> str:
    topology = facts.volume.status.topology if facts.volume else None
    if not facts.outside or not topology:
        return ""
    where = nodegroup.labels_text(topology)
    return f"; not on {_count(facts.outside)} that match too: it can be used on nodes with {where} only"


# Writing it down.


def _settle(
    facts: AttachmentFacts,
    status: StorageAttachmentStatus,
    verdicts: tuple[Verdict, ...],
    actions: tuple[Action, ...],
    requeue_after: float | None,
) -> Plan[StorageAttachmentStatus]:
    status = conclude(facts, status, verdicts)
    told = transitions.notices(facts.attachment.status.conditions, status.conditions)
    return Plan(status, actions, told, requeue_after)


def conclude(
    facts: AttachmentFacts, status: StorageAttachmentStatus, verdicts: tuple[Verdict, ...]
) -> StorageAttachmentStatus:
    """The status with its conditions, its phase and the generation that was judged."""
    before = facts.attachment.status
    generation = facts.attachment.metadata.get("generation", 0)
    update = conditions.outcome(before, verdicts, generation, facts.now)
    return status.model_copy(update=update | {"id": facts.id})


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _some(found: list[str] | tuple[str, ...]) -> str:
    named = ", ".join(found[:NAMED_NODES])
    return f"{named} and {len(found) - NAMED_NODES} more" if len(found) > NAMED_NODES else named
