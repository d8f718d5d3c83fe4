"""The kinds of the API: what a user writes and what the status says.

The CRDs are generated from these models (`moorage.crd`), so a bound, a rule or a column stands here and nowhere else.
Docstrings under fields are what `kubectl explain` shows. Rules that need two fields, or the old and the new object, are
CEL (`rules`), with a message that says what to do.
"""

from moorage.model.access import Access
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
    Kept,
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
    Usage,
    VolumeOnDelete,
)
from moorage.model.bucket import Bucket, BucketDrift, BucketSpec, BucketStatus
from moorage.model.bucketkey import BucketKey, BucketKeySpec, BucketKeyStatus, KeyBucket, OpenedBucket
from moorage.model.bucketsetting import CorsRule, LifecycleRule, LockMode, Method, ObjectLock
from moorage.model.condition import Condition, Conditions, ConditionStatus
from moorage.model.engine import Engine, GaneshaEngine, LocalEngine, NfsEngine, S3Engine, S3Flavor
from moorage.model.keystate import KeyRotation, KeyState, PreviousKey
from moorage.model.objectoptions import Mounter, ObjectOptions
from moorage.model.rootfolder import RootFolder, Squash
from moorage.model.selector import Consent, LabelSelector, Operator, Requirement, ShareFrom
from moorage.model.share import Share, ShareState
from moorage.model.snapshot import (
    ImageState,
    SnapshotImage,
    StorageSnapshot,
    StorageSnapshotSpec,
    StorageSnapshotStatus,
)
from moorage.model.source import BucketRef, VolumeSource
from moorage.model.volume import StorageVolume, StorageVolumeSpec, StorageVolumeStatus, VolumeType
from moorage.model.volumesize import MAX_SIZE, MIN_SIZE

KINDS: tuple[type[Resource], ...] = (
    StorageVolume,
    StorageAttachment,
    StorageSnapshot,
    Bucket,
    BucketKey,
    StorageBackend,
)

__all__ = [
    "KINDS",
    "MAX_SIZE",
    "MIN_SIZE",
    "Access",
    "BackendServer",
    "Bucket",
    "BucketDrift",
    "BucketKey",
    "BucketKeySpec",
    "BucketKeyStatus",
    "BucketRef",
    "BucketSpec",
    "BucketStatus",
    "Bytes",
    "Column",
    "Condition",
    "ConditionStatus",
    "Conditions",
    "Consent",
    "CorsRule",
    "Detach",
    "Engine",
    "GaneshaEngine",
    "ImageState",
    "Kept",
    "KeyBucket",
    "KeyRotation",
    "KeyState",
    "LabelSelector",
    "LifecycleRule",
    "LocalEngine",
    "LockMode",
    "Message",
    "Method",
    "Model",
    "Mounter",
    "Name",
    "NfsEngine",
    "NodeGroup",
    "ObjectLock",
    "ObjectOptions",
    "OnDelete",
    "OpenedBucket",
    "Operator",
    "Phase",
    "Placement",
    "PreviousKey",
    "Requirement",
    "Resource",
    "RootFolder",
    "Rule",
    "S3Engine",
    "S3Flavor",
    "SecretRef",
    "Share",
    "ShareFrom",
    "ShareState",
    "Size",
    "SnapshotImage",
    "Squash",
    "StorageAttachment",
    "StorageAttachmentSpec",
    "StorageAttachmentStatus",
    "StorageBackend",
    "StorageBackendSpec",
    "StorageBackendStatus",
    "StorageSnapshot",
    "StorageSnapshotSpec",
    "StorageSnapshotStatus",
    "StorageVolume",
    "StorageVolumeSpec",
    "StorageVolumeStatus",
    "Usage",
    "VolumeOnDelete",
    "VolumeRef",
    "VolumeSource",
    "VolumeType",
]
