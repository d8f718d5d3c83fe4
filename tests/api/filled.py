"""Volumes and buckets with something in them, and the S3 client that a Bucket's own key opens."""

import base64
from typing import Any

import boto3
from bed import Bed

from moorage.actions import Manifest

Key = dict[str, str]


async def shared(bed: Bed, name: str = "data", **spec: Any) -> Manifest:
    await bed.make("StorageVolume", name, spec={"type": "shared", "size": "1Gi", **spec})
    return await bed.phase(name, "READY")


async def bucket(bed: Bed, name: str = "models", **spec: Any) -> Key:
    """A READY Bucket with an object `k` in it, which it takes along unless `spec` says otherwise; its key."""
    await bed.make("Bucket", name, spec={"emptyOnDelete": True, **spec})
    await bed.phase(name, "READY", "Bucket")
    key = await key_of(bed, name)
    boto(key).put_object(Bucket=key["BUCKET"], Key="k", Body=b"precious")
    return key


async def key_of(bed: Bed, bucket: str) -> Key:
    secret = await bed.get("Secret", f"{bucket}-s3", "v1")
    assert secret
    return key_in(secret)


def key_in(secret: Manifest) -> Key:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def boto(key: Key) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=key["AWS_ENDPOINT_URL"],
        region_name=key["AWS_REGION"],
        aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
    )


def has_data(key: Key, server: Any) -> bool:
    root = boto({**key, "AWS_ACCESS_KEY_ID": server.access, "AWS_SECRET_ACCESS_KEY": server.secret})
    return key["BUCKET"] in [each["Name"] for each in root.list_buckets()["Buckets"]]
