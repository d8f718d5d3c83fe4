"""The objects that demo, tests and benchmarks apply."""

from typing import Any

Object = dict[str, Any]
API = "moorage.dev/v1alpha1"
BUSYBOX = "docker.io/library/busybox:1.37"
MOORAGE = "docker.io/moorage/moorage:0.1.0"


def volume(name: str, namespace: str = "default", **spec: Any) -> Object:
    return {
        "apiVersion": API,
        "kind": "StorageVolume",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def shared(name: str, size: str = "256Mi", namespace: str = "default", **spec: Any) -> Object:
    return volume(name, namespace, type="shared", size=size, **spec)


def bucket(name: str, namespace: str = "default", **spec: Any) -> Object:
    """It goes with what is in it, unless `spec` says otherwise: tests clean up after themselves."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "Bucket", "metadata": metadata, "spec": {"emptyOnDelete": True, **spec}}


def node_folder(name: str, path: str, size: str, storage_class: str, claim: Object) -> Object:
    """A PersistentVolume for `claim` (its name and namespace) in a folder that a node has, or not."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "claimRef": claim,
            "hostPath": {"path": path, "type": "Directory"},
        },
    }


def claim(name: str, storage_class: str, size: str = "256Mi", namespace: str = "default") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
        },
    }


def by_claim(claim_name: str, read_only: bool = False) -> Object:
    return {"persistentVolumeClaim": {"claimName": claim_name, "readOnly": read_only}}


def attachment(name: str, volume_name: str, namespace: str = "default", home: str | None = None, **spec: Any) -> Object:
    """A StorageAttachment in `namespace`; `home` is the volume's namespace if it is another one."""
    source = {"name": volume_name} | ({"namespace": home} if home else {})
    return {
        "apiVersion": API,
        "kind": "StorageAttachment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"volume": source, **spec},
    }


def inline(volume_name: str, mount_from: str = "", read_only: bool = False) -> Object:
    attributes = {"volume": volume_name} | ({"mountFrom": mount_from} if mount_from else {})
    return {"csi": {"driver": "csi.moorage.dev", "readOnly": read_only, "volumeAttributes": attributes}}


def inline_bucket(name: str, **attributes: str) -> Object:
    return {"csi": {"driver": "csi.moorage.dev", "volumeAttributes": {"bucket": name, **attributes}}}


def pod(
    name: str,
    source: Object | None,
    namespace: str = "default",
    node: str | None = None,
    sub_path: str = "",
    command: str = "sleep 1000000",
    user: int | None = None,
    image: str = BUSYBOX,
) -> Object:
    """A pod of `image` with `source` mounted at /data; runs `command` as its shell's script."""
    mount = {"name": "data", "mountPath": "/data"} | ({"subPath": sub_path} if sub_path else {})
    container: Object = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", f"trap 'exit 0' TERM; {command} & wait"],
        "volumeMounts": [mount] if source else [],
    }
    spec: Object = {
        "containers": [container],
        "terminationGracePeriodSeconds": 2,
        "volumes": [{"name": "data", **source}] if source else [],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    if user is not None:
        spec["securityContext"] = {"runAsUser": user, "runAsGroup": user}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
