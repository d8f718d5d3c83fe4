"""What is asked of engines that have quotas and tell usage."""

import asyncio
import time

from botocore.exceptions import ClientError

from moorage.bucketsettings import BucketSettings
from s3engines.server import Server
from s3engines.stories import bucket_of, refused

PATIENCE = 60.0  # seconds


async def test_a_quota_refuses_writes_beyond_it(server: Server) -> None:
    bucket = await bucket_of(server, "bounded")
    async with server.opened() as engine:
        first = await engine.ensure_settings(bucket, BucketSettings(quota=1 << 20))
        again = await engine.ensure_settings(bucket, BucketSettings(quota=1 << 20))
    code = await _until_refused(server, bucket)
    async with server.opened() as engine:
        lifted = await engine.ensure_settings(bucket, BucketSettings())

    assert (first, again, lifted) == (("quota",), (), ("quota",))
    assert "Quota" in code
    assert not refused(lambda: server.boto().put_object(Bucket=bucket, Key="after", Body=b"x" * (1 << 20)))


async def _until_refused(server: Server, bucket: str) -> str:
    end = time.monotonic() + PATIENCE
    number = 0
    while time.monotonic() < end:
        try:
            server.boto().put_object(Bucket=bucket, Key=f"k{number}", Body=b"x" * (1 << 19))
        except ClientError as error:
            return error.response["Error"]["Code"]
        number += 1
        await asyncio.sleep(0.2)
    return "never refused"


async def test_usage_is_told_without_a_listing(server: Server) -> None:
    bucket = await bucket_of(server, "counted")
    for number in range(3):
        server.boto().put_object(Bucket=bucket, Key=f"k{number}", Body=b"x" * 4096)

    end = time.monotonic() + PATIENCE
    async with server.opened() as engine:
        while True:
            found = await engine.usage(bucket)
            if (found and found.objects == 3) or time.monotonic() > end:
                break
            await asyncio.sleep(0.5)

    assert found is not None
    assert (found.objects, found.bytes) == (3, 3 * 4096)
