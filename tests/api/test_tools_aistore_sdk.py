"""AIStore's own Python packages with the Secret that our operator made: its patch of botocore, and its SDK.

The patch makes boto3 follow redirects. Ours do not come, because the operator has AIStore's reverse proxy on; here it
is taken off again, with the operator gone, so that the patch has something to do.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import requests
from bed import Bed
from s3engines.aistore import server as server  # fixture
from s3engines.operated import backend_on
from s3engines.server import Server
from s3tools import Desk, Shell

from moorage_operator.engines.aistore import FEATURES

REVERSE_PROXY = 1 << 13
PATCHED = """
import boto3, io, json, os, time
from aistore.botocore_patch import botocore
from boto3.s3.transfer import TransferConfig
s3, bucket = boto3.client("s3"), os.environ["BUCKET"]
def keys(bucket):
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
def body(key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
"""


@pytest.fixture
async def shell(bed: Bed, server: Server, tmp_path: Path) -> AsyncIterator[Shell]:
    """With the Secret of a Bucket on a server that answers objects' calls by redirects."""
    shell = await Desk(bed, tmp_path).shell(backend=await backend_on(bed, server))
    await bed.kill()
    proxy = server.endpoint.removesuffix("/s3")
    body = {"action": "set-config", "value": {"features": str(FEATURES & ~REVERSE_PROXY)}}
    assert (await asyncio.to_thread(requests.put, f"{proxy}/v1/cluster", json=body, timeout=10)).ok
    shell.environment["AIS_ENDPOINT"] = proxy
    yield shell


async def told(shell: Shell, program: str) -> Any:
    """What the program prints, with boto3 patched."""
    return json.loads(await shell.run("python", "-c", PATCHED + program))


async def test_unpatched_boto3_stops_at_the_redirect(shell: Shell) -> None:
    program = PATCHED.replace("from aistore.botocore_patch import botocore", "")

    assert "TemporaryRedirect" in await shell.refused("python", "-c", f"{program}\nprint(body('k'))")


async def test_objects_and_buckets_by_patched_boto3(shell: Shell) -> None:
    program = """
s3.put_object(Bucket=bucket, Key="a b/ü+%", Body=b"0123456789")
s3.put_object(Bucket=bucket, Key="empty", Body=b"")
s3.create_bucket(Bucket="by-hand")
s3.copy_object(Bucket="by-hand", Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü+%"})
s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü+%"})
s3.head_bucket(Bucket="by-hand")
told = {
    "head": s3.head_object(Bucket=bucket, Key="a b/ü+%")["ContentLength"],
    "get": [body("a b/ü+%"), body("empty"), body("copy")],
    "range": s3.get_object(Bucket=bucket, Key="a b/ü+%", Range="bytes=2-4")["Body"].read().decode(),
    "list": [keys(bucket), keys("by-hand")],
    "versioning": s3.get_bucket_versioning(Bucket=bucket)["Status"],
    "buckets": [each["Name"] for each in s3.list_buckets()["Buckets"]],
}
gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "empty"}]})
s3.delete_object(Bucket="by-hand", Key="copy")
s3.delete_bucket(Bucket="by-hand")
deadline = time.monotonic() + 60  # AIStore deletes many after it has answered
while keys(bucket) != ["a b/ü+%"] and time.monotonic() < deadline:
    time.sleep(0.1)
told["after"] = [keys(bucket), "by-hand" in [each["Name"] for each in s3.list_buckets()["Buckets"]]]
print(json.dumps(told))
"""
    found = await told(shell, program)

    assert (found["head"], found["get"], found["range"]) == (10, ["0123456789", "", "0123456789"], "234")
    assert found["list"] == [["a b/ü+%", "copy", "empty"], ["copy"]]
    assert {shell.bucket, "by-hand"} <= set(found["buckets"])
    assert (found["versioning"], found["after"]) == ("Enabled", [["a b/ü+%"], False])


async def test_multipart_by_patched_boto3(shell: Shell) -> None:
    program = """
data, settings = os.urandom(11 << 20), TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_fileobj(io.BytesIO(data), bucket, "big", Config=settings)
there = io.BytesIO()
s3.download_fileobj(bucket, "big", there, Config=settings)
words = {"Bucket": bucket, "Key": "two", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="two")["UploadId"]}
etags = [s3.upload_part(**words, PartNumber=n, Body=text)["ETag"] for n, text in enumerate((b"one", b"two"), 1)]
listed = [each["PartNumber"] for each in s3.list_parts(**words)["Parts"]]
uploads = [each["Key"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]]
parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
s3.complete_multipart_upload(**words, MultipartUpload={"Parts": parts})
words["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="two")["UploadId"]
s3.abort_multipart_upload(**words)
words["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="two")["UploadId"]
try:
    s3.upload_part_copy(**words, PartNumber=1, CopySource=f"{bucket}/big", CopySourceRange="bytes=0-99")
except s3.exceptions.ClientError as error:
    refused = str(error)
s3.abort_multipart_upload(**words)
print(json.dumps([there.getvalue() == data, listed, uploads, body("two"), refused]))
"""
    same, listed, uploads, two, refused = await told(shell, program)

    assert (same, listed, uploads, two) == (True, [1, 2], ["two"], "onetwo")
    assert "UploadPartCopy not implemented" in refused


async def test_the_sdk_sees_the_same_objects(shell: Shell) -> None:
    program = """
from aistore.sdk import Client
s3.put_object(Bucket=bucket, Key="by-boto3", Body=b"1")
there = Client(os.environ["AIS_ENDPOINT"]).bucket(bucket)
there.object("by-sdk").get_writer().put_content(b"22")
read = there.object("by-boto3").get_reader().read_all().decode()
print(json.dumps([sorted(each.name for each in there.list_all_objects()), read, body("by-sdk")]))
"""
    assert await told(shell, program) == [["by-boto3", "by-sdk"], "1", "22"]


async def test_calls_that_aistore_does_not_know_are_taken_for_the_object_itself(shell: Shell) -> None:
    """docs/engines.md warns of it: tags, ACLs and holds replace an object, or delete it."""
    program = """
def after(call, **words):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", Metadata={"who": "me"})
    call(Bucket=bucket, Key="k", **words)
    return body("k") if keys(bucket) else None
s3.put_object(Bucket=bucket, Key="k", Body=b"data", Metadata={"who": "me"})
print(json.dumps({
    "metadata": s3.head_object(Bucket=bucket, Key="k")["Metadata"].get("who"),
    "tag": after(s3.put_object_tagging, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})[:8],
    "hold": after(s3.put_object_legal_hold, LegalHold={"Status": "ON"})[:10],
    "acl": after(s3.put_object_acl, ACL="private"),
    "untag": after(s3.delete_object_tagging),
}))
"""
    said = {"metadata": None, "tag": "<Tagging", "hold": "<LegalHold", "acl": "", "untag": None}
    assert await told(shell, program) == said
