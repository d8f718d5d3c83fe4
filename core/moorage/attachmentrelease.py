"""What to do about a StorageAttachment that is being deleted: nobody who uses it loses it unawares.

The order is the proof, as in `moorage.release`. First DETACHING (Ready=False) is written: from then on the node plugin
makes no new inline mount. Only a world observed after that write is asked for users. Then the DaemonSet goes, then its
pods (a node lets go when its pod has gone), then claim and PersistentVolume, then the finalizer.

Force asks for all of it at once. Kubernetes keeps the claim and the PersistentVolume for the pods that use them, and
they hold the volume; an inline user is remembered by nothing else, so it still holds the attachment.
"""

from moorage import conditions, names, transitions
from moorage.actions import Action, Delete, Notice, Plan, reference
from moorage.attachmentfacts import AttachmentFacts
from moorage.attachmentplan import conclude
from moorage.conditions import lifecycle, no
from moorage.model import Detach, Phase, StorageAttachmentStatus
from moorage.release import RECHECK, RECHECK_HOLDERS, blocked, listed


def release(facts: AttachmentFacts) -> Plan[StorageAttachmentStatus]:
    """The next step of a deletion."""
    if names.FINALIZER not in facts.attachment.metadata.get("finalizers", ()):
        return Plan(facts.attachment.status)
    if facts.attachment.status.phase != Phase.DETACHING:
        return _detaching(facts, "no new pod gets it; looking who still uses it", requeue_after=0)
    force = facts.attachment.spec.detach == Detach.Force
    return _forced(facts) if force else _patient(facts)


def _patient(facts: AttachmentFacts) -> Plan[StorageAttachmentStatus]:
    if facts.users:
        return _detaching(facts, f"in use by {listed(facts.users)}", users=facts.users, requeue_after=RECHECK_HOLDERS)
    holders = [each for each in facts.standing if each["kind"] == "DaemonSet"]
    if holders:
        return _detaching(facts, "the nodes are told to let go", actions=_deletes(facts, "DaemonSet"))
    if facts.holders:
        return _detaching(facts, f"waiting for {_nodes(facts)} to let go")
    if facts.standing:
        names_ = ", ".join(str(reference(each)) for each in facts.standing)
        return _detaching(facts, f"waiting for {names_} to go", actions=_deletes(facts))
    return _detached(facts)


def _forced(facts: AttachmentFacts) -> Plan[StorageAttachmentStatus]:
    actions = _deletes(facts)
    if any(each["kind"] == "DaemonSet" for each in facts.standing):
        return _detaching(facts, "the nodes are told to let go", actions=actions)
    if any(each.node not in facts.down for each in facts.holders):
        return _detaching(facts, f"waiting for {_nodes(facts)} to let go", actions=actions)
    if facts.inline_users:
        users = facts.inline_users
        message = f"in use inline by {listed(users)}"
        return _detaching(facts, message, users=users, actions=actions, requeue_after=RECHECK_HOLDERS)
    return _detached(facts, actions)


def _deletes(facts: AttachmentFacts, *kinds: str) -> tuple[Action, ...]:
    found = (each for each in facts.standing if not kinds or each["kind"] in kinds)
    return tuple(Delete(reference(each)) for each in found if "deletionTimestamp" not in each["metadata"])


def _nodes(facts: AttachmentFacts) -> str:
    found = tuple(sorted({each.node for each in facts.holders}))
    return f"node {found[0]}" if len(found) == 1 else f"nodes {listed(found)}"


def _detaching(
    facts: AttachmentFacts,
    message: str,
    *,
    users: tuple[str, ...] = (),
    actions: tuple[Action, ...] = (),
    requeue_after: float = RECHECK,
) -> Plan[StorageAttachmentStatus]:
    verdicts = (
        lifecycle(Phase.DETACHING, message),
        blocked(users),
        no(conditions.ATTACHED, "Detaching", message),
    )
    settled = conclude(facts, _without_plan(facts), verdicts)
    told = transitions.notices(facts.attachment.status.conditions, settled.conditions)
    return Plan(settled, actions, told, requeue_after)


def _detached(facts: AttachmentFacts, actions: tuple[Action, ...] = ()) -> Plan[StorageAttachmentStatus]:
    message = f"StorageVolume {facts.volume_name} is detached; its data stays"
    verdicts = (lifecycle(Phase.DETACHING, message), blocked(()), no(conditions.ATTACHED, "Detached", message))
    status = conclude(facts, _without_plan(facts), verdicts)
    before = conditions.find(facts.attachment.status.conditions, conditions.ATTACHED)
    told = before is not None and before.reason == "Detached"  # Events come before the status
    return Plan(status, actions, () if told else (Notice("Detached", message),), finish=True)


def _without_plan(facts: AttachmentFacts) -> StorageAttachmentStatus:
    """Nothing is left that an inline mount could be made of."""
    update = {"attributes": None, "secret_ref": None, "attached": facts.attached, "nodes": None, "lagging": ()}
    return facts.attachment.status.model_copy(update=update)
