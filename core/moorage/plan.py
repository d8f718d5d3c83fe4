"""What to do about a StorageVolume that is wanted: (desired object, observed facts) -> actions and the next status.

Deletion is `moorage.release`. Nothing here does I/O, so that every step can be tested and repeated.
"""

from dataclasses import dataclass

from moorage import conditions, manifests, names, placement, quantity, transitions
from moorage.actions import Action, Apply, Create, Hold, Manifest, Plan, Problem
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.errors import InvalidInput
from moorage.model import (
    Bucket,
    Phase,
    Placement,
    SecretRef,
    Share,
    ShareState,
    StorageBackend,
    StorageVolume,
    StorageVolumeStatus,
    VolumeType,
)

NFS_OPTIONS = "vers=4.1,hard,noresvport,timeo=600,retrans=2"
RECHECK = 15.0  # seconds; a watch event normally comes first


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A StorageVolume and what was seen around it.

    `bucket`: the Bucket that the volume shows, or that has the name of the one it would own. `claim` and
    `persistent_volume`: what stands under the names that the operator would use. `holders`: who uses the volume, in
    words; listed freshly, after the status that is in `volume` was read, when the volume is being deleted.
    """

    volume: StorageVolume
    now: str
    node_account: SecretRef
    backends: tuple[StorageBackend, ...] = ()
    bucket: Bucket | None = None
    claim: Manifest | None = None
    persistent_volume: Manifest | None = None
    key_reader: bool = False
    holders: tuple[str, ...] = ()
    attached: int = 0

    @property
    def id(self) -> str:
        return self.volume.status.id or names.short_id(self.volume.metadata["uid"])

    @property
    def owns_bucket(self) -> bool:
        return self.volume.spec.type == VolumeType.object and self.volume.spec.bucket is None

    @property
    def backend(self) -> StorageBackend | None:
        """The backend that the volume was placed on, if it still exists."""
        placed = self.volume.status.placement
        return next((each for each in self.backends if placed and each.metadata["name"] == placed.backend), None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not there yet, and why."""

    phase: Phase
    problem: Problem
    placement: Placement | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Backing:
    """What serves the volume, and how a node mounts it."""

    placement: Placement
    attributes: dict[str, str]
    secret: SecretRef | None = None
    bucket_name: str | None = None


def plan(facts: VolumeFacts) -> Plan[StorageVolumeStatus]:
    """The next step towards a READY volume; a converged world gives no action and the status that is there."""
    found = _find_backing(facts)
    hold = () if names.FINALIZER in facts.volume.metadata.get("finalizers", ()) else (Hold(),)
    if isinstance(found, Waiting):
        return _settle(
            facts, _waiting_status(facts, found), _waiting_verdicts(facts, found), (*hold, *found.actions), RECHECK
        )
    refused = _claim_conflict(facts)
    actions = () if refused else (*_claim_actions(facts, found), *_reader_actions(facts, found))
    verdicts = _backed_verdicts(facts, refused)
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
    merged = conditions.merge(facts.volume.status.conditions, (*verdicts, attached(facts)), generation, facts.now)
    return status.model_copy(
        update={
            "phase": conditions.phase(merged),
            "observed_generation": generation,
            "id": facts.id,
            "attached": facts.attached,
            "conditions": merged,
        }
    )


def attached(facts: VolumeFacts) -> Verdict:
    if facts.attached == 0:
        return no(conditions.ATTACHED, "NotAttached", "no pod uses it")
    return yes(
        conditions.ATTACHED, "InUse", "1 pod uses it" if facts.attached == 1 else f"{facts.attached} pods use it"
    )


def _find_backing(facts: VolumeFacts) -> Backing | Waiting:
    match facts.volume.spec.type:
        case VolumeType.shared:
            return _find_share(facts)
        case VolumeType.object:
            return _find_bucket(facts)
        case VolumeType.local:
            message = "volumes of type local are not offered yet: delete this one and use type shared"
            return Waiting(Phase.FAILED, Problem("NotOffered", message))


# Shared: the agent on the server makes the share, we wait until it is served.


def _find_share(facts: VolumeFacts) -> Backing | Waiting:
    spec, status = facts.volume.spec, facts.volume.status
    placed = status.placement or placement.place(spec.backend, placement.GANESHA, facts.backends)
    if isinstance(placed, Problem):
        return Waiting(Phase.PENDING, placed)
    share = status.share
    if share and share.server == placed.server and is_served(share):
        return Backing(placed, _nfs_attributes(share))
    if share and share.state == ShareState.Failed:
        return Waiting(Phase.FAILED, Problem(share.reason or "ShareFailed", share.message), placed)
    return Waiting(Phase.PROVISIONING, _share_not_made(facts, placed), placed)


def is_served(share: Share) -> bool:
    """Failed with a size is a share that could not grow: it is served as it was."""
    return share.state == ShareState.Served or (share.state == ShareState.Failed and share.size_bytes > 0)


def _share_not_made(facts: VolumeFacts, placed: Placement) -> Problem:
    sick = backend_trouble(facts)
    if facts.volume.status.placement and sick:
        return sick
    return Problem("ShareCreating", f"the share is being made on {placed.server}")


def _nfs_attributes(share: Share) -> dict[str, str]:
    return {
        "type": VolumeType.shared.value,
        "mount": "nfs",
        "server": share.address,
        "path": share.path,
        "options": NFS_OPTIONS,
    }


# Object: a Bucket, named or owned, does the work.


def _find_bucket(facts: VolumeFacts) -> Backing | Waiting:
    bucket = facts.bucket
    if bucket is None:
        return _no_bucket(facts)
    if facts.owns_bucket and not _is_own(facts, bucket):
        name = bucket.metadata["name"]
        message = (
            f"Bucket {name} exists and is not of this volume: name it in spec.bucket, or name the volume otherwise"
        )
        return Waiting(Phase.FAILED, Problem("BucketConflict", message))
    if "deletionTimestamp" in bucket.metadata:
        return Waiting(
            Phase.PENDING, Problem("BucketDestroying", f"Bucket {bucket.metadata['name']} is being destroyed")
        )
    if bucket.status.phase == Phase.READY or facts.volume.status.attributes:
        return _bucket_backing(facts, bucket)
    return _bucket_not_ready(bucket)


def _no_bucket(facts: VolumeFacts) -> Waiting:
    ref = facts.volume.spec.bucket
    if ref is None:
        problem = Problem("BucketCreating", f"Bucket {facts.volume.metadata['name']} is being made")
        return Waiting(Phase.PROVISIONING, problem, actions=(Create(manifests.owned_bucket(facts.volume)),))
    namespace = facts.volume.metadata["namespace"]
    return Waiting(
        Phase.PENDING,
        Problem("BucketNotFound", f"Bucket {ref.name} does not exist in namespace {namespace}: create it"),
    )


def _is_own(facts: VolumeFacts, bucket: Bucket) -> bool:
    return manifests.is_owned({"metadata": bucket.metadata}, names.LABEL_VOLUME_UID, facts.volume.metadata["uid"])


def _bucket_not_ready(bucket: Bucket) -> Waiting:
    phase = bucket.status.phase or Phase.PENDING
    reason = {Phase.FAILED: "BucketFailed", Phase.PENDING: "BucketPending"}.get(phase, "BucketNotReady")
    message = conditions.message_of(bucket.status.conditions, conditions.READY) or "nobody has looked at it yet"
    waiting = phase if phase in (Phase.FAILED, Phase.PENDING) else Phase.PROVISIONING
    return Waiting(waiting, Problem(reason, f"Bucket {bucket.metadata['name']} is {phase}: {message}"))


def _bucket_backing(facts: VolumeFacts, bucket: Bucket) -> Backing | Waiting:
    seen, ref = bucket.status, facts.volume.spec.bucket
    if not (seen.placement and seen.endpoint and seen.bucket_name and seen.secret_name):
        return _bucket_not_ready(bucket)
    attributes = {
        "type": VolumeType.object.value,
        "mount": "s3fs",
        "endpoint": seen.endpoint,
        "bucket": seen.bucket_name,
        "prefix": ref.prefix if ref else "",
        "region": seen.region or "",
    }
    secret = SecretRef(name=seen.secret_name, namespace=bucket.metadata["namespace"])
    return Backing(seen.placement, attributes, secret, seen.bucket_name)


# What stands for the volume in the cluster.


def _claim_conflict(facts: VolumeFacts) -> Problem | None:
    if facts.volume.spec.claim == "None" or facts.claim is None:
        return None
    if manifests.is_owned(facts.claim, names.LABEL_VOLUME_UID, facts.volume.metadata["uid"]):
        return None
    if "deletionTimestamp" in facts.claim["metadata"]:  # of an earlier volume of this name; it goes by itself
        return Problem(
            "ClaimDestroying", f"PersistentVolumeClaim {facts.claim['metadata']['name']} is still being deleted"
        )
    message = "exists and is not of this volume: delete it, or set spec.claim to None"
    return Problem("ClaimConflict", f"PersistentVolumeClaim {facts.claim['metadata']['name']} {message}")


def _claim_actions(facts: VolumeFacts, backing: Backing) -> tuple[Action, ...]:
    if facts.volume.spec.claim == "None":
        return ()
    claim, found = facts.claim, facts.persistent_volume
    attributes = (
        found["spec"]["csi"].get("volumeAttributes", {}) if found else backing.attributes
    )  # immutable once there
    wanted = manifests.persistent_volume(facts.volume, facts.id, attributes, backing.secret, _rebind(found, claim))
    actions: list[Action] = []
    if found is None or ("deletionTimestamp" not in found["metadata"] and _drifted(found, wanted)):
        actions.append(Apply(wanted))
    if claim is None:
        actions.append(Create(manifests.persistent_volume_claim(facts.volume, facts.id)))
    return tuple(actions)


def _rebind(found: Manifest | None, claim: Manifest | None) -> str | None:
    """The claim's uid when the PersistentVolume remembers another claim (deleted since), else None: no change asked."""
    remembered = found["spec"].get("claimRef", {}).get("uid") if found else None
    current = claim["metadata"].get("uid") if claim and "deletionTimestamp" not in claim["metadata"] else None
    return current if remembered and current and remembered != current else None


def _drifted(found: Manifest, wanted: Manifest) -> bool:
    there, here = found["spec"], wanted["spec"]
    same = (
        manifests.is_owned(found, names.LABEL_VOLUME_UID, wanted["metadata"]["labels"][names.LABEL_VOLUME_UID])
        and there.get("persistentVolumeReclaimPolicy") == here["persistentVolumeReclaimPolicy"]
        and _bytes(there["capacity"]["storage"]) == _bytes(here["capacity"]["storage"])
        and "uid" not in here["claimRef"]
    )
    return not same


def _bytes(text: str) -> int:
    """Quantities by value: the API server writes 1000000000 as 1G."""
    try:
        return quantity.parse(text)
    except InvalidInput:
        return -1


def _reader_actions(facts: VolumeFacts, backing: Backing) -> tuple[Action, ...]:
    if backing.secret is None or facts.key_reader:
        return ()
    role, binding = manifests.key_reader(facts.volume, facts.id, backing.secret, facts.node_account)
    return Apply(role), Apply(binding)


# Judgement.


def backend_trouble(facts: VolumeFacts) -> Problem | None:
    """What is wrong with the backend that the volume was placed on."""
    placed = facts.volume.status.placement
    if not placed:
        return None
    if facts.backend is None:
        return Problem("BackendNotFound", f"StorageBackend {placed.backend} does not exist any more: create it again")
    if conditions.is_true(facts.backend.status.conditions, conditions.READY):
        return None
    return Problem("BackendNotReady", f"StorageBackend {placed.backend}: {placement.why_not_ready(facts.backend)}")


def _waiting_verdicts(facts: VolumeFacts, found: Waiting) -> tuple[Verdict, ...]:
    message = found.problem.message
    return no(conditions.PROVISIONED, found.problem.reason, message), lifecycle(found.phase, message)


def _backed_verdicts(facts: VolumeFacts, refused: Problem | None) -> tuple[Verdict, ...]:
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
    return yes(conditions.PROVISIONED, "Provisioned"), lifecycle(Phase.READY, "pods may mount it"), *rest


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
            "capacity": manifests.capacity(volume) if volume.spec.type == VolumeType.shared else None,
            "attributes": found.attributes,
            "secret_ref": found.secret,
            "bucket_name": found.bucket_name,
            "claim_name": None if volume.spec.claim == "None" else volume.metadata["name"],
        }
    )
