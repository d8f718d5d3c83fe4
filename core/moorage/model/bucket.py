"""Bucket: an S3 bucket with a key of its own."""

from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
from moorage.model.base import (
    AGE,
    LABEL_RULE,
    MESSAGE,
    NAME_PATH,
    PHASE,
    READY,
    REASON,
    Bytes,
    Column,
    Count,
    Generation,
    Label,
    Model,
    Moment,
    OnDelete,
    Phase,
    Placement,
    Resource,
    Rule,
    ShortId,
    Size,
    fixed,
    matching,
)
from moorage.model.bucketsetting import TAG_RULES, CorsRule, LifecycleRule, LockMode, ObjectLock, TagValue
from moorage.model.condition import Conditions
from moorage.model.keystate import KeyRotation, KeyState
from moorage.model.selector import Consent


class BucketSpec(Model):
    """What the bucket shall be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        fixed("backend", "make another Bucket and copy"),
        fixed("region", "make another Bucket and copy"),
        fixed("adopt", "make another Bucket"),
        Rule(
            rule="has(self.objectLock) == has(oldSelf.objectLock)",
            message="objectLock is set at creation and never added or removed: make another Bucket and copy",
            field_path=".objectLock",
        ),
        Rule(
            rule="!has(self.objectLock) || self.versioning",
            message="objectLock needs versioning: true, a lock holds versions",
            field_path=".versioning",
        ),
        Rule(
            rule="!has(self.objectLock) || !has(oldSelf.objectLock) || self.objectLock.days >= oldSelf.objectLock.days",
            message="objectLock.days only grows: for fewer, make another Bucket",
            field_path=".objectLock",
        ),
        Rule(
            rule="!has(self.objectLock) || !has(oldSelf.objectLock)"
            " || oldSelf.objectLock.mode != 'Compliance' || self.objectLock.mode == 'Compliance'",
            message="objectLock.mode changes from Governance to Compliance, never back: make another Bucket",
            field_path=".objectLock",
        ),
        *TAG_RULES,
    )

    backend: Label | None = None
    """The StorageBackend to live on; if absent, the default S3 backend (of the region). Cannot be changed."""
    region: Annotated[
        str | None,
        Field(max_length=64),
        matching(names.LABEL_PATTERN, "write a region in lowercase letters, digits and hyphens, such as us-east-1"),
    ] = None
    """The region to live in: chooses a StorageBackend of that region; one that backend names must be of it. Cannot be
    changed."""
    versioning: bool = False
    """Keep every version of an object. Turned off later, it stops making versions and keeps those that are there."""
    object_lock: ObjectLock | None = None
    """Keep each version from being deleted or overwritten for some days (WORM); needs versioning. Only at creation;
    never loosened, never removed."""
    tags: Annotated[dict[str, TagValue] | None, Field(max_length=10)] = None
    """Tags of the bucket on the S3 engine; others that somebody put there stay."""
    quota: Size | None = None
    """The most that the bucket may hold, in bytes with a unit, such as 500Gi; refused where the engine has none."""
    public_read: bool = False
    """Let everybody read the objects, without a key. Never so unless asked for."""
    lifecycle: Annotated[tuple[LifecycleRule, ...], Field(max_length=16)] = ()
    """What the engine removes by itself after some days; refused where the engine does not."""
    cors: Annotated[tuple[CorsRule, ...], Field(max_length=16)] = ()
    """What browsers' pages from other origins may ask for; refused where the engine has no such rules."""
    on_delete: OnDelete = OnDelete.Delete
    """What happens when the Bucket is deleted: Delete destroys the bucket, once it is empty; Retain keeps all."""
    empty_on_delete: bool = False
    """onDelete: Delete destroys all objects and versions with the bucket. False: a bucket that is not empty is not
    deleted (DeletionBlocked) until it is empty, or this is true, or onDelete is Retain."""
    share: Consent | None = None
    """Which other namespaces may have a BucketKey or an object volume of the bucket. Its own always may."""
    key: KeyRotation = KeyRotation()
    """When the bucket's own key, the one in its Secret, is replaced. BucketKeys are for everybody else."""
    adopt: Annotated[
        str | None,
        Field(min_length=3, max_length=63),
        matching(
            names.BUCKET_PATTERN, "write the name that the kept bucket has on the S3 engine, such as models-7f3k9x2a"
        ),
    ] = None
    """Take over the kept bucket with this name on the S3 engine, objects and all, in place of a new one. It must have
    belonged to a Bucket of the same namespace. Cannot be changed."""


class BucketDrift(Model):
    """A change that somebody made on the engine and that was put back."""

    at: Moment
    """When it was seen (RFC 3339)."""
    what: Annotated[str, Field(max_length=1024)]
    """What was found and what was put back."""


class BucketStatus(Model):
    """What the operator knows of the bucket."""

    phase: Phase | None = None
    """Where the bucket is in its life, in one word. Derived from the conditions."""
    phase_since: Moment | None = None
    """When `phase` last changed (RFC 3339)."""
    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    id: ShortId = ""
    """Short id of this incarnation of the bucket."""
    placement: Placement | None = None
    """Where the operator put the bucket; never changes afterwards."""
    bucket_name: Annotated[str | None, Field(max_length=63)] = None
    """The bucket's name in the S3 engine: what S3 tools ask for."""
    endpoint: Annotated[str | None, Field(max_length=512)] = None
    """URL of the S3 server."""
    region: Annotated[str | None, Field(max_length=64)] = None
    """Region to sign requests for."""
    lacks: Annotated[str | None, Field(max_length=128)] = None
    """What the program that mounts it must not ask of the engine, a list with commas; absent when it has all."""
    secret_name: Annotated[str | None, Field(max_length=253)] = None
    """The Secret, in the Bucket's namespace, with the bucket's own key."""
    key: KeyState | None = None
    """The slots of the bucket's own key; absent in buckets made before keys rotated: they have the first key."""
    attached: Count = 0
    """How many pods have it mounted, through object volumes or by its own name."""
    objects: Annotated[int | None, Field(ge=0, json_schema_extra={"format": "int64"})] = None
    """How many objects (with versioning: versions, delete markers not counted) were in it at usageAt."""
    bytes: Bytes | None = None
    """How large these were together, in bytes."""
    usage_at: Moment | None = None
    """When objects and bytes were counted (RFC 3339)."""
    versioning: Annotated[str | None, Field(max_length=16)] = None
    """What the engine said: Enabled, Suspended, or absent where it was never on."""
    lock_mode: LockMode | None = None
    """Mode of the rule that the engine applies to new versions."""
    lock_days: Count | None = None
    """How many days that rule holds them."""
    stamped_to: Moment | None = None
    """Each version that was written until then bears its own retention date (RFC 3339)."""
    tag_keys: Annotated[
        tuple[Annotated[str, Field(max_length=128, description="A tag's key.")], ...], Field(max_length=10)
    ] = ()
    """The bucket's tags that come from spec.tags: one that is removed there is removed from the bucket."""
    set_fields: Annotated[
        tuple[Annotated[str, Field(max_length=32, description="A field of the spec.")], ...], Field(max_length=8)
    ] = ()
    """Which of cors, lifecycle and quota come from the spec: what is removed there is removed from the bucket."""
    drift: BucketDrift | None = None
    """The last change made on the engine by somebody else that was put back."""
    conditions: Conditions = ()
    """The truth that the phase is derived from."""


class Bucket(Resource):
    """An S3 bucket with a key of its own."""

    plural: ClassVar[str] = "buckets"
    short_names: ClassVar[tuple[str, ...]] = ("bkt",)
    columns: ClassVar[tuple[Column, ...]] = (
        PHASE,
        Column(name="Bucket", path=".status.bucketName", description="The bucket's name in the S3 engine."),
        READY,
        Column(name="Attached", path=".status.attached", description="How many pods have it mounted.", type="integer"),
        Column(
            name="Objects", path=".status.objects", description="How many objects are in it.", type="integer", wide=True
        ),
        Column(
            name="Bytes",
            path=".status.bytes",
            description="How large these are together, in bytes.",
            type="integer",
            wide=True,
        ),
        Column(name="Backend", path=".status.placement.backend", description="The StorageBackend.", wide=True),
        Column(name="Endpoint", path=".status.endpoint", description="URL of the S3 server.", wide=True),
        REASON,
        MESSAGE,
        AGE,
    )
    selectable: ClassVar[tuple[str, ...]] = (".status.phase",)
    # A public cloud's rules for bucket names: 3 to 63 characters, lowercase letters, digits, hyphens, a letter or digit
    # at both ends, no consecutive hyphens, not an IP address. The engine adds `-<id>`, hence less than 63 here.
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule=f"size(self.metadata.name) >= 3 && size(self.metadata.name) <= {names.NAME_MAX}",
            message=f"name the bucket with 3 to {names.NAME_MAX} characters",
            field_path=NAME_PATH,
        ),
        Rule(
            rule="!self.metadata.name.matches(r'^[0-9]{1,3}([.][0-9]{1,3}){3}$')",
            message="a bucket's name must not look like an IP address: use letters, digits and hyphens",
            field_path=NAME_PATH,
        ),
        LABEL_RULE,
        Rule(
            rule="!self.metadata.name.contains('--')",
            message="a bucket's name must not contain '--': write single hyphens",
            field_path=NAME_PATH,
        ),
    )

    spec: BucketSpec = BucketSpec()
    """What the bucket shall be."""
    status: BucketStatus = BucketStatus()
    """What the operator knows of the bucket."""
