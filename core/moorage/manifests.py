"""The Kubernetes objects that stand for a volume or a bucket, complete, for server-side apply."""

from collections.abc import Mapping
from typing import Any

from moorage import names, quantity
from moorage.actions import Manifest
from moorage.model import Bucket, BucketKey, SecretRef, StorageVolume, VolumeType

# A PersistentVolumeClaim needs a size; a bucket has none. Nobody enforces this one.
OBJECT_CAPACITY = "1Gi"


def labels(key: str, uid: str) -> dict[str, str]:
    return {**names.MANAGED_BY, key: uid}


def owner(kind: str, metadata: dict[str, Any]) -> dict[str, Any]:
    who = {"apiVersion": names.API_VERSION, "kind": kind, "name": metadata["name"], "uid": metadata["uid"]}
    return who | {"controller": True}


def is_owned(manifest: Manifest, key: str, uid: str) -> bool:
    """Whether an object found under a name that we want is the one that we made for this very owner."""
    return manifest["metadata"].get("labels", {}).get(key) == uid


def capacity(volume: StorageVolume) -> str:
    """What the volume really has: the share's size, which follows spec.size."""
    share = volume.status.share
    return quantity.format(share.size_bytes) if share else OBJECT_CAPACITY


def volume_handle(volume: StorageVolume, id: str) -> str:
    return str(names.VolumeHandle(volume.metadata["namespace"], volume.metadata["name"], id))


def modes(volume: StorageVolume) -> list[str]:
    """Access modes of what stands for the volume: a disk of one node is mounted by that node alone."""
    return ["ReadWriteOnce"] if volume.spec.type == VolumeType.local else ["ReadWriteMany"]


def affinity(topology: Mapping[str, str] | None) -> dict[str, Any]:
    """What a PersistentVolume's spec says of the nodes that can use it: nothing when all can."""
    if not topology:
        return {}
    terms = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(topology.items())]
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": terms}]}}}


def persistent_volume(
    volume: StorageVolume,
    id: str,
    attributes: dict[str, str],
    secret: SecretRef | None,
    where: Manifest,
    claim_uid: str | None = None,
) -> Manifest:
    """The PersistentVolume, bound beforehand to the claim of the volume's name.

    `where`: the part of its spec that `affinity` makes. `claim_uid` re-binds a PersistentVolume whose claim was
    deleted and made again: without it, it stays Released.
    """
    namespace, name = volume.metadata["namespace"], volume.metadata["name"]
    source: dict[str, Any] = {
        "driver": names.DRIVER,
        "volumeHandle": volume_handle(volume, id),
        "volumeAttributes": attributes,
    }
    if secret:
        source["nodeStageSecretRef"] = {"name": secret.name, "namespace": secret.namespace}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": names.persistent_volume(id),
            "labels": labels(names.LABEL_VOLUME_UID, volume.metadata["uid"]),
        },
        "spec": {
            "capacity": {"storage": capacity(volume)},
            "accessModes": modes(volume),
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": claim | ({"uid": claim_uid} if claim_uid else {}),
            "csi": source,
            **where,
        },
    }


def persistent_volume_claim(volume: StorageVolume, id: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": volume.metadata["name"],
            "namespace": volume.metadata["namespace"],
            "labels": labels(names.LABEL_VOLUME_UID, volume.metadata["uid"]),
            "ownerReferences": [owner("StorageVolume", volume.metadata)],
        },
        "spec": {
            "accessModes": modes(volume),
            "volumeMode": "Filesystem",
            "storageClassName": "",
            "volumeName": names.persistent_volume(id),
            "resources": {"requests": {"storage": capacity(volume)}},
        },
    }


def owned_bucket(volume: StorageVolume) -> Manifest:
    """The bucket of an object volume that names none: it goes with the volume, and so does what is in it."""
    spec: dict[str, Any] = {"onDelete": volume.spec.on_delete.value, "emptyOnDelete": True}
    if volume.spec.backend:
        spec["backend"] = volume.spec.backend
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Bucket",
        "metadata": {
            "name": volume.metadata["name"],
            "namespace": volume.metadata["namespace"],
            "labels": labels(names.LABEL_VOLUME_UID, volume.metadata["uid"]),
            "ownerReferences": [owner("StorageVolume", volume.metadata)],
        },
        "spec": spec,
    }


def key_reader(bucket: Bucket, id: str, account: SecretRef) -> tuple[Manifest, Manifest]:
    """Role and RoleBinding by which the node plugin's account (`account`) may get the bucket's Secret, and no other.

    The kubelet passes the Secret for claims; for inline volumes nobody does, and the account reads no Secrets at large.
    """
    metadata = {
        "name": names.persistent_volume(id),
        "namespace": bucket.metadata["namespace"],
        "labels": labels(names.LABEL_BUCKET_UID, bucket.metadata["uid"]),
        "ownerReferences": [owner("Bucket", bucket.metadata)],
    }
    secret = names.bucket_secret(bucket.metadata["name"])
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
    }
    return role, binding


def key_secret(key: BucketKey, name: str, data: dict[str, str]) -> Manifest:
    """The Secret of a BucketKey."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": name,
            "namespace": key.metadata["namespace"],
            "labels": labels(names.LABEL_KEY_UID, key.metadata["uid"]),
            "ownerReferences": [owner("BucketKey", key.metadata)],
        },
        "data": data,
    }


def bucket_secret(bucket: Bucket, data: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": names.bucket_secret(bucket.metadata["name"]),
            "namespace": bucket.metadata["namespace"],
            "labels": labels(names.LABEL_BUCKET_UID, bucket.metadata["uid"]),
            "ownerReferences": [owner("Bucket", bucket.metadata)],
        },
        "data": data,
    }
