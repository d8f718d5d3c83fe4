"""What serves a volume: a share of an NFS server, or a bucket; or what it still waits for."""

from dataclasses import dataclass

from moorage import conditions, manifests, names, placement
from moorage.actions import Action, Create, Problem
from moorage.facts import VolumeFacts, backend_trouble
from moorage.model import Bucket, Phase, Placement, SecretRef, Share, ShareState, VolumeType

NFS_OPTIONS = "vers=4.1,hard,noresvport,timeo=600,retrans=2"


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


def find_backing(facts: VolumeFacts) -> Backing | Waiting:
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
    placed = status.placement or placement.place(spec.backend, placement.GANESHA, facts.backends, spec.adopt)
    if isinstance(placed, Problem):
        return Waiting(Phase.FAILED if placed.reason == placement.ADOPT_NOT_FOUND else Phase.PENDING, placed)
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
    if conditions.is_true(bucket.status.conditions, conditions.READY) or facts.volume.status.attributes:
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
    phase = bucket.status.phase or Phase.PROVISIONING  # nobody has found it wanting yet
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
