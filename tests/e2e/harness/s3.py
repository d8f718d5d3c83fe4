"""A bucket as its owner's tools see it: boto3 with the Secret's key, through a forwarded port."""

import base64
from collections.abc import Generator
from contextlib import contextmanager
from tempfile import NamedTemporaryFile
from typing import Any, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]

from harness.install import NAMESPACE
from harness.kube import Kube


def secret(kube: Kube, name: str, namespace: str = "default") -> dict[str, str]:
    """A Secret's decoded data; AssertionError when it is not there."""
    found = kube.get("secret", name, namespace)
    assert found, f"no Secret {namespace}/{name}"
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


@contextmanager
def client(kube: Kube, key: dict[str, str], namespace: str = NAMESPACE) -> Generator[Any]:
    """A boto3 S3 client that acts with the key of a bucket's Secret. `namespace`: of the chart's server."""
    secure = key["S3_USE_HTTPS"] == "1"
    with kube.port_forward("service/moorage-s3", 7070, namespace) as address, NamedTemporaryFile("w") as ca:
        ca.write(key.get("ca.crt", ""))
        ca.flush()
        make: Any = cast(Any, boto3).client
        yield make(
            "s3",
            endpoint_url=f"{'https' if secure else 'http'}://{address}",
            verify=ca.name if "ca.crt" in key else None,
            aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
            region_name=key["AWS_REGION"],
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}, proxies={}),
        )
