"""Buckets and keys on a real versitygw; boto3 is the judge."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from moorage.actions import MakeBucket, RemoveBucket
from moorage.bucketpolicy import owner_policy
from moorage.errors import Forbidden
from moorage.model import S3Engine
from moorage.sigv4 import Key
from moorage_operator import s3admin
from moorage_operator.s3 import S3

S3Server = Any  # of conftest.py, which is no module that could be imported

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


def boto(server: S3Server, access: str, secret: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


class KnownRoot(s3admin.Engines):
    """Engines whose root key is at hand: there is no cluster here."""

    def __init__(self, server: S3Server) -> None:
        self._root = Key(server.access, server.secret)

    async def root_key(self, engine: S3Engine) -> Key:
        return self._root


@pytest.fixture
async def root(s3_server: S3Server) -> AsyncIterator[S3]:
    async with aiohttp.ClientSession() as session:
        yield S3(session, s3_server.endpoint, "us-east-1", Key(s3_server.access, s3_server.secret))


@pytest.fixture
def engines(s3_server: S3Server) -> KnownRoot:
    return KnownRoot(s3_server)


def engine(server: S3Server) -> S3Engine:
    return S3Engine.model_validate(
        {
            "endpoint": server.endpoint,
            "adminEndpoint": server.admin_endpoint,
            "credentialsSecret": {"name": "root", "namespace": "moorage"},
        }
    )


def wanted(server: S3Server, bucket: str, secret: str = "s" * 40, versioning: bool = False) -> MakeBucket:
    access = f"MO{bucket.upper()}"
    return MakeBucket(engine(server), bucket, access, secret, owner_policy(bucket, access), versioning)


def removal(made: MakeBucket, keep: bool = False) -> RemoveBucket:
    return RemoveBucket(made.engine, made.bucket, made.access_key, keep)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


async def test_a_key_can_do_with_objects_what_tools_do(s3_server: S3Server, engines: KnownRoot) -> None:
    made = wanted(s3_server, "objects")
    await engines.make(made)
    client = boto(s3_server, made.access_key, made.secret_key)

    client.put_object(Bucket="objects", Key="a/b c+d%ü", Body=b"hello")
    upload = client.create_multipart_upload(Bucket="objects", Key="big")["UploadId"]
    part = client.upload_part(Bucket="objects", Key="big", UploadId=upload, PartNumber=1, Body=b"x" * 1000)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(Bucket="objects", Key="big", UploadId=upload, MultipartUpload=parts)
    client.put_object_tagging(Bucket="objects", Key="big", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})

    assert client.get_object(Bucket="objects", Key="a/b c+d%ü")["Body"].read() == b"hello"
    assert [each["Key"] for each in client.list_objects_v2(Bucket="objects")["Contents"]] == ["a/b c+d%ü", "big"]
    assert client.get_object_tagging(Bucket="objects", Key="big")["TagSet"] == [{"Key": "k", "Value": "v"}]
    assert client.get_bucket_location(Bucket="objects")["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.delete_object(Bucket="objects", Key="big")


async def test_a_key_opens_no_other_bucket_and_makes_none(s3_server: S3Server, engines: KnownRoot) -> None:
    made, other = wanted(s3_server, "mine"), wanted(s3_server, "theirs")
    await engines.make(made)
    await engines.make(other)
    boto(s3_server, other.access_key, other.secret_key).put_object(Bucket="theirs", Key="k", Body=b"secret")
    client = boto(s3_server, made.access_key, made.secret_key)

    for call in (
        lambda: client.list_objects_v2(Bucket="theirs"),
        lambda: client.get_object(Bucket="theirs", Key="k"),
        lambda: client.put_object(Bucket="theirs", Key="k", Body=b"changed"),
        lambda: client.copy_object(Bucket="mine", Key="k", CopySource="theirs/k"),
        lambda: client.create_bucket(Bucket="another"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == "AccessDenied"


async def test_a_key_cannot_change_the_settings_of_its_bucket(s3_server: S3Server, engines: KnownRoot) -> None:
    made = wanted(s3_server, "settings")
    await engines.make(made)
    client = boto(s3_server, made.access_key, made.secret_key)
    lock = {"ObjectLockEnabled": "Enabled"}

    for call in (
        lambda: client.put_bucket_policy(Bucket="settings", Policy=made.policy),
        lambda: client.delete_bucket_policy(Bucket="settings"),
        lambda: client.put_object_lock_configuration(Bucket="settings", ObjectLockConfiguration=lock),
        lambda: client.put_bucket_versioning(Bucket="settings", VersioningConfiguration={"Status": "Enabled"}),
        lambda: client.delete_bucket(Bucket="settings"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == "AccessDenied"


async def test_making_it_again_changes_nothing_and_a_new_secret_replaces_the_old(
    s3_server: S3Server, engines: KnownRoot
) -> None:
    made = wanted(s3_server, "again")
    await engines.make(made)
    boto(s3_server, made.access_key, made.secret_key).put_object(Bucket="again", Key="k", Body=b"kept")

    await engines.make(made)
    rotated = wanted(s3_server, "again", secret="t" * 40)
    await engines.make(rotated)

    with pytest.raises(ClientError) as refused:
        boto(s3_server, made.access_key, made.secret_key).get_object(Bucket="again", Key="k")
    assert code(refused) == "SignatureDoesNotMatch"
    kept = boto(s3_server, rotated.access_key, rotated.secret_key).get_object(Bucket="again", Key="k")
    assert kept["Body"].read() == b"kept"


async def test_versioning_follows_the_spec(s3_server: S3Server, engines: KnownRoot) -> None:
    client = boto(s3_server, s3_server.access, s3_server.secret)

    await engines.make(wanted(s3_server, "versioned", versioning=True))
    on = client.get_bucket_versioning(Bucket="versioned")["Status"]
    await engines.make(wanted(s3_server, "versioned", versioning=False))
    off = client.get_bucket_versioning(Bucket="versioned")["Status"]

    assert (on, off) == ("Enabled", "Suspended")


async def test_removal_takes_versions_markers_uploads_bucket_and_user(s3_server: S3Server, engines: KnownRoot) -> None:
    made = wanted(s3_server, "gone", versioning=True)
    await engines.make(made)
    client = boto(s3_server, made.access_key, made.secret_key)
    for key in ("a", "dir/b c+d%ü", "x<&>y"):
        client.put_object(Bucket="gone", Key=key, Body=b"1")
        client.put_object(Bucket="gone", Key=key, Body=b"2")
    client.delete_object(Bucket="gone", Key="a")
    client.create_multipart_upload(Bucket="gone", Key="unfinished")

    await engines.remove(removal(made))
    await engines.remove(removal(made))

    root = boto(s3_server, s3_server.access, s3_server.secret)
    assert "gone" not in [each["Name"] for each in root.list_buckets()["Buckets"]]
    with pytest.raises(ClientError) as refused:
        client.list_objects_v2(Bucket="gone")
    assert code(refused) == "InvalidAccessKeyId"


async def test_more_objects_than_one_listing_holds_are_removed(s3_server: S3Server, root: S3) -> None:
    client = boto(s3_server, s3_server.access, s3_server.secret)
    client.create_bucket(Bucket="many")
    for number in range(1100):
        client.put_object(Bucket="many", Key=f"k{number}", Body=b"")

    await root.ensure_absent("many")

    assert "many" not in [each["Name"] for each in client.list_buckets()["Buckets"]]


async def test_retaining_keeps_the_objects_and_ends_the_key(s3_server: S3Server, engines: KnownRoot) -> None:
    made = wanted(s3_server, "kept")
    await engines.make(made)
    boto(s3_server, made.access_key, made.secret_key).put_object(Bucket="kept", Key="k", Body=b"1")

    await engines.remove(removal(made, keep=True))

    root = boto(s3_server, s3_server.access, s3_server.secret)
    assert root.get_object(Bucket="kept", Key="k")["Body"].read() == b"1"
    with pytest.raises(ClientError) as refused:
        boto(s3_server, made.access_key, made.secret_key).list_objects_v2(Bucket="kept")
    assert code(refused) == "InvalidAccessKeyId"


async def test_a_wrong_root_key_is_refused_and_named(s3_server: S3Server, root: S3) -> None:
    stranger = S3(root.session, root.endpoint, root.region, Key(s3_server.access, "wrong"))

    with pytest.raises(Forbidden, match="SignatureDoesNotMatch"):
        await stranger.call("GET", "/", ())


async def test_signatures_hold_for_every_character_of_a_key(root: S3) -> None:
    await root.ensure_bucket("characters")
    key = "/characters/sp ace+plus%41~-_.!*'()&=;:@,$#?[]ü漢"

    await root.call("PUT", key, body=b"payload")

    assert await root.call("GET", key) == b"payload"
    await root.ensure_absent("characters")
