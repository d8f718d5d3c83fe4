"""What is asked of engines that have quotas and tell usage."""

import asyncio
import time

from bed import Bed
from botocore.exceptions import ClientError

from moorage.bucketsettings import BucketSettings
from s3engines.operated import backend_on, key_in
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


async def test_the_operator_makes_buckets_and_keys_there_and_takes_them_back(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server)
    quota = {"quota": "1Gi", "versioning": True}
    await bed.make("Bucket", "models", spec={"backend": backend, "emptyOnDelete": True, **quota})
    await bed.phase("models", "READY", "Bucket")
    await bed.make("BucketKey", "reader", spec={"buckets": [{"name": "models", "access": "ReadOnly"}]})
    await bed.phase("reader", "READY", "BucketKey")
    owner, bucket = await key_in(bed, "models-s3")
    reader, _ = await key_in(bed, "reader-key")

    server.boto(owner).put_object(Bucket=bucket, Key="k", Body=b"1")
    read = server.boto(reader).get_object(Bucket=bucket, Key="k")["Body"].read()
    kept_out = refused(lambda: server.boto(reader).put_object(Bucket=bucket, Key="k", Body=b"2"))
    for kind, name in (("BucketKey", "reader"), ("Bucket", "models"), ("StorageBackend", backend)):
        await bed.delete(kind, name)
        await bed.gone(kind, name)

    assert (read, kept_out) == (b"1", True)
    assert refused(lambda: server.boto(reader).list_objects_v2(Bucket=bucket))
    assert bucket not in [each["Name"] for each in server.boto().list_buckets()["Buckets"]]
