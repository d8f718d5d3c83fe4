"""What to do about a StorageVolume that is wanted: (desired object, observed facts) -> actions and the next status.

Deletion is `moorage.release`. Nothing here does I/O, so that every step can be tested and repeated.
"""

from collections.abc import Mapping

from moorage import conditions, engines, manifests, names, objectmount, quantity, transit, transitions
from moorage.actions import Action, Hold, Plan, Problem
from moorage.backing import Backing, Waiting, find_backing
from moorage.claims import claim_actions, claim_conflict
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.facts import VolumeFacts, backend_trouble
from moorage.model import Phase, Placement, ShareState, StorageVolumeStatus, VolumeType
from moorage.nodegroup import labels_text

RECHECK = 15.0  # seconds; a watch event normally comes first


def plan(facts: VolumeFacts) -> Plan[StorageVolumeStatus]:
    """The next step towards a READY volume; a converged world gives no action and the status that is there."""
    found = find_backing(facts)
    hold = () if names.FINALIZER in facts.volume.metadata.get("finalizers", ()) else (Hold(),)
    if isinstance(found, Waiting):
        return _settle(
            facts, _waiting_status(facts, found), _waiting_verdicts(facts, found), (*hold, *found.actions), RECHECK
        )
    refused = claim_conflict(facts)
    actions = () if refused else claim_actions(facts, found)
    verdicts = (*_backed_verdicts(facts, found, refused), *_enforced(found.placement), *_stored(found.attributes))
    return _settle(facts, _backed_status(facts, found), verdicts, (*hold, *actions), RECHECK if refused else None)


def _settle(
    facts: VolumeFacts,
    status: StorageVolumeStatus,
    verdicts: tuple[Verdict, ...],
    actions: tuple[Action, ...],
    requeue_after: float | None,
) -> Plan[StorageVolumeStatus]:
    status = conclude(facts, status, verdicts)
    told = transitions.notices(facts.volume.status.conditions, status.conditions)
    return Plan(status, actions, told, requeue_after)


def conclude(facts: VolumeFacts, status: StorageVolumeStatus, verdicts: tuple[Verdict, ...]) -> StorageVolumeStatus:
    """The status with its conditions, its phase and the generation that was judged."""
    generation = facts.volume.metadata.get("generation", 0)
    judged = (*verdicts, transit.attached(facts.users))
    update = conditions.outcome(facts.volume.status, judged, generation, facts.now)
    return status.model_copy(update=update | {"id": facts.id, "attached": len(facts.users)})


def _waiting_verdicts(facts: VolumeFacts, found: Waiting) -> tuple[Verdict, ...]:
    message = found.problem.message
    return no(conditions.PROVISIONED, found.problem.reason, message), lifecycle(found.phase, message)


def _backed_verdicts(facts: VolumeFacts, found: Backing, refused: Problem | None) -> tuple[Verdict, ...]:
    sick = backend_trouble(facts)
    healthy = no(conditions.HEALTHY, sick.reason, sick.message) if sick else yes(conditions.HEALTHY, "BackendReady")
    sized = _resized(facts)
    rest = (healthy, sized) if sized else (healthy,)
    if refused:
        return (
            no(conditions.PROVISIONED, refused.reason, refused.message),
            lifecycle(Phase.FAILED, refused.message),
            *rest,
        )
    where = f" on nodes with {labels_text(found.topology)}" if found.topology else ""
    ready = transit.ready(facts.users, facts.attachments, f"pods may mount it{where}")
    return yes(conditions.PROVISIONED, "Provisioned"), ready, *rest


def _enforced(placed: Placement) -> tuple[Verdict, ...]:
    """Whether anything keeps the volume within its size; a bucket has none."""
    match placed.engine:
        case engines.S3:
            return ()
        case engines.NFS:
            message = (
                f"the filer of StorageBackend {placed.backend} enforces no size: others may fill it, and so may this"
            )
            return (no(conditions.SIZE_ENFORCED, "Advisory", message),)
        case _:
            return (yes(conditions.SIZE_ENFORCED, "Enforced", "its file system ends where its size does"),)


def _stored(attributes: Mapping[str, str]) -> tuple[Verdict, ...]:
    """Said only of a volume whose files can be lost after close()."""
    if not objectmount.stores_later(attributes):
        return ()
    program = attributes.get("mount", "")
    message = (
        f"close() and fsync() of {program} return before the bucket has the bytes: what was written in the seconds"
        " before its node dies can be lost. Where that must not be, make another StorageVolume of the bucket with"
        " mounter: moorfs and no writeback"
    )
    return (no(conditions.CLOSE_IS_STORED, "Writeback", message),)


def _resized(facts: VolumeFacts) -> Verdict | None:
    size, share = facts.volume.spec.size, facts.volume.status.share
    if size is None or share is None:
        return None
    if share.size_bytes >= quantity.parse(size):
        return yes(conditions.RESIZED, "Resized", f"it has {quantity.format(share.size_bytes)}")
    growing = f"growing from {quantity.format(share.size_bytes)} to {size}"
    failed = share.state == ShareState.Failed or share.reason
    return no(conditions.RESIZED, share.reason or "ResizeFailed" if failed else "Resizing", share.message or growing)


def _waiting_status(facts: VolumeFacts, found: Waiting) -> StorageVolumeStatus:
    return facts.volume.status.model_copy(update={"placement": facts.volume.status.placement or found.placement})


def _backed_status(facts: VolumeFacts, found: Backing) -> StorageVolumeStatus:
    volume = facts.volume
    return volume.status.model_copy(
        update={
            "placement": volume.status.placement or found.placement,
            "topology": found.topology,
            "capacity": manifests.capacity(volume) if volume.spec.type != VolumeType.object else None,
            "attributes": found.attributes,
            "secret_ref": found.secret,
            "bucket_name": found.bucket_name,
            "claim_name": None if volume.spec.claim == "None" else volume.metadata["name"],
        }
    )
