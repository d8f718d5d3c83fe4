"""What keys of buckets have in common: how they rotate, and which of them live."""

from typing import Annotated, ClassVar

from pydantic import Field

from moorage import duration
from moorage.model.base import Count, Model, Moment, Rule, matching

Duration = Annotated[
    str,
    Field(min_length=2, max_length=20),
    matching(duration.PATTERN, "write hours, minutes or seconds, such as 720h, 1h30m or 90s"),
]
AccessKeyId = Annotated[str, Field(max_length=128)]

ROTATION_RULES = (
    Rule(
        rule="!has(self.rotateAfter) || duration(self.rotateAfter) > duration(self.overlap)",
        message="rotateAfter must be longer than overlap: a key has two slots, and the old one must be free again",
        field_path=".rotateAfter",
    ),
    Rule(
        rule="!has(self.rotateAfter) || duration(self.rotateAfter) >= duration('1m')",
        message="rotateAfter is at least 1m",
        field_path=".rotateAfter",
    ),
)


class KeyRotation(Model):
    """When a key is replaced by a new one."""

    rules: ClassVar[tuple[Rule, ...]] = ROTATION_RULES

    rotate_after: Duration | None = None
    """Replace the key when it is this old, such as 720h; if absent, only when asked."""
    overlap: Duration = "1h"
    """How long the old key still works after the Secret has the new one: what reads the Secret needs this time. 0s
    revokes the old one at once."""
    rotate: Annotated[str, Field(max_length=128)] = ""
    """Any text; a change of it replaces the key now."""


class PreviousKey(Model):
    """The key before the current one."""

    access_key_id: AccessKeyId
    """Its access key."""
    revoke_at: Moment | None = None
    """When it is revoked (RFC 3339); absent while the Secret does not have the new key yet."""


class KeyState(Model):
    """The slots of a key: the current one, and for a while the one before it."""

    serial: Count = 0
    """How many keys there were, the current one included."""
    access_key_id: AccessKeyId | None = None
    """The access key that the Secret has, or is about to have; absent when there is none."""
    issued_at: Moment | None = None
    """Since when the Secret has it (RFC 3339); absent while it is being made."""
    rotates_at: Moment | None = None
    """When it will be replaced (RFC 3339); absent when only on demand."""
    rotated: Annotated[str, Field(max_length=128)] = ""
    """The text of `rotate` that was heeded last."""
    previous: PreviousKey | None = None
    """The key before it, as long as it still works."""
