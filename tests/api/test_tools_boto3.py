"""boto3 as it is, with the key that our Bucket made: the rows of the tenants' list."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from bed import until
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from s3tools import Desk
from s3tools import desk as desk

MIB = 1 << 20

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


async def told(call: Callable[..., Any], **words: Any) -> Any:
    return await asyncio.to_thread(call, **words)


async def code(call: Callable[..., Any], **words: Any) -> str:
    """The engine's refusal, or `ok`."""
    try:
        await told(call, **words)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


async def test_the_secret_as_an_environment_is_all_it_needs(desk: Desk) -> None:
    shell = await desk.shell()
    program = """
import boto3, os
s3 = boto3.client("s3")
s3.put_object(Bucket=os.environ["BUCKET"], Key="k", Body=b"x")
print(s3.meta.region_name, s3.list_objects_v2(Bucket=os.environ["BUCKET"])["Contents"][0]["Key"])
"""

    said = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={name: value for name, value in shell.environment.items() if name != "HOME"},
        check=True,
        capture_output=True,
        timeout=60,
    )

    assert said.stdout.decode().split() == ["us-east-1", "k"]


async def test_objects(desk: Desk) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket
    data = os.urandom(100_000)

    put = await told(
        s3.put_object, Bucket=bucket, Key="a/b c+d%ü", Body=data, Metadata={"who": "me"}, ContentType="x/y"
    )
    head = await told(s3.head_object, Bucket=bucket, Key="a/b c+d%ü")
    got = await told(s3.get_object, Bucket=bucket, Key="a/b c+d%ü")
    piece = await told(s3.get_object, Bucket=bucket, Key="a/b c+d%ü", Range="bytes=10-19")
    end = await told(s3.get_object, Bucket=bucket, Key="a/b c+d%ü", Range="bytes=-5")

    assert put["ETag"] == head["ETag"] == f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (len(data), {"who": "me"}, "x/y")
    assert got["Body"].read() == data
    assert (piece["Body"].read(), piece["ContentRange"]) == (data[10:20], f"bytes 10-19/{len(data)}")
    assert end["Body"].read() == data[-5:]
    assert await code(s3.get_object, Bucket=bucket, Key="none") == "NoSuchKey"
    assert await code(s3.head_object, Bucket=bucket, Key="none") == "404"
    assert (await told(s3.head_bucket, Bucket=bucket))["ResponseMetadata"]["HTTPStatusCode"] == 200


async def test_listings(desk: Desk) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket
    keys = [f"d/{number:02}" for number in range(12)] + ["d/sub/x", "e"]
    for key in keys:
        await told(s3.put_object, Bucket=bucket, Key=key, Body=b"x")

    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 5})
    found = await asyncio.to_thread(lambda: [each["Key"] for page in pages for each in page["Contents"]])
    first = await told(s3.list_objects, Bucket=bucket, Prefix="d/", Delimiter="/", MaxKeys=1000)
    after = await told(s3.list_objects_v2, Bucket=bucket, StartAfter="d/sub/x")

    assert found == keys
    assert [each["Key"] for each in first["Contents"]] == keys[:12]
    assert [each["Prefix"] for each in first["CommonPrefixes"]] == ["d/sub/"]
    assert [each["Key"] for each in after["Contents"]] == ["e"]


async def test_copies_and_deletion_of_many(desk: Desk) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket
    await told(s3.put_object, Bucket=bucket, Key="source", Body=b"data", Metadata={"who": "me"})

    await told(s3.copy_object, Bucket=bucket, Key="kept", CopySource={"Bucket": bucket, "Key": "source"})
    await told(
        s3.copy_object,
        **{"Bucket": bucket, "Key": "source", "CopySource": f"{bucket}/source"},
        **{"Metadata": {"who": "you"}, "MetadataDirective": "REPLACE"},
    )
    kept = await told(s3.head_object, Bucket=bucket, Key="kept")
    replaced = await told(s3.head_object, Bucket=bucket, Key="source")

    assert (kept["Metadata"], replaced["Metadata"]) == ({"who": "me"}, {"who": "you"})
    gone = await told(
        s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "kept"}, {"Key": "source"}, {"Key": "none"}]}
    )
    assert sorted(each["Key"] for each in gone["Deleted"]) == ["kept", "none", "source"]
    assert "Contents" not in await told(s3.list_objects_v2, Bucket=bucket)


async def test_multipart(desk: Desk) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket
    data = os.urandom(12 * MIB + 5)
    settings = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    there = io.BytesIO()

    await told(s3.upload_fileobj, Fileobj=io.BytesIO(data), Bucket=bucket, Key="big", Config=settings)
    await told(s3.download_fileobj, Bucket=bucket, Key="big", Fileobj=there, Config=settings)
    begun = await told(s3.create_multipart_upload, Bucket=bucket, Key="two")
    words = {"Bucket": bucket, "Key": "two", "UploadId": begun["UploadId"]}
    copied = await told(
        s3.upload_part_copy, **words, PartNumber=1, CopySource=f"{bucket}/big", CopySourceRange=f"bytes=0-{5 * MIB - 1}"
    )
    last = await told(s3.upload_part, **words, PartNumber=2, Body=b"tail")
    listed = await told(s3.list_parts, **words)
    uploads = await told(s3.list_multipart_uploads, Bucket=bucket)
    parts = [
        {"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]},
        {"PartNumber": 2, "ETag": last["ETag"]},
    ]
    await told(s3.complete_multipart_upload, **words, MultipartUpload={"Parts": parts})
    dropped = await told(s3.create_multipart_upload, Bucket=bucket, Key="three")
    await told(s3.abort_multipart_upload, Bucket=bucket, Key="three", UploadId=dropped["UploadId"])

    assert there.getvalue() == data
    assert (await told(s3.head_object, Bucket=bucket, Key="big"))["ETag"].endswith('-3"')
    assert [each["PartNumber"] for each in listed["Parts"]] == [1, 2]
    assert [each["Key"] for each in uploads["Uploads"]] == ["two"]
    assert (await told(s3.get_object, Bucket=bucket, Key="two"))["Body"].read() == data[: 5 * MIB] + b"tail"
    assert "Uploads" not in await told(s3.list_multipart_uploads, Bucket=bucket)


async def test_versions(desk: Desk) -> None:
    shell = await desk.shell(versioning=True)
    s3, bucket = shell.boto(), shell.bucket
    first = (await told(s3.put_object, Bucket=bucket, Key="k", Body=b"1"))["VersionId"]
    second = (await told(s3.put_object, Bucket=bucket, Key="k", Body=b"2"))["VersionId"]

    old = await told(s3.get_object, Bucket=bucket, Key="k", VersionId=first)
    marker = await told(s3.delete_object, Bucket=bucket, Key="k")
    missing = await code(s3.get_object, Bucket=bucket, Key="k")
    listed = await told(s3.list_object_versions, Bucket=bucket)
    await told(s3.delete_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    back = await told(s3.get_object, Bucket=bucket, Key="k")
    await told(s3.delete_object, Bucket=bucket, Key="k", VersionId=second)

    assert (old["Body"].read(), marker["DeleteMarker"], missing) == (b"1", True, "NoSuchKey")
    assert [each["VersionId"] for each in listed["Versions"]] == [second, first]
    assert [each["VersionId"] for each in listed["DeleteMarkers"]] == [marker["VersionId"]]
    assert (back["Body"].read(), back["VersionId"]) == (b"2", second)
    assert (await told(s3.get_object, Bucket=bucket, Key="k"))["Body"].read() == b"1"


async def test_tags_of_objects(desk: Desk) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket
    await told(s3.put_object, Bucket=bucket, Key="k", Body=b"1", Tagging="stage=raw")

    before = await told(s3.get_object_tagging, Bucket=bucket, Key="k")
    await told(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b c"}]})
    after = await told(s3.get_object_tagging, Bucket=bucket, Key="k")
    await told(s3.delete_object_tagging, Bucket=bucket, Key="k")

    assert before["TagSet"] == [{"Key": "stage", "Value": "raw"}]
    assert after["TagSet"] == [{"Key": "a", "Value": "b c"}]
    assert (await told(s3.get_object_tagging, Bucket=bucket, Key="k"))["TagSet"] == []


async def test_presigned_urls(desk: Desk) -> None:
    shell = await desk.shell()
    bucket = shell.bucket
    s3 = shell.boto(signature_version="s3v4")  # for URLs boto3 takes version 2 by itself, which engines of today refuse

    def signed(what: str, key: str, seconds: int = 60) -> str:
        return str(s3.generate_presigned_url(what, Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds))

    put = await asyncio.to_thread(requests.put, signed("put_object", "k"), data=b"by url", timeout=10)
    got = await asyncio.to_thread(requests.get, signed("get_object", "k"), timeout=10)
    for_other = signed("get_object", "k").replace(f"{bucket}/k", f"{bucket}/other")
    tampered = await asyncio.to_thread(requests.get, for_other, timeout=10)
    short = signed("get_object", "k", 1)
    await asyncio.sleep(2)
    expired = await asyncio.to_thread(requests.get, short, timeout=10)

    assert (put.status_code, got.content) == (200, b"by url")
    assert (tampered.status_code, expired.status_code) == (403, 403)


async def test_conditional_writes(desk: Desk) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket

    codes = await asyncio.gather(
        *(code(s3.put_object, Bucket=bucket, Key="race", Body=str(n), IfNoneMatch="*") for n in range(16))
    )
    etag = (await told(s3.head_object, Bucket=bucket, Key="race"))["ETag"]
    fits = await code(s3.put_object, Bucket=bucket, Key="race", Body=b"next", IfMatch=etag)
    stale = await code(s3.put_object, Bucket=bucket, Key="race", Body=b"lost", IfMatch=etag)
    unchanged = await code(s3.get_object, Bucket=bucket, Key="race", IfModifiedSince=datetime.now(UTC))

    assert codes.count("ok") == 1
    assert set(codes) <= {"ok", "PreconditionFailed", "ConditionalRequestConflict"}
    assert (fits, stale) == ("ok", "PreconditionFailed")
    assert unchanged in ("304", "ok")  # a second is the header's grain
    assert (await told(s3.get_object, Bucket=bucket, Key="race"))["Body"].read() == b"next"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])  # the others need awscrt
async def test_checksums(desk: Desk, algorithm: str) -> None:
    shell = await desk.shell()
    s3, bucket = shell.boto(), shell.bucket

    put = await told(s3.put_object, Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    head = await told(s3.head_object, Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    wrong = await code(s3.put_object, Bucket=bucket, Key="bad", Body=b"data", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")

    assert put[f"Checksum{algorithm}"] == head[f"Checksum{algorithm}"]
    assert wrong == "BadDigest"


async def test_a_version_under_the_buckets_lock_stays_and_the_key_sets_no_locks(desk: Desk) -> None:
    shell = await desk.shell(versioning=True, objectLock={"mode": "Compliance", "days": 1})
    s3, bucket = shell.boto(), shell.bucket
    version = (await told(s3.put_object, Bucket=bucket, Key="k", Body=b"kept"))["VersionId"]
    words = {"Bucket": bucket, "Key": "k", "VersionId": version}

    async def stamped() -> bool:
        return await code(s3.get_object_retention, **words) == "ok"

    await until(stamped, lambda: told(s3.list_object_versions, Bucket=bucket))
    retention = await told(s3.get_object_retention, **words)
    refused = await code(s3.delete_object, **words)
    bypassed = await code(s3.delete_object, **words, BypassGovernanceRetention=True)
    later = datetime.now(UTC) + timedelta(days=2)
    own = await code(s3.put_object_retention, **words, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later})
    marker = await told(s3.delete_object, Bucket=bucket, Key="k")
    rule = await told(s3.get_object_lock_configuration, Bucket=bucket)

    assert retention["Retention"]["Mode"] == "COMPLIANCE"
    assert {refused, bypassed, own} <= {"AccessDenied", "ObjectLocked"}
    assert marker["DeleteMarker"] is True
    assert (await told(s3.get_object, **words))["Body"].read() == b"kept"
    assert rule["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 1}
