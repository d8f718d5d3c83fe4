"""Where the files of a volume come from: a snapshot or another volume to begin with, a bucket to show."""

from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
from moorage.model.base import Label, Model, Rule, matching, validations

_PREFIX = (
    Rule(rule="self == '' || self.endsWith('/')", message="end prefix with '/', such as checkpoints/"),
    Rule(rule="!self.startsWith('/')", message="prefix must not begin with '/': keys of a bucket do not"),
    Rule(rule="!self.contains('//')", message="prefix must not contain '//': write one '/' between folders"),
    Rule(
        rule="!self.matches(r'(^|/)[.][.]?(/|$)')",
        message="prefix must not contain '.' or '..' as a folder: write the folder's plain path",
    ),
    Rule(rule=r"!self.matches(r'\p{Cc}')", message="prefix must not contain control characters: remove them"),
    # S3: a key is at most 1024 bytes of UTF-8; half of them are left for the files beneath the prefix.
    Rule(rule="size(bytes(self)) <= 512", message="prefix must be at most 512 bytes: show a folder nearer the root"),
)


class VolumeSource(Model):
    """What a new shared volume begins with: exactly one."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="has(self.snapshot) != has(self.volume)",
            message="write exactly one of snapshot (a StorageSnapshot) or volume (a StorageVolume to clone)",
        ),
    )

    snapshot: Label | None = None
    """A StorageSnapshot in the same namespace."""
    volume: Annotated[Label, Field(max_length=names.NAME_MAX)] | None = None
    """A shared StorageVolume in the same namespace: cloned as it is now."""


class BucketRef(Model):
    """The bucket that an object volume shows."""

    name: Annotated[
        str,
        Field(min_length=3, max_length=names.NAME_MAX),
        matching(names.BUCKET_PATTERN, "name a Bucket: lowercase letters, digits and single hyphens between them"),
    ]
    """The Bucket."""
    namespace: Label | None = None
    """Its namespace, which must agree by the Bucket's spec.share; if absent, the volume's own."""
    prefix: Annotated[str, Field(max_length=512, json_schema_extra=validations(_PREFIX))] = ""
    """Show only keys under this prefix, as the root of the volume: empty, or a path that ends with '/'."""
