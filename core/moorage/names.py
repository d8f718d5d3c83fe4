"""Every string that Kubernetes, the kubelet or a user sees, once."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Self

from moorage.errors import InvalidInput

GROUP = "moorage.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "storage"
DRIVER = "csi.moorage.dev"

FINALIZER = f"{GROUP}/finalizer"
OPERATOR_MANAGER = "moorage-operator"
AGENT_MANAGER = "moorage-agent"
CSI_MANAGER = "moorage-csi"

# Labels on everything that the operator makes, so that one list finds it all.
LABEL_VOLUME_UID = f"{GROUP}/volume-uid"
LABEL_BUCKET_UID = f"{GROUP}/bucket-uid"
LABEL_KEY_UID = f"{GROUP}/bucket-key-uid"
LABEL_ATTACHMENT_UID = f"{GROUP}/attachment-uid"
LABEL_BACKEND = f"{GROUP}/backend"  # on the worker pods of a filer: which StorageBackend
MANAGED_BY = {"app.kubernetes.io/managed-by": "moorage"}

# Tags on a bucket of an S3 engine: the Bucket that it belongs to.
TAG_NAMESPACE = f"{GROUP}/namespace"
TAG_NAME = f"{GROUP}/name"
TAG_UID = f"{GROUP}/uid"

CLASS_SHARED = "moorage-shared"
CLASS_OBJECT = "moorage-object"
CLASS_LOCAL = "moorage-local"

LOCAL_DISKS = "local"  # folder of <kubelet>/plugins/<DRIVER> where a node's agent mounts its local volumes

TOPOLOGY_NODE = f"topology.{GROUP}/node"  # label of a node: where volumes of its own disk can be used

# Keys of a bucket's Secret: the names that AWS SDKs and tools read from the environment.
# (Names of keys, not secrets: hence the noqa.)
SECRET_ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"  # noqa: S105
SECRET_SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105
SECRET_ENDPOINT = "AWS_ENDPOINT_URL"  # noqa: S105
SECRET_REGION = "AWS_REGION"  # noqa: S105
SECRET_DEFAULT_REGION = "AWS_DEFAULT_REGION"  # noqa: S105 - the same; boto3 and aws 1 read this one only
SECRET_BUCKET = "BUCKET"  # noqa: S105
SECRET_BUCKETS = "BUCKETS"  # noqa: S105
SECRET_HOST = "S3_ENDPOINT"  # noqa: S105
SECRET_USE_HTTPS = "S3_USE_HTTPS"  # noqa: S105
SECRET_RCLONE = "rclone.conf"  # noqa: S105
SECRET_S3CMD = "s3cfg"  # noqa: S105
SECRET_CA = "ca.crt"  # noqa: S105

# volumeAttributes of an inline volume (what a pod's author may write).
ATTR_VOLUME = "volume"
ATTR_BUCKET = "bucket"
ATTR_MOUNT_FROM = "mountFrom"
ATTR_READ_ONLY = "readOnly"

# volumeAttributes of a StorageAttachment's PersistentVolume, besides the two above.
ATTR_MOUNT_AS = "mountAs"
ATTR_ATTACHMENT = "attachment"  # <namespace>/<name>

# volumeAttributes that the kubelet adds (CSIDriver podInfoOnMount).
POD_NAMESPACE = "csi.storage.k8s.io/pod.namespace"
POD_NAME = "csi.storage.k8s.io/pod.name"
EPHEMERAL = "csi.storage.k8s.io/ephemeral"

NAME_MAX = 46  # keeps a volume handle, an attachment's too, within the 128 bytes that the CSI spec allows
MOUNT_ROOT = "/mnt"  # where attachments mount volumes on nodes
# A DNS label (RFC 1123) and a bucket's name, without their lengths; RE2 and Python read both the same way.
LABEL_PATTERN = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
NODE_PATTERN = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
BUCKET_PATTERN = "^[a-z0-9]+(-[a-z0-9]+)*$"
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters, none that reads as another
ID_PATTERN = "^[a-km-np-z2-9]{8}$"  # what `short_id` gives


def short_id(uid: str) -> str:
    """Eight characters that stand for an object's UID wherever a UID would not fit."""
    number = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:5], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(35, -5, -5))


@dataclass(frozen=True, slots=True)
class VolumeHandle:
    """The CSI volume id: which StorageVolume, which incarnation of it (`id`), through which attachment, if any.

    Two PersistentVolumes of one handle in one pod confuse the kubelet, so each StorageAttachment has a handle of its
    own: `attachment` is its short id.
    """

    namespace: str
    name: str
    id: str
    attachment: str = ""

    def __str__(self) -> str:
        last = f"{self.id}-{self.attachment}" if self.attachment else self.id
        return f"{self.namespace}/{self.name}/{last}"

    @property
    def volume(self) -> Self:
        """The handle of the volume itself."""
        return replace(self, attachment="")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a handle; raises InvalidInput when it was not made by `__str__`."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise InvalidInput(f"volume id {text!r} is not of the form namespace/name/id")
        id, _, attachment = parts[2].partition("-")
        return cls(parts[0], parts[1], id, attachment)


@dataclass(frozen=True, slots=True)
class SnapshotHandle:
    """The CSI snapshot id: which StorageSnapshot, which incarnation of it."""

    namespace: str
    name: str
    id: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a handle; raises InvalidInput when it was not made by `__str__`."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise InvalidInput(f"snapshot id {text!r} is not of the form namespace/name/id")
        return cls(*parts)


def topology_value(node: str) -> str:
    """The value of TOPOLOGY_NODE for a node: its name, or, where that is no label value, a hash of it."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", node):
        return node
    return hashlib.sha256(node.encode()).hexdigest()[:32]


def agent_manager(server: str) -> str:
    """The field manager of a server's entry in status.servers: one for all would take the others' entries away. It has
    at most 128 characters (Kubernetes), and a node's name may have 253."""
    return f"{AGENT_MANAGER}-{server if len(server) <= 100 else hashlib.sha256(server.encode()).hexdigest()[:32]}"


def filer_worker(backend: str) -> str:
    """Name of the pod that makes and removes folders on the filer of a StorageBackend with engine nfs."""
    return f"moorage-filer-{backend}"


def persistent_volume(id: str) -> str:
    """Name of the PersistentVolume that the operator makes for a StorageVolume or StorageAttachment with this id."""
    return f"moorage-{id}"


def holder(attachment_id: str) -> str:
    """Name of the DaemonSet whose pods hold an attachment's mount on nodes; its pods' names begin with it and "-"."""
    return f"moorage-{attachment_id}"


def mount_as(kind: str, volume_id: str) -> str:
    """Where a volume is mounted on nodes when the attachment does not say: /mnt/<type>-<id>."""
    return f"{MOUNT_ROOT}/{kind}-{volume_id}"


def bucket_secret(bucket: str) -> str:
    """Name of the Secret with a Bucket's own key."""
    return f"{bucket}-s3"


def key_secret(key: str) -> str:
    """Name of the Secret of a BucketKey that does not say another."""
    return f"{key}-key"


def volume_name_for(request_name: str) -> str:
    """The StorageVolume name for a CSI CreateVolume name (any UTF-8 up to 128 bytes).

    Always the same for the same name; always a name that a bucket may have too, for object volumes.
    """
    if 3 <= len(request_name) <= NAME_MAX and re.fullmatch(BUCKET_PATTERN, request_name):
        return request_name
    return "v-" + hashlib.sha256(request_name.encode()).hexdigest()[:24]
