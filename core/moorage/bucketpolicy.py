"""What a bucket's own key may do: everything with objects, nothing with the bucket's settings, nothing elsewhere.

Left out on purpose: policy, ACL, lock, versioning and life-cycle changes (a tenant could let itself out), and deletion
of the bucket (its Bucket object does that).
"""

import json
from typing import Any

OBJECT_ACTIONS = (
    "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes",
    "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
    "s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObjectTagging",
    "s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging", "s3:DeleteObjectVersionTagging",
    "s3:GetObjectRetention", "s3:GetObjectLegalHold",
)  # fmt: skip
BUCKET_ACTIONS = (
    "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads",
    "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration",
)  # fmt: skip


def owner_policy(bucket: str, access_key: str) -> str:
    """The policy (JSON) that lets one access key, and only it, use the bucket."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                _allow("Objects", access_key, OBJECT_ACTIONS, f"arn:aws:s3:::{bucket}/*"),
                _allow("Bucket", access_key, BUCKET_ACTIONS, f"arn:aws:s3:::{bucket}"),
            ],
        },
        separators=(",", ":"),
    )


def _allow(sid: str, access_key: str, actions: tuple[str, ...], resource: str) -> dict[str, Any]:
    who = {"AWS": [access_key]}
    return {"Sid": sid, "Effect": "Allow", "Principal": who, "Action": list(actions), "Resource": resource}
