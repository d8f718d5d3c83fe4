"""BucketKey: a key that opens named buckets and nothing else."""

from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
from moorage.model.access import Access
from moorage.model.base import (
    AGE,
    LABEL_RULE,
    MESSAGE,
    NAME_PATH,
    PHASE,
    READY,
    REASON,
    Column,
    Generation,
    Label,
    Model,
    Moment,
    Phase,
    Placement,
    Resource,
    Rule,
    ShortId,
    fixed,
    matching,
)
from moorage.model.condition import Conditions
from moorage.model.keystate import ROTATION_RULES, Duration, KeyRotation, KeyState

MAX_BUCKETS = 16


class KeyBucket(Model):
    """A Bucket, and what the key may do with it."""

    name: Annotated[Label, Field(max_length=names.NAME_MAX)]
    """The Bucket."""
    namespace: Annotated[
        str,
        Field(max_length=63),
        matching(f"^({names.LABEL_PATTERN[1:-1]})?$", "use lowercase letters, digits and hyphens, or leave it out"),
    ] = ""
    """Its namespace, which must agree by the Bucket's spec.share; if absent, the BucketKey's own."""
    access: Access = Access.ReadOnly
    """ReadOnly lists and reads objects; ReadWrite also writes and deletes them; Admin also changes versioning, CORS and
    lifecycle rules. None of them changes locks, the policy or tags of the bucket, or deletes it."""


class BucketKeySpec(KeyRotation):
    """What the key shall open, and how long it lives."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *ROTATION_RULES,
        fixed("secretName", "make another BucketKey"),
        Rule(
            rule="!has(self.expireAfter) || duration(self.expireAfter) >= duration('1m')",
            message="expireAfter is at least 1m",
            field_path=".expireAfter",
        ),
    )

    buckets: Annotated[
        tuple[KeyBucket, ...],
        Field(
            min_length=1,
            max_length=MAX_BUCKETS,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["namespace", "name"],  # each bucket once
            },
        ),
    ]
    """What it opens: 1 to 16 Buckets, all on one StorageBackend. A change is applied to the key as it is."""
    secret_name: Label | None = None
    """Name of the Secret with the key; if absent, the BucketKey's name and "-key". Cannot be changed."""
    expire_after: Duration | None = None
    """Revoke the key for good when the BucketKey is this old, whatever was rotated; if absent, never."""
    revoked: bool = False
    """Revoke the key at once, the one before it too, and remove the Secret. Set to false later, a new one is made."""


class OpenedBucket(Model):
    """A bucket that the key opens."""

    name: Label
    """The Bucket."""
    namespace: Label
    """Its namespace."""
    bucket: Annotated[str, Field(max_length=63)]
    """The bucket's name in the S3 engine: what S3 tools ask for."""
    access: Access
    """What the key may do."""


class BucketKeyStatus(KeyState):
    """What the operator knows of the key; never its secret half."""

    phase: Phase | None = None
    """Where the key is in its life, in one word. Derived from the conditions."""
    phase_since: Moment | None = None
    """When `phase` last changed (RFC 3339)."""
    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    id: ShortId = ""
    """Short id of this BucketKey."""
    placement: Placement | None = None
    """The StorageBackend of its buckets; never changes afterwards."""
    buckets: Annotated[tuple[OpenedBucket, ...], Field(max_length=MAX_BUCKETS)] = ()
    """What the key opens, as it was applied to the S3 engine."""
    secret_name: Annotated[str | None, Field(max_length=253)] = None
    """The Secret, in the BucketKey's namespace, with the key."""
    endpoint: Annotated[str | None, Field(max_length=512)] = None
    """URL of the S3 server."""
    expires_at: Moment | None = None
    """When it will be revoked for good (RFC 3339); absent when never."""
    conditions: Conditions = ()
    """The truth that the phase is derived from."""


class BucketKey(Resource):
    """A key of its own for some buckets: limited, rotated, revocable, and never a credential of the whole S3 engine."""

    plural: ClassVar[str] = "bucketkeys"
    short_names: ClassVar[tuple[str, ...]] = ("bk",)
    columns: ClassVar[tuple[Column, ...]] = (
        PHASE,
        READY,
        Column(name="Secret", path=".status.secretName", description="The Secret with the key."),
        Column(name="Issued", path=".status.issuedAt", description="Since when the Secret has it.", type="date"),
        Column(name="Expires", path=".status.expiresAt", description="When it is revoked for good."),
        Column(name="Rotates", path=".status.rotatesAt", description="When it is replaced.", wide=True),
        Column(name="Access-Key", path=".status.accessKeyId", description="Its access key.", wide=True),
        REASON,
        MESSAGE,
        AGE,
    )
    selectable: ClassVar[tuple[str, ...]] = (".status.phase",)
    rules: ClassVar[tuple[Rule, ...]] = (
        LABEL_RULE,
        Rule(
            rule=f"size(self.metadata.name) <= {names.NAME_MAX}",
            message=f"name the key with at most {names.NAME_MAX} characters",
            field_path=NAME_PATH,
        ),
    )

    spec: BucketKeySpec
    """What the key shall open, and how long it lives."""
    status: BucketKeyStatus = BucketKeyStatus()
    """What the operator knows of the key."""
