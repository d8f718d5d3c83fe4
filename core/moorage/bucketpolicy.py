"""What keys may do with a bucket, as an S3 policy says it: ReadOnly, ReadWrite or Admin, and nothing elsewhere.

Left out on purpose, for Admin too: policy, ACL and lock changes (a tenant could let itself out), bucket tags (they say
whose the bucket is, ADR 12), and deletion of the bucket (its Bucket object does that).

A bucket's policy is computed whole, from all keys that may use it; nobody edits the one that is there. Each action
stands in it once, each key once in every statement that is about it: an engine may keep policies small (versitygw in
one extended attribute, which ext4 bounds to about 4 KB), so that many keys must not mean many copies of the actions.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moorage.model.access import Access

# s3cmd's `info` asks for CORS and the ACL of an object, and takes a refusal for a failure.
READ_OBJECTS = (
    "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes",
    "s3:GetObjectTagging", "s3:GetObjectVersionTagging", "s3:GetObjectRetention", "s3:GetObjectLegalHold",
    "s3:GetObjectAcl",
)  # fmt: skip
READ_BUCKET = (
    "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration", "s3:GetBucketCORS",
)  # fmt: skip
WRITE_OBJECTS = (
    "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
    "s3:PutObjectTagging", "s3:DeleteObjectTagging", "s3:PutObjectVersionTagging", "s3:DeleteObjectVersionTagging",
)  # fmt: skip
WRITE_BUCKET = ("s3:ListBucketMultipartUploads",)
SET_BUCKET = (
    "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration", "s3:PutBucketCORS", "s3:PutBucketVersioning",
)  # fmt: skip
PUBLIC_OBJECTS = ("s3:GetObject",)
MAX_KEYS = 64  # on one bucket, besides its own: with two slots each the policy stays under 8 KB

# By access: what it has besides the access before it, on objects and on the bucket itself.
_LEVELS = (
    (Access.ReadOnly, (*READ_OBJECTS, *READ_BUCKET)),
    (Access.ReadWrite, (*WRITE_OBJECTS, *WRITE_BUCKET)),
    (Access.Admin, SET_BUCKET),
)

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One bucket (its name on the engine) and what a key may do with it."""

    bucket: str
    access: Access = Access.ReadWrite


def bucket_policy(bucket: str, access: Mapping[str, Access], public_read: bool = False) -> str:
    """The policy (JSON) of a bucket: what each principal (as the engine names it) may do, and nobody else anything.

    `public_read`: everybody may read objects whose key they know. "" when nobody may do anything: no policy.
    """
    found = [_level(bucket, number, access) for number in range(len(_LEVELS))]
    public = {**_statement("Public", PUBLIC_OBJECTS, bucket), "Principal": "*"}
    return _document([*(each for each in found if each), *([public] if public_read else [])])


def user_policy(grants: Iterable[Grant]) -> str:
    """The policy (JSON) that hangs on a user or service account, which may use these buckets and nothing else."""
    inside = [
        _statement(f"{level}{number}", actions, grant.bucket)
        for number, grant in enumerate(sorted(grants))
        for level, actions in _LEVELS
        if _rank(level) <= _rank(grant.access)
    ]
    return _document(inside)


def owner_policy(bucket: str, access_key: str) -> str:
    """The policy (JSON) that lets one access key, and only it, use the bucket."""
    return bucket_policy(bucket, {access_key: Access.ReadWrite})


def _level(bucket: str, number: int, access: Mapping[str, Access]) -> Statement | None:
    level, actions = _LEVELS[number]
    who = sorted(principal for principal, each in access.items() if _rank(each) >= number)
    return {**_statement(level.value, actions, bucket), "Principal": {"AWS": who}} if who else None


def _rank(access: Access) -> int:
    return next(number for number, (level, _) in enumerate(_LEVELS) if level == access)


def _statement(sid: str, actions: tuple[str, ...], bucket: str) -> Statement:
    arn = f"arn:aws:s3:::{bucket}"
    on_objects = not set(actions).isdisjoint((*READ_OBJECTS, *WRITE_OBJECTS))
    on_bucket = not set(actions).isdisjoint((*READ_BUCKET, *WRITE_BUCKET, *SET_BUCKET))
    resources = [*([arn] if on_bucket else []), *([f"{arn}/*"] if on_objects else [])]
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources}


def _document(statements: list[Statement]) -> str:
    if not statements:
        return ""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
