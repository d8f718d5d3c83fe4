"""StorageVolume, StorageAttachment, Bucket and StorageBackend: what a user writes and what the status says.

The CRDs are generated from these models (`moorage.crd`), so a bound, a rule or a column stands here and nowhere else.
Docstrings under fields are what `kubectl explain` shows. Rules that need two fields, or the old and the new object, are
CEL (`rules`), with a message that says what to do.
"""

from moorage.model.attachment import (
    Detach,
    NodeGroup,
    StorageAttachment,
    StorageAttachmentSpec,
    StorageAttachmentStatus,
    VolumeRef,
)
from moorage.model.backend import (
    BackendServer,
    Engine,
    GaneshaEngine,
    Kept,
    S3Engine,
    S3Flavor,
    StorageBackend,
    StorageBackendSpec,
    StorageBackendStatus,
)
from moorage.model.base import (
    Bytes,
    Column,
    Message,
    Model,
    Name,
    OnDelete,
    Phase,
    Placement,
    Resource,
    Rule,
    SecretRef,
    Size,
)
from moorage.model.bucket import Bucket, BucketSpec, BucketStatus
from moorage.model.condition import Condition, Conditions, ConditionStatus
from moorage.model.selector import Consent, LabelSelector, Operator, Requirement, ShareFrom
from moorage.model.volume import (
    MAX_SIZE,
    MIN_SIZE,
    BucketRef,
    Share,
    ShareState,
    StorageVolume,
    StorageVolumeSpec,
    StorageVolumeStatus,
    VolumeType,
)

KINDS: tuple[type[Resource], ...] = (StorageVolume, StorageAttachment, Bucket, StorageBackend)

__all__ = [
    "KINDS",
    "MAX_SIZE",
    "MIN_SIZE",
    "BackendServer",
    "Bucket",
    "BucketRef",
    "BucketSpec",
    "BucketStatus",
    "Bytes",
    "Column",
    "Condition",
    "ConditionStatus",
    "Conditions",
    "Consent",
    "Detach",
    "Engine",
    "GaneshaEngine",
    "Kept",
    "LabelSelector",
    "Message",
    "Model",
    "Name",
    "NodeGroup",
    "OnDelete",
    "Operator",
    "Phase",
    "Placement",
    "Requirement",
    "Resource",
    "Rule",
    "S3Engine",
    "S3Flavor",
    "SecretRef",
    "Share",
    "ShareFrom",
    "ShareState",
    "Size",
    "StorageAttachment",
    "StorageAttachmentSpec",
    "StorageAttachmentStatus",
    "StorageBackend",
    "StorageBackendSpec",
    "StorageBackendStatus",
    "StorageVolume",
    "StorageVolumeSpec",
    "StorageVolumeStatus",
    "VolumeRef",
    "VolumeType",
]
