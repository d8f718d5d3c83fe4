"""How an object volume shows its bucket: by which program, as whose files, with how much cache."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from moorage.model.base import Model, Rule, Size, matching


class Mounter(StrEnum):
    """moorfs: durable, survives its own restart, caches on the node's disk; s3fs: durable, slow, no cache; rclone:
    caches on the node's disk and uploads after close(), so a node that dies takes what was closed last with it."""

    moorfs = "moorfs"
    s3fs = "s3fs"
    rclone = "rclone"


_Number = Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int64"})]


class ObjectOptions(Model):
    """How the bucket's objects look as files."""

    read_only: bool = False
    """Mount it read-only everywhere."""
    uid: _Number | None = None
    """Owner, by number, of objects that tell none (rclone: of all); if absent root."""
    gid: _Number | None = None
    """Group, by number, of objects that tell none (rclone: of all); if absent root."""
    mode: Annotated[
        str | None, Field(max_length=4), matching("^0?[0-7]{3}$", "write an octal mode, such as 0750, in quotes")
    ] = None
    """Mode, in octal, of folders that tell none (rclone: of all); files have it without the x bits. If absent 0755."""
    cache_size: Size | None = None
    """moorfs, rclone: how much of each node's disk its clean files may take; if absent 10Gi."""
    writeback: bool = False
    """moorfs: close() and fsync() return before the bucket has the bytes. Faster for small files; a crash of the node
    loses what was not stored yet."""


OBJECT_RULES: tuple[Rule, ...] = (
    *(
        Rule(
            rule=f"!has(self.{field}) || self.type == 'object'",
            message=f"remove {field}: only an object volume has it",
            field_path=f".{field}",
        )
        for field in ("mounter", "object")
    ),
    Rule(
        rule="!has(self.object) || !has(self.object.cacheSize)"
        " || (has(self.mounter) && self.mounter in ['moorfs', 'rclone'])",
        message="write mounter: moorfs or rclone, or remove cacheSize: only they have a cache",
        field_path=".object",
    ),
    Rule(
        rule="!has(self.object) || !self.object.writeback || (has(self.mounter) && self.mounter == 'moorfs')",
        message="write mounter: moorfs, or remove writeback: s3fs has none, and rclone always writes back later",
        field_path=".object",
    ),
)
"""Of StorageVolume.spec."""
