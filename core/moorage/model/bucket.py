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
    fixed,
    matching,
)
from moorage.model.condition import Conditions


class BucketSpec(Model):
    """What the bucket shall be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        fixed("backend", "make another Bucket and copy"),
        fixed("adopt", "make another Bucket"),
    )

    backend: Label | None = None
    """The StorageBackend to live on; if absent, the default S3 backend. Cannot be changed."""
    versioning: bool = False
    """Keep every version of an object. Turned off later, it stops making versions and keeps those that are there."""
    on_delete: OnDelete = OnDelete.Delete
    """What happens to the objects when the Bucket is deleted: Delete destroys them all, Retain keeps all."""
    adopt: Annotated[
        str | None,
        Field(min_length=3, max_length=63),
        matching(
            names.BUCKET_PATTERN, "write the name that the kept bucket has on the S3 engine, such as models-7f3k9x2a"
        ),
    ] = None
    """Take over the kept bucket with this name on the S3 engine, objects and all, in place of a new one. It must have
    belonged to a Bucket of the same namespace. Cannot be changed."""


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
    secret_name: Annotated[str | None, Field(max_length=253)] = None
    """The Secret, in the Bucket's namespace, with the bucket's own key."""
    attached: Count = 0
    """How many pods have it mounted, through object volumes or by its own name."""
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
