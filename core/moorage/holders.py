"""Which volumes a pod uses, and which pods hold a volume."""

from dataclasses import dataclass

from moorage import names
from moorage.actions import Manifest, part

Claim = tuple[str, str]  # namespace, name
VolumeKey = tuple[str, str]  # namespace, name

_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Use:
    """One way of using a volume: through a claim, or a StorageVolume inline."""

    claim: Claim = ("", "")
    volume: VolumeKey | None = None


@dataclass(frozen=True, slots=True)
class Uses:
    """What a scheduled, unfinished pod mounts."""

    uses: frozenset[Use] = frozenset()


def uses(pod: Manifest) -> Uses:
    """Nothing for a pod without a node (it mounts nothing yet) or one that has finished (its mounts are gone)."""
    metadata, spec = pod["metadata"], part(pod, "spec")
    if not spec.get("nodeName") or part(pod, "status").get("phase") in _OVER:
        return Uses()
    namespace = metadata["namespace"]
    volumes = spec.get("volumes") or ()
    claims = {Use(claim=(namespace, name)) for each in volumes if (name := _claim_name(metadata["name"], each))}
    inline = {Use(volume=(namespace, name)) for each in volumes if (name := _inline_name(each))}
    return Uses(frozenset(claims | inline))


def pod_name(pod: Manifest) -> str:
    return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"


def claimed_volume(persistent_volume: Manifest) -> names.VolumeHandle | None:
    """The StorageVolume that a PersistentVolume shows; None when it is not one of ours."""
    csi = part(persistent_volume, "spec", "csi")
    parts = csi.get("volumeHandle", "").split("/")
    if csi.get("driver") != names.DRIVER or len(parts) != 3:
        return None
    return names.VolumeHandle(*parts)


def claim_of(persistent_volume: Manifest) -> Claim | None:
    claim = part(persistent_volume, "spec", "claimRef")
    return (claim["namespace"], claim["name"]) if claim else None


def is_bound(persistent_volume: Manifest) -> bool:
    return part(persistent_volume, "status").get("phase") == "Bound"


def _claim_name(pod: str, volume: Manifest) -> str | None:
    if "ephemeral" in volume:  # a generic ephemeral volume's claim is named after pod and volume
        return f"{pod}-{volume['name']}"
    return part(volume, "persistentVolumeClaim").get("claimName")


def _inline_name(volume: Manifest) -> str | None:
    if part(volume, "csi").get("driver") != names.DRIVER:
        return None
    return part(volume, "csi", "volumeAttributes").get(names.ATTR_VOLUME)
