"""What to do about a StorageSnapshot: it goes where its volume is, once, and the share agent there takes it.

It is taken of the volume that has the name then (`status.volumeId`), never of a later one. A snapshot shares the
volume's blocks but needs neither the volume nor its StorageVolume afterwards. Deletion is `moorage.snapshotrelease`.
"""

from moorage import conditions, engines, names, placement, quantity, transitions
from moorage.actions import Action, Hold, Plan, Problem
from moorage.backing import is_served
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.facts import trouble_at
from moorage.model import (
    ImageState,
    Phase,
    Placement,
    SnapshotImage,
    StorageSnapshotStatus,
    StorageVolume,
    VolumeType,
)
from moorage.snapshotfacts import SnapshotFacts

RECHECK = 15.0  # seconds; a watch event normally comes first


def plan(facts: SnapshotFacts) -> Plan[StorageSnapshotStatus]:
    """The next step towards a READY snapshot; a converged world gives no action and the status that is there."""
    hold = () if names.FINALIZER in facts.snapshot.metadata.get("finalizers", ()) else (Hold(),)
    status = facts.snapshot.status
    if status.placement is None:
        found = _volume_to_take(facts)
        if isinstance(found, Problem):
            return _waiting(facts, Phase.FAILED if found.reason in placement.REFUSED else Phase.PENDING, found, hold)
        update = {"placement": found.status.placement, "volume_id": found.status.id}
        return _in_the_making(facts, status.model_copy(update=update), hold)
    image = status.image if status.image and status.image.server == status.placement.server else None
    if image and image.state == ImageState.Ready:
        return _taken(facts, image, status.placement, hold)
    if image and image.state == ImageState.Failed:
        return _waiting(facts, Phase.FAILED, Problem(image.reason or "SnapshotFailed", image.message), hold)
    sick = trouble_at(status.placement, facts.backend, facts.room)
    return _waiting(facts, Phase.PROVISIONING, sick, hold) if sick else _in_the_making(facts, status, hold)


# What it is taken of.


def _volume_to_take(facts: SnapshotFacts) -> StorageVolume | Problem:
    """The volume, when a snapshot of it can be taken; else why not (yet)."""
    name, volume = facts.snapshot.spec.volume, facts.volume
    if volume is None:
        namespace = facts.snapshot.metadata["namespace"]
        return Problem("VolumeNotFound", f"StorageVolume {name} does not exist in namespace {namespace}: create it")
    if volume.spec.type != VolumeType.shared:
        text = f"StorageVolume {name} is of type {volume.spec.type.value}: snapshots are of shared volumes"
        return Problem(engines.CLONES_NOT_OFFERED, f"{text}; delete this one and copy the data by other means")
    placed = volume.status.placement
    if placed and placed.engine != engines.GANESHA:
        text = f"StorageVolume {name} is on StorageBackend {placed.backend} with engine {placed.engine}"
        return Problem(engines.CLONES_NOT_OFFERED, f"{text}, which takes no snapshots: use the filer's own")
    if "deletionTimestamp" in volume.metadata:
        return Problem("VolumeNotReady", f"StorageVolume {name} is being destroyed: delete this snapshot")
    share = volume.status.share
    if placed is None or share is None or share.server != placed.server or not is_served(share):
        said = conditions.message_of(volume.status.conditions, conditions.READY) or "nobody has looked at it yet"
        return Problem("VolumeNotReady", f"StorageVolume {name} is not served: {said}")
    return _server_trouble(facts, placed) or volume


def _server_trouble(facts: SnapshotFacts, placed: Placement) -> Problem | None:
    backend = next((each for each in facts.backends if each.metadata["name"] == placed.backend), None)
    trouble = trouble_at(placed, backend, facts.room)
    if trouble or backend is None:
        return trouble
    server = next((each for each in backend.status.servers if each.name == placed.server), None)
    if server is None or server.clones:
        return None
    return engines.no_reflink(placed)


# Writing it down.


def _in_the_making(
    facts: SnapshotFacts, status: StorageSnapshotStatus, actions: tuple[Action, ...]
) -> Plan[StorageSnapshotStatus]:
    where = status.placement.server if status.placement else ""
    message = f"the snapshot is being taken on {where}"
    verdicts = (no(conditions.PROVISIONED, "SnapshotCreating", message), lifecycle(Phase.PROVISIONING, message))
    return settle(facts, status, verdicts, actions, RECHECK)


def _waiting(
    facts: SnapshotFacts, phase: Phase, problem: Problem, actions: tuple[Action, ...]
) -> Plan[StorageSnapshotStatus]:
    verdicts = (no(conditions.PROVISIONED, problem.reason, problem.message), lifecycle(phase, problem.message))
    return settle(facts, facts.snapshot.status, verdicts, actions, RECHECK)


def _taken(
    facts: SnapshotFacts, image: SnapshotImage, placed: Placement, actions: tuple[Action, ...]
) -> Plan[StorageSnapshotStatus]:
    sick = trouble_at(placed, facts.backend, facts.room)
    healthy = no(conditions.HEALTHY, sick.reason, sick.message) if sick else yes(conditions.HEALTHY, "BackendReady")
    ready = lifecycle(Phase.READY, "volumes may begin with it: spec.source.snapshot")
    status = facts.snapshot.status.model_copy(update={"size": quantity.format(image.size_bytes)})
    return settle(facts, status, (yes(conditions.PROVISIONED, "Provisioned"), ready, healthy), actions, None)


def settle(
    facts: SnapshotFacts,
    status: StorageSnapshotStatus,
    verdicts: tuple[Verdict, ...],
    actions: tuple[Action, ...],
    requeue_after: float | None,
) -> Plan[StorageSnapshotStatus]:
    status = conclude(facts, status, verdicts)
    told = transitions.notices(facts.snapshot.status.conditions, status.conditions)
    return Plan(status, actions, told, requeue_after)


def conclude(
    facts: SnapshotFacts, status: StorageSnapshotStatus, verdicts: tuple[Verdict, ...]
) -> StorageSnapshotStatus:
    """The status with its conditions, its phase and the generation that was judged."""
    generation = facts.snapshot.metadata.get("generation", 0)
    update = conditions.outcome(facts.snapshot.status, verdicts, generation, facts.now)
    return status.model_copy(update=update | {"id": facts.id})
