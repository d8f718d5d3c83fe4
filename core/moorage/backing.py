"""What serves a volume: a share of an NFS server, a disk of a node, or a bucket; or what it still waits for."""

from dataclasses import dataclass

from moorage import (
    berth,
    conditions,
    consent,
    engines,
    features,
    manifests,
    names,
    nfsoptions,
    nodegone,
    objectmount,
    origin,
    placement,
    quantity,
    writable,
)
from moorage.actions import Action, Create, Problem
from moorage.facts import VolumeFacts, backend_trouble
from moorage.model import (
    Bucket,
    ObjectOptions,
    Phase,
    Placement,
    SecretRef,
    Share,
    ShareState,
    StorageBackend,
    VolumeType,
)

NFS_OPTIONS = ("vers=4.1", "hard", "noresvport", "timeo=600", "retrans=2")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not there yet, and why."""

    phase: Phase
    problem: Problem
    placement: Placement | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Backing:
    """What serves the volume, how a node mounts it, and which nodes can (`topology`: their labels; None: all)."""

    placement: Placement
    attributes: dict[str, str]
    topology: dict[str, str] | None = None
    secret: SecretRef | None = None
    bucket_name: str | None = None


def find_backing(facts: VolumeFacts) -> Backing | Waiting:
    return _find_bucket(facts) if facts.volume.spec.type == VolumeType.object else _find_share(facts)


# Shared and local: the agent on the server (of a filer: its worker; of a node: the node's) makes the share, we wait
# until it is served.


def _find_share(facts: VolumeFacts) -> Backing | Waiting:
    status = facts.volume.status
    placed = status.placement or _place(facts)
    if isinstance(placed, Problem):
        return Waiting(Phase.FAILED if placed.reason in placement.REFUSED else Phase.PENDING, placed)
    if facts.node_gone:
        return Waiting(Phase.FAILED, nodegone.problem(placed), placed)
    share = status.share
    if share and share.server == placed.server and is_served(share):
        return Backing(placed, _attributes(facts, placed, share), _topology(facts, placed))
    if share and share.state == ShareState.Failed:
        return Waiting(Phase.FAILED, Problem(share.reason or "ShareFailed", share.message), placed)
    return Waiting(Phase.PROVISIONING, _share_not_made(facts, placed), placed)


def _place(facts: VolumeFacts) -> Placement | Problem:
    spec = facts.volume.spec
    begins = origin.find(spec.source, facts.volume.metadata["namespace"], facts.source) if spec.source else None
    if isinstance(begins, Problem):
        return begins
    size = quantity.parse(spec.size) if spec.size else 0
    asked = berth.Asked(engines.ENGINES_FOR[spec.type], spec.backend, size, spec.adopt, spec.node, begins)
    return placement.place(asked, facts.backends, facts.room)


def is_served(share: Share) -> bool:
    """Failed with a size is a share that could not grow: it is served as it was."""
    return share.state == ShareState.Served or (share.state == ShareState.Failed and share.size_bytes > 0)


def _share_not_made(facts: VolumeFacts, placed: Placement) -> Problem:
    sick = backend_trouble(facts)
    if facts.volume.status.placement and sick:
        return sick
    return Problem("ShareCreating", f"the share is being made on {placed.server}")


def _attributes(facts: VolumeFacts, placed: Placement, share: Share) -> dict[str, str]:
    if placed.engine == engines.LOCAL:
        return {"type": VolumeType.local.value, "mount": "local", "share": facts.id}
    return {
        "type": VolumeType.shared.value,
        "mount": "nfs",
        "server": share.address,
        "path": share.path,
        "options": (facts.volume.status.attributes or {}).get("options") or _options(facts, placed),
    }


def _options(facts: VolumeFacts, placed: Placement) -> str:
    """Decided once, as in the PersistentVolume: a change of the backend's options concerns new volumes."""
    backend = _backend(facts, placed)
    theirs = backend.spec.mount_options if backend else ()
    return ",".join(nfsoptions.merged(NFS_OPTIONS, theirs, facts.volume.spec.mount_options))


def _topology(facts: VolumeFacts, placed: Placement) -> dict[str, str] | None:
    """Decided once, as in the PersistentVolume, whose affinity never changes."""
    known, backend = facts.volume.status.topology, _backend(facts, placed)
    return engines.topology(backend, placed) if backend and not known else known


def _backend(facts: VolumeFacts, placed: Placement) -> StorageBackend | None:
    return next((each for each in facts.backends if each.metadata["name"] == placed.backend), None)


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
    namespace = facts.volume.metadata["namespace"]
    if not consent.allows(bucket, namespace, facts.labels):
        return _not_shared(bucket, namespace)
    if "deletionTimestamp" in bucket.metadata:
        return Waiting(
            Phase.PENDING, Problem("BucketDestroying", f"Bucket {bucket.metadata['name']} is being destroyed")
        )
    if refused := writable.refused(facts, bucket.status.placement):
        return Waiting(Phase.FAILED, refused)
    if conditions.is_true(bucket.status.conditions, conditions.READY) or facts.volume.status.attributes:
        return _bucket_backing(facts, bucket)
    return _bucket_not_ready(bucket)


def _no_bucket(facts: VolumeFacts) -> Waiting:
    ref = facts.volume.spec.bucket
    if ref is None:
        if refused := writable.foreseen(facts):
            return Waiting(Phase.FAILED, refused)
        problem = Problem("BucketCreating", f"Bucket {facts.volume.metadata['name']} is being made")
        return Waiting(Phase.PROVISIONING, problem, actions=(Create(manifests.owned_bucket(facts.volume)),))
    namespace = facts.volume.metadata["namespace"]
    if ref.namespace not in (None, namespace):
        return _not_shared_as(f"{ref.namespace}/{ref.name}", namespace)
    return Waiting(
        Phase.PENDING,
        Problem("BucketNotFound", f"Bucket {ref.name} does not exist in namespace {namespace}: create it"),
    )


def _not_shared(bucket: Bucket, namespace: str) -> Waiting:
    return _not_shared_as(f"{bucket.metadata['namespace']}/{bucket.metadata['name']}", namespace)


def _not_shared_as(bucket: str, namespace: str) -> Waiting:
    """The same words whether it is there: what another namespace has is not to be found out so."""
    text = f"Bucket {bucket} is not there, or not shared with namespace {namespace}"
    return Waiting(Phase.PENDING, Problem("NotShared", f"{text}: ask its owner to name it in spec.share"))


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
        **_shown(facts),
        "endpoint": seen.endpoint,
        "bucket": seen.bucket_name,
        "prefix": ref.prefix if ref else "",
        "region": seen.region or "",
        "secret": f"{bucket.metadata['namespace']}/{seen.secret_name}",
        **_lacks(facts, seen.placement),
    }
    secret = SecretRef(name=seen.secret_name, namespace=bucket.metadata["namespace"])
    return Backing(seen.placement, attributes, secret=secret, bucket_name=seen.bucket_name)


def _lacks(facts: VolumeFacts, placed: Placement) -> dict[str, str]:
    """What the mounter must not ask of the engine; nothing for one that has it all."""
    backend = _backend(facts, placed)
    engine = backend.spec.engine.s3 if backend else None
    lacks = features.unasked(engine) if engine else ""
    return {"lacks": lacks} if lacks else {}


def _shown(facts: VolumeFacts) -> dict[str, str]:
    """Which program shows the bucket, decided once, and what the spec tells it."""
    spec, known = facts.volume.spec, facts.volume.status.attributes or {}
    mounter = spec.mounter.value if spec.mounter else known.get("mount") or objectmount.DEFAULT
    given = spec.object or ObjectOptions()
    options = {
        names.ATTR_READ_ONLY: "true" if given.read_only else None,
        "uid": given.uid,
        "gid": given.gid,
        "mode": given.mode,
        "cache": quantity.parse(given.cache_size) if given.cache_size else None,
        "writeback": "true" if given.writeback else None,
    }
    return {"mount": mounter, **{key: str(value) for key, value in options.items() if value is not None}}
