"""What stands for an attachment in its namespace: a PersistentVolume with a handle of its own, and a claim."""

from typing import Any

from moorage import claims, manifests, names
from moorage.actions import Action, Apply, Create, Manifest, Problem, part
from moorage.attachmentfacts import AttachmentFacts
from moorage.model import StorageVolume, VolumeType


def handle(facts: AttachmentFacts, volume: StorageVolume) -> str:
    id = volume.status.id or names.short_id(volume.metadata["uid"])
    return str(names.VolumeHandle(volume.metadata["namespace"], volume.metadata["name"], id, facts.id))


def attributes(facts: AttachmentFacts, volume: StorageVolume) -> dict[str, str]:
    """The volume's mount plan, with what the attachment adds.

    `mountAs` is always there: attributes of a PersistentVolume never change, and `nodes` may be added later.
    """
    spec = facts.attachment.spec
    found = {**(volume.status.attributes or {}), names.ATTR_ATTACHMENT: facts.name}
    if spec.mount_from != "/":
        found[names.ATTR_MOUNT_FROM] = spec.mount_from
    if spec.read_only:
        found[names.ATTR_READ_ONLY] = "true"
    if facts.mount_as:
        found[names.ATTR_MOUNT_AS] = facts.mount_as
    return found


def is_stale(facts: AttachmentFacts, volume: StorageVolume) -> bool:
    """Whether the PersistentVolume shows an earlier volume of the same name."""
    found = facts.persistent_volume
    return found is not None and part(found, "spec", "csi").get("volumeHandle") != handle(facts, volume)


def conflict(facts: AttachmentFacts) -> Problem | None:
    """A claim under our name that is not ours."""
    claim = facts.claim
    if claim is None or manifests.is_owned(claim, names.LABEL_ATTACHMENT_UID, facts.attachment.metadata["uid"]):
        return None
    name = claim["metadata"]["name"]
    if "deletionTimestamp" in claim["metadata"]:
        return Problem("ClaimDestroying", f"PersistentVolumeClaim {name} is still being deleted")
    message = (
        f"PersistentVolumeClaim {name} exists and is not of this attachment: delete it, or name this one otherwise"
    )
    return Problem("ClaimConflict", message)


def actions(facts: AttachmentFacts, volume: StorageVolume) -> tuple[Action, ...]:
    claim, found = facts.claim, facts.persistent_volume
    # immutable once there
    seen = part(found, "spec", "csi").get("volumeAttributes", {}) if found else attributes(facts, volume)
    nodes = claims.affinity(found, volume.status.topology)
    wanted = persistent_volume(facts, volume, seen, nodes, claims.rebind(found, claim))
    made: list[Action] = []
    if found is None or ("deletionTimestamp" not in found["metadata"] and claims.drifted(found, wanted)):
        made.append(Apply(wanted))
    if claim is None:
        made.append(Create(persistent_volume_claim(facts, volume)))
    return tuple(made)


def _modes(facts: AttachmentFacts, volume: StorageVolume) -> list[str]:
    many = volume.spec.type != VolumeType.local
    return ["ReadOnlyMany"] if facts.attachment.spec.read_only and many else manifests.modes(volume)


def persistent_volume(
    facts: AttachmentFacts,
    volume: StorageVolume,
    attributes: dict[str, str],
    nodes: Manifest,
    claim_uid: str | None = None,
) -> Manifest:
    """Bound beforehand to the claim; `claim_uid` binds it again to a claim that was made anew. `nodes`: the part of its
    spec that says which nodes can use it (`manifests.affinity`)."""
    metadata, secret = facts.attachment.metadata, volume.status.secret_ref
    source: dict[str, Any] = {
        "driver": names.DRIVER,
        "volumeHandle": handle(facts, volume),
        "volumeAttributes": attributes,
    }
    if facts.attachment.spec.read_only:
        source["readOnly"] = True
    if secret:
        source["nodeStageSecretRef"] = {"name": secret.name, "namespace": secret.namespace}
    where = {"name": metadata["name"], "namespace": metadata["namespace"]}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **where}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": names.persistent_volume(facts.id),
            "labels": manifests.labels(names.LABEL_ATTACHMENT_UID, metadata["uid"]),
        },
        "spec": {
            "capacity": {"storage": manifests.capacity(volume)},
            "accessModes": _modes(facts, volume),
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": claim | ({"uid": claim_uid} if claim_uid else {}),
            "csi": source,
            **nodes,
        },
    }


def persistent_volume_claim(facts: AttachmentFacts, volume: StorageVolume) -> Manifest:
    metadata = facts.attachment.metadata
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": manifests.labels(names.LABEL_ATTACHMENT_UID, metadata["uid"]),
            "ownerReferences": [manifests.owner("StorageAttachment", metadata)],
        },
        "spec": {
            "accessModes": _modes(facts, volume),
            "volumeMode": "Filesystem",
            "storageClassName": "",
            "volumeName": names.persistent_volume(facts.id),
            "resources": {"requests": {"storage": manifests.capacity(volume)}},
        },
    }
