"""What a status says when the engine or the API server refused a step of the plan."""

from typing import TypeVar

from moorage import conditions, transitions
from moorage.actions import Manifest, Plan
from moorage.conditions import Verdict, lifecycle, no
from moorage.errors import MoorageError, Retry
from moorage.model import (
    BucketKeyStatus,
    BucketStatus,
    Model,
    Phase,
    StorageAttachmentStatus,
    StorageSnapshotStatus,
    StorageVolumeStatus,
)

Status = TypeVar(
    "Status", StorageVolumeStatus, BucketStatus, BucketKeyStatus, StorageAttachmentStatus, StorageSnapshotStatus
)


def stumbled(status: Status, metadata: Manifest, error: MoorageError, now: str) -> Plan[Status]:
    """The status as it was, with the error as its reason; what was usable stays so, for pods that use it are fine.

    FAILED when the same step will not pass by itself; the step is still tried again, now and then.
    """
    if conditions.is_true(status.conditions, conditions.READY) and "deletionTimestamp" not in metadata:
        return Plan(status)
    phase, message = _phase(status, metadata, error), str(error)
    cause = conditions.ATTACHED if isinstance(status, StorageAttachmentStatus) else conditions.PROVISIONED
    changed = (no(cause, error.reason, message), lifecycle(phase, message))
    kept = (each for each in status.conditions if each.type not in {verdict.type for verdict in changed})
    verdicts = (*changed, *(Verdict(each.type, each.status, each.reason, each.message) for each in kept))
    after = status.model_copy(update=conditions.outcome(status, verdicts, metadata.get("generation", 0), now))
    return Plan(after, (), transitions.notices(status.conditions, after.conditions))


def _phase(status: Model, metadata: Manifest, error: MoorageError) -> Phase:
    attachment = isinstance(status, StorageAttachmentStatus)
    if isinstance(status, BucketKeyStatus) and status.phase == Phase.DESTROYING:  # it is being revoked, whoever asked
        return Phase.DESTROYING
    if "deletionTimestamp" in metadata:
        return Phase.DETACHING if attachment else Phase.DESTROYING
    if isinstance(error, Retry):
        return Phase.PENDING if attachment else Phase.PROVISIONING
    return Phase.FAILED
