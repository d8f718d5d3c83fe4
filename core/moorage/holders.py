"""Which volumes a pod uses and what it has of them by now, and which pods hold a volume."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from moorage import names
from moorage.actions import Manifest, part
from moorage.errors import InvalidInput
from moorage.nodegroup import trouble

Claim = tuple[str, str]  # namespace, name
VolumeKey = tuple[str, str]  # namespace, name
BucketKey = tuple[str, str]  # namespace, name

_OVER = frozenset({"Succeeded", "Failed"})
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
# The kubelet sets it when sandbox and network stand, which it makes after the mounts (Kubernetes 1.29 and later).
_STARTED = "PodReadyToStartContainers"


class PodState(StrEnum):
    """What a scheduled pod has of its volumes, as far as its status tells."""

    waiting = "waiting"  # nothing yet: the kubelet makes sandbox and containers after the mounts
    running = "running"
    leaving = "leaving"  # its deletion was asked for


@dataclass(frozen=True, slots=True)
class Use:
    """One way of using a volume: through a claim, or inline a StorageVolume (or StorageAttachment), or a Bucket."""

    claim: Claim = ("", "")
    volume: VolumeKey | None = None
    bucket: BucketKey | None = None


@dataclass(frozen=True, slots=True)
class Uses:
    """What a scheduled, unfinished pod mounts, where, and how far it is.

    `attachment`: the uid of the StorageAttachment whose mount on a node this pod holds, else "". Such a pod is no user
    of its volume. `ready` is told for such pods alone: their readiness is a probe of the mount; `trouble` says why one
    is not ready, in words.
    """

    uses: frozenset[Use] = frozenset()
    node: str = ""
    state: PodState = PodState.waiting
    attachment: str = ""
    ready: bool = False
    trouble: str = ""


def uses(pod: Manifest) -> Uses:
    """Nothing for a pod without a node (it mounts nothing yet) or one that has finished (the kubelet unmounts soon)."""
    metadata, spec = pod["metadata"], part(pod, "spec")
    if not spec.get("nodeName") or _is_over(pod):
        return Uses()
    found = frozenset(_ways(metadata["namespace"], metadata["name"], spec))
    # Anybody may write the label. A holder pod has a claim, which Kubernetes protects, and never an inline volume,
    # which nothing protects but being seen here.
    inline = any(each.volume or each.bucket for each in found)
    attachment = "" if inline else part(metadata, "labels").get(names.LABEL_ATTACHMENT_UID, "")
    if not found and not attachment:
        return Uses()
    ready = bool(attachment) and _has_condition(pod, "Ready")
    why = trouble(part(pod, "status")) if attachment and not ready else ""
    return Uses(found, sys.intern(spec["nodeName"]), state(pod), attachment, ready, why)


def _is_over(pod: Manifest) -> bool:
    """Finished. One that is being deleted has its last phase early, but is there until its volumes are unmounted."""
    return part(pod, "status").get("phase") in _OVER and state(pod) != PodState.leaving


def ways_of(pod: Manifest) -> frozenset[Use]:
    """How a pod would use volumes, whether it has a node or not."""
    return frozenset(_ways(pod["metadata"]["namespace"], pod["metadata"]["name"], part(pod, "spec")))


def state(pod: Manifest) -> PodState:
    """How far a scheduled pod is."""
    if "deletionTimestamp" in pod["metadata"]:
        return PodState.leaving
    started = _has_condition(pod, _STARTED) or any(_has_begun(each) for each in _containers(pod))
    return PodState.running if started else PodState.waiting


def pod_name(pod: Manifest) -> str:
    return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"


def claimed_volume(persistent_volume: Manifest) -> names.VolumeHandle | None:
    """What a PersistentVolume shows: a StorageVolume, perhaps through an attachment; None when it is not ours."""
    csi = part(persistent_volume, "spec", "csi")
    if csi.get("driver") != names.DRIVER:
        return None
    try:
        return names.VolumeHandle.parse(csi.get("volumeHandle", ""))
    except InvalidInput:
        return None


def claim_of(persistent_volume: Manifest) -> Claim | None:
    claim = part(persistent_volume, "spec", "claimRef")
    return (claim["namespace"], claim["name"]) if claim else None


def is_bound(persistent_volume: Manifest) -> bool:
    return part(persistent_volume, "status").get("phase") == "Bound"


def _ways(namespace: str, pod: str, spec: Manifest) -> Iterator[Use]:
    for each in spec.get("volumes") or ():
        claim, inline = _claim_name(pod, each), _inline(each)
        if claim:
            yield Use(claim=(namespace, claim))
        if volume := inline.get(names.ATTR_VOLUME):
            yield Use(volume=(namespace, volume))
        if bucket := inline.get(names.ATTR_BUCKET):
            yield Use(bucket=(namespace, bucket))


def _claim_name(pod: str, volume: Manifest) -> str | None:
    if "ephemeral" in volume:  # a generic ephemeral volume's claim is named after pod and volume
        return f"{pod}-{volume['name']}"
    return part(volume, "persistentVolumeClaim").get("claimName")


def _inline(volume: Manifest) -> Manifest:
    ours = part(volume, "csi").get("driver") == names.DRIVER
    return part(volume, "csi", "volumeAttributes") if ours else {}


def _has_condition(pod: Manifest, type: str) -> bool:
    found: list[Manifest] = part(pod, "status").get("conditions") or []
    return any(each["type"] == type and each.get("status") == "True" for each in found)


def _containers(pod: Manifest) -> Iterator[Manifest]:
    status = part(pod, "status")
    for each in _STATUSES:
        yield from status.get(each) or ()


def _has_begun(container: Manifest) -> bool:
    now, before = part(container, "state"), part(container, "lastState")
    return bool({"running", "terminated"} & (now.keys() | before.keys()) or container.get("restartCount"))
