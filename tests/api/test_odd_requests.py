"""Requests at the edge, by boto3 with a tenant's key on a real versitygw: each is answered as S3 says, or refused."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from s3tools import Desk, Shell
from s3tools import desk as desk

from moorage.sigv4 import Key, Request, Scope, signed_headers

LONG = "/".join(["k" * 204] * 5)  # 1024 bytes
KEYS = (
    *(
        " a b ",
        "a+b",
        "100%?#&+",
        "'\"<>&;",
        "back\\slash",
        "a*?[b]",
        "c:/d",
        "~/x",
        ".hidden",
        "...",
        "tab\tnew\nline",
    ),
    *("é", "e\u0301", "🐙/🦑", "k" * 255, LONG, "/".join(["é" * 102] * 5)),
)
EMPTY = '"d41d8cd98f00b204e9800998ecf8427e"'
PAST = datetime(2000, 1, 1, tzinfo=UTC)
Calls = dict[str, tuple[Callable[[], Any], Any]]

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


def answered(calls: Calls) -> dict[str, Any]:
    """What was answered otherwise than it should be: a value, or an error's code."""
    return {what: said for what, (call, wanted) in calls.items() if (said := verdict(call)) != wanted}


def verdict(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ClientError as error:
        return error.response["Error"]["Code"]


@pytest.fixture
async def shell(desk: Desk) -> Shell:
    return await desk.shell()


async def test_keys_of_every_kind_come_back_as_they_were_given(shell: Shell) -> None:
    s3, bucket = shell.boto(), shell.bucket

    def work() -> tuple[list[bytes], list[str], list[str]]:
        for key in KEYS:
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        read = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in KEYS]
        listed = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS]})
        return read, listed, [each["Key"] for each in gone["Deleted"]]

    read, listed, gone = await asyncio.to_thread(work)

    assert read == [key.encode() for key in KEYS]
    assert (sorted(listed), sorted(gone)) == (sorted(KEYS), sorted(KEYS))


async def test_keys_that_a_folder_cannot_hold(shell: Shell) -> None:
    """docs/engines.md: a part of a key has 255 bytes at most, and parts that paths resolve are resolved."""
    s3, bucket = shell.boto(), shell.bucket

    def put(key: str, body: bytes = b"") -> Callable[[], Any]:
        return lambda: s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]

    wrong = await asyncio.to_thread(
        answered,
        {
            "long": (put("k" * 256), "KeyTooLongError"),
            "a file": (put("a/b"), EMPTY),
            "in a file": (put("a/b/c"), "ObjectParentIsFile"),
            "on a folder": (put("a"), "ExistingObjectIsDirectory"),
            "folder": (put("folder/"), EMPTY),
            "folder with a body": (put("other/", b"x"), "DirectoryObjectContainsData"),
            "resolved": (put("a//c"), EMPTY),
            "as": (lambda: s3.head_object(Bucket=bucket, Key="a/c")["ETag"], EMPTY),
            "above": (put("../x"), "400"),
            "a star first": (put("*x"), "AccessDenied"),  # its policies take the star for their own
        },
    )

    assert wrong == {}


async def test_ranges_and_conditions_of_reads(shell: Shell) -> None:
    s3, bucket = shell.boto(), shell.bucket

    def work() -> dict[str, Any]:
        etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
        s3.put_object(Bucket=bucket, Key="empty", Body=b"")

        def read(key: str = "k", **words: Any) -> Callable[[], Any]:
            return lambda: s3.get_object(Bucket=bucket, Key=key, **words)["Body"].read()

        ranges = {
            **{"bytes=0-0": b"0", "bytes=9-": b"9", "bytes=5-100": b"56789", "bytes=-3": b"789"},
            **{"bytes=-100": b"0123456789", "bytes=10-": "InvalidRange", "bytes=-0": "InvalidRange"},
            # what is no range is not heeded
            **dict.fromkeys(("bytes=5-4", "bytes=a-b", "lines=1-2"), b"0123456789"),
        }
        return answered(
            {
                **{each: (read(Range=each), wanted) for each, wanted in ranges.items()},
                "range of nothing": (read("empty", Range="bytes=0-0"), "InvalidRange"),
                "nothing": (read("empty"), b""),
                "if it is": (read(IfMatch=etag), b"0123456789"),
                "if it were": (read(IfMatch='"0"'), "PreconditionFailed"),
                "if it is not": (read(IfNoneMatch=etag), "304"),
                "if it is old": (read(IfUnmodifiedSince=PAST), "PreconditionFailed"),
                "if it is new": (read(IfModifiedSince=PAST), b"0123456789"),
                "none": (read("none"), "NoSuchKey"),
                "a part that is not": (read(PartNumber=5), "InvalidPartNumber"),
            }
        )

    assert await asyncio.to_thread(work) == {}


async def test_writes_that_must_not_be(shell: Shell) -> None:
    """Refused, and what was there before is there still."""
    s3, bucket = shell.boto(), shell.bucket

    def put(**words: Any) -> Callable[[], Any]:
        return lambda: s3.put_object(**{"Bucket": bucket, "Key": "k", "Body": b"new", **words})

    def copy(**words: Any) -> Callable[[], Any]:
        return lambda: s3.copy_object(**{"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/k", **words})

    def tag(*pairs: tuple[str, str], key: str = "k") -> Callable[[], Any]:
        tags = [{"Key": name, "Value": value} for name, value in pairs]
        return lambda: s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tags})

    def work() -> dict[str, Any]:
        etag = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
        return answered(
            {
                "if it is there": (put(Key="none", IfMatch=etag), "NoSuchKey"),
                "if it were": (put(IfMatch='"0"'), "PreconditionFailed"),
                "if it is not there": (put(IfNoneMatch="*"), "PreconditionFailed"),
                "delete if it were": (
                    lambda: s3.delete_object(Bucket=bucket, Key="k", IfMatch='"0"'),
                    "PreconditionFailed",
                ),
                "MD5": (put(ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest"),
                "no MD5": (put(ContentMD5="x"), "InvalidDigest"),
                "SHA256": (put(ChecksumSHA256="A" * 43 + "="), "BadDigest"),
                "CRC32": (put(ChecksumCRC32="AAAAAA=="), "BadDigest"),
                "metadata": (put(Metadata={"a": "x" * 2100}), "MetadataTooLarge"),
                "copy onto itself": (copy(Key="k"), "InvalidRequest"),
                "copy of none": (copy(CopySource=f"{bucket}/none"), "NoSuchKey"),
                "copy if it were": (copy(CopySourceIfMatch='"0"'), "PreconditionFailed"),
                "tags": (tag(*((f"k{number}", "v") for number in range(11))), "BadRequest"),
                "a tag twice": (tag(("k", "v"), ("k", "w")), "InvalidTag"),
                "a long tag": (tag(("k" * 129, "v")), "InvalidTag"),
                "tags of none": (tag(key="none"), "NoSuchKey"),
                "still": (lambda: s3.get_object(Bucket=bucket, Key="k")["Body"].read(), b"old"),
                "alone": (lambda: [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]], ["k"]),
            }
        )

    assert await asyncio.to_thread(work) == {}


async def test_uploads_in_parts_that_do_not_fit(shell: Shell) -> None:
    s3, bucket = shell.boto(), shell.bucket

    def work() -> dict[str, Any]:
        where = {"Bucket": bucket, "Key": "k"}
        here = {**where, "UploadId": s3.create_multipart_upload(**where)["UploadId"]}
        one, two = (s3.upload_part(**here, PartNumber=n, Body=b"%d" % n)["ETag"] for n in (1, 2))

        def part(number: int, **words: Any) -> Callable[[], Any]:
            return lambda: s3.upload_part(**{**here, "PartNumber": number, "Body": b"x", **words})["ETag"]

        def complete(*parts: tuple[int, str], **words: Any) -> Callable[[], Any]:
            wanted = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
            return lambda: s3.complete_multipart_upload(**here, MultipartUpload=wanted, **words)["Key"]

        return answered(
            {
                "part 0": (part(0), "InvalidArgument"),
                "part 10001": (part(10001), "InvalidArgument"),
                "of another upload": (part(1, UploadId="none"), "NoSuchUpload"),
                "small parts": (complete((1, one), (2, two)), "EntityTooSmall"),
                "another part": (complete((1, two)), "InvalidPart"),
                "if it were": (complete((1, one), IfMatch='"0"'), "NoSuchKey"),
                "not yet": (lambda: "Contents" in s3.list_objects_v2(Bucket=bucket), False),
                "the first only": (complete((1, one), IfNoneMatch="*"), "k"),
                "after the end": (part(1), "NoSuchUpload"),
                "abort after the end": (lambda: s3.abort_multipart_upload(**here), "NoSuchUpload"),
                "the whole": (lambda: s3.get_object(**where)["Body"].read(), b"1"),
            }
        )

    assert await asyncio.to_thread(work) == {}


async def test_listings_with_odd_words(shell: Shell) -> None:
    s3, bucket = shell.boto(), shell.bucket

    def listed(**words: Any) -> Callable[[], Any]:
        return lambda: [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, **words).get("Contents", ())]

    def work() -> dict[str, Any]:
        for key in ("ammo", "b/mm", "c"):
            s3.put_object(Bucket=bucket, Key=key)
        split = s3.list_objects_v2(Bucket=bucket, Delimiter="mm")
        return answered(
            {
                "none": (listed(MaxKeys=0), []),
                "less than none": (listed(MaxKeys=-1), "InvalidArgument"),
                "more than a page": (listed(MaxKeys=5000), ["ammo", "b/mm", "c"]),
                "a prefix of nothing": (listed(Prefix="zzz/"), []),
                "after the last": (listed(StartAfter="c"), []),
                "a word between": (lambda: [each["Prefix"] for each in split["CommonPrefixes"]], ["amm", "b/mm"]),
                "another's": (lambda: s3.list_objects_v2(Bucket="no-such-bucket"), "NoSuchBucket"),
            }
        )

    assert await asyncio.to_thread(work) == {}


async def test_signatures_by_a_wrong_clock_or_key_or_none(shell: Shell) -> None:
    right = Key(shell.secret["AWS_ACCESS_KEY_ID"], shell.secret["AWS_SECRET_ACCESS_KEY"])
    url = f"{shell.secret['AWS_ENDPOINT_URL']}/{shell.bucket}"

    def ask(key: Key, off: timedelta = timedelta()) -> str:
        request = Request("GET", f"/{shell.bucket}", {"host": shell.secret["S3_ENDPOINT"]})
        headers = signed_headers(request, key, Scope("us-east-1"), datetime.now(UTC) + off)
        answer = requests.get(url, headers=headers, timeout=10)
        return "ok" if answer.ok else answer.text.partition("<Code>")[2].partition("<")[0]

    def work() -> tuple[dict[str, Any], int]:
        table: Calls = {
            "right": (lambda: ask(right), "ok"),
            "slow clock": (lambda: ask(right, timedelta(minutes=-20)), "RequestTimeTooSkewed"),
            "fast clock": (lambda: ask(right, timedelta(minutes=20)), "RequestTimeTooSkewed"),
            "wrong half": (lambda: ask(Key(right.access, "x" * 40)), "SignatureDoesNotMatch"),
            "unknown": (lambda: ask(Key("MONOBODYNOBODYNOBODY", "x" * 40)), "InvalidAccessKeyId"),
        }
        return answered(table), requests.get(url, timeout=10).status_code

    assert await asyncio.to_thread(work) == ({}, 403)


async def test_an_acl_in_a_request_opens_nothing(shell: Shell) -> None:
    s3, url = shell.boto(), f"{shell.secret['AWS_ENDPOINT_URL']}/{shell.bucket}/k"

    said = await asyncio.to_thread(
        verdict, lambda: s3.put_object(Bucket=shell.bucket, Key="k", Body=b"mine", ACL="public-read")["ETag"]
    )

    assert said
    assert (await asyncio.to_thread(requests.get, url, timeout=10)).status_code in (403, 404)
