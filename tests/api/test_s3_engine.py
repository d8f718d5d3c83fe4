"""Buckets and keys on a real versitygw; boto3 is the judge."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from moorage.actions import MakeBucket, RemoveBucket
from moorage.bucketfacts import access_key
from moorage.bucketowner import Owner
from moorage.bucketpolicy import owner_policy
from moorage.bucketsettings import BucketSettings
from moorage.errors import Forbidden, InUse, MoorageError, NotFound
from moorage.model import S3Engine
from moorage.sigv4 import Key
from moorage_operator import s3emptying
from moorage_operator.engines.desk import Engines
from moorage_operator.engines.versitygw import ensure_user
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


class KnownRoot(Engines):
    """Engines whose root key is at hand: there is no cluster here."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(None)  # type: ignore[arg-type]
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


def wanted(
    server: S3Server,
    bucket: str,
    secret: str = "s" * 40,
    versioning: bool = False,
    name: str = "",
    adopts: Owner | None = None,
) -> MakeBucket:
    owner = Owner("team", name or bucket, f"uid-{name or bucket}")
    settings = BucketSettings(versioning=versioning)
    return MakeBucket(engine(server), bucket, access_key(owner.uid), secret, settings, owner, adopts)


def removal(made: MakeBucket, keep: bool = False, empties: bool = True) -> RemoveBucket:
    return RemoveBucket(made.engine, made.bucket, made.access_key, keep, made.owner, empties)


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
        lambda: client.put_bucket_policy(Bucket="settings", Policy=owner_policy("settings", made.access_key)),
        lambda: client.delete_bucket_policy(Bucket="settings"),
        lambda: client.put_object_lock_configuration(Bucket="settings", ObjectLockConfiguration=lock),
        lambda: client.put_bucket_versioning(Bucket="settings", VersioningConfiguration={"Status": "Enabled"}),
        lambda: client.delete_bucket(Bucket="settings"),
        lambda: client.get_bucket_tagging(Bucket="settings"),
        lambda: client.delete_bucket_tagging(Bucket="settings"),
        lambda: client.put_bucket_tagging(Bucket="settings", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]}),
        lambda: client.put_bucket_acl(Bucket="settings", ACL="public-read-write"),
        lambda: client.put_bucket_ownership_controls(
            Bucket="settings", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        ),
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


async def test_users_that_are_made_again_and_again_disturb_no_other_key(
    s3_server: S3Server, engines: KnownRoot
) -> None:
    made = [wanted(s3_server, f"steady-{number}") for number in range(5)]
    for each in made:
        await engines.make(each)
    keys = {each.bucket: Key(each.access_key, each.secret_key) for each in made}
    refused: list[str] = []

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        admin = S3(session, s3_server.admin_endpoint, "us-east-1", Key(s3_server.access, s3_server.secret))
        for turn in range(40):
            for key in keys.values():
                await ensure_user(admin, key)
            for bucket, key in keys.items():
                if not await S3(session, s3_server.endpoint, "us-east-1", key).works(bucket):
                    refused.append(f"{bucket} in turn {turn}")

    assert not refused


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

    await s3emptying.ensure_absent(root, "many")

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


# Whose a bucket is, and adoption.


async def test_a_bucket_says_whose_it_is_and_keeps_an_administrators_tags(
    s3_server: S3Server, engines: KnownRoot, root: S3
) -> None:
    made = wanted(s3_server, "tagged")
    await engines.make(made)
    await root.put_tags("tagged", {**made.owner.tags, "cost-centre": "R+D 7"})

    await engines.make(made)

    assert await engines.owner(made.engine, "tagged") == (True, made.owner)
    assert (await root.tags("tagged") or {})["cost-centre"] == "R+D 7"
    assert await engines.owner(made.engine, "no-such-bucket") == (False, None)


@pytest.mark.parametrize("key", [".", "./", "/", "a/..", "..", "a/../", "%2E", "../settings-of"])
async def test_no_object_key_reaches_the_bucket_itself(
    s3_server: S3Server, engines: KnownRoot, root: S3, key: str
) -> None:
    made = wanted(s3_server, "settings-of")
    await engines.make(made)
    own = S3(root.session, root.endpoint, root.region, Key(made.access_key, made.secret_key))
    tags = b"<Tagging><TagSet><Tag><Key>moorage.dev/namespace</Key><Value>mine</Value></Tag></TagSet></Tagging>"

    for path in (f"/settings-of/{key}", f"//settings-of/{key}"):
        with contextlib.suppress(MoorageError):
            await own.call("PUT", path, (("tagging", ""),), tags)
        with contextlib.suppress(MoorageError):
            await own.call("DELETE", path, (("tagging", ""),))
        with contextlib.suppress(MoorageError):
            await own.call("PUT", path, (), b"", {"x-amz-tagging": "moorage.dev/namespace=mine"})

    assert await engines.owner(made.engine, "settings-of") == (True, made.owner)


async def test_a_kept_bucket_is_adopted_with_its_objects_by_a_new_key(s3_server: S3Server, engines: KnownRoot) -> None:
    old = wanted(s3_server, "handed-on", versioning=True)
    await engines.make(old)
    boto(s3_server, old.access_key, old.secret_key).put_object(Bucket="handed-on", Key="k", Body=b"precious")
    await engines.remove(removal(old, keep=True))

    new = wanted(s3_server, "handed-on", secret="n" * 40, versioning=True, name="heir", adopts=old.owner)
    await engines.make(new)
    await engines.make(new)

    client = boto(s3_server, new.access_key, new.secret_key)
    assert client.get_object(Bucket="handed-on", Key="k")["Body"].read() == b"precious"
    assert await engines.owner(new.engine, "handed-on") == (True, new.owner)
    assert client.get_bucket_versioning(Bucket="handed-on")["Status"] == "Enabled"


async def test_a_key_of_the_last_owner_that_was_never_ended_ends_with_the_adoption(
    s3_server: S3Server, engines: KnownRoot
) -> None:
    lost = wanted(s3_server, "orphaned")
    await engines.make(lost)

    await engines.make(wanted(s3_server, "orphaned", secret="n" * 40, name="heir-of-orphan", adopts=lost.owner))

    with pytest.raises(ClientError) as refused:
        boto(s3_server, lost.access_key, lost.secret_key).list_objects_v2(Bucket="orphaned")
    assert code(refused) == "InvalidAccessKeyId"


async def test_of_two_that_adopt_one_bucket_one_wins(s3_server: S3Server, engines: KnownRoot) -> None:
    old = wanted(s3_server, "contested")
    await engines.make(old)
    await engines.remove(removal(old, keep=True))
    heirs = [wanted(s3_server, "contested", name=f"heir-{number}", adopts=old.owner) for number in range(4)]

    answers = await asyncio.gather(*(engines.make(each) for each in heirs), return_exceptions=True)

    winners = [heir for heir, answer in zip(heirs, answers, strict=True) if answer is None]
    assert len(winners) == 1
    assert await engines.owner(old.engine, "contested") == (True, winners[0].owner)
    assert [type(each) for each in answers if each] == [InUse] * 3


async def test_a_bucket_that_does_not_exist_is_not_made_by_adopting_it(s3_server: S3Server, engines: KnownRoot) -> None:
    missing = wanted(s3_server, "never-was", adopts=Owner("team", "x", "y"))

    with pytest.raises(NotFound, match="bucket never-was does not exist"):
        await engines.make(missing)

    assert await engines.owner(missing.engine, "never-was") == (False, None)


async def test_the_last_owner_neither_takes_back_nor_destroys_what_was_adopted(
    s3_server: S3Server, engines: KnownRoot
) -> None:
    old = wanted(s3_server, "taken")
    await engines.make(old)
    new = wanted(s3_server, "taken", secret="n" * 40, name="taker", adopts=old.owner)
    await engines.make(new)
    client = boto(s3_server, new.access_key, new.secret_key)
    client.put_object(Bucket="taken", Key="k", Body=b"1")

    with pytest.raises(InUse, match="bucket taken belongs to Bucket team/taker"):
        await engines.make(old)
    await engines.remove(removal(old))

    assert client.get_object(Bucket="taken", Key="k")["Body"].read() == b"1"


async def test_keeping_a_bucket_of_an_older_version_writes_down_whose_it_was(
    s3_server: S3Server, engines: KnownRoot, root: S3
) -> None:
    made = wanted(s3_server, "untagged")
    await engines.make(made)
    await root.put_tags("untagged", {})

    await engines.remove(removal(made, keep=True))

    assert await engines.owner(made.engine, "untagged") == (True, made.owner)


async def test_a_wrong_root_key_is_refused_and_named(s3_server: S3Server, root: S3) -> None:
    stranger = S3(root.session, root.endpoint, root.region, Key(s3_server.access, "wrong"))

    with pytest.raises(Forbidden, match="SignatureDoesNotMatch"):
        await stranger.call("GET", "/", ())


async def test_signatures_hold_for_every_character_of_a_key(root: S3) -> None:
    await root.ensure_bucket("characters")
    key = "/characters/sp ace+plus%41~-_.!*'()&=;:@,$#?[]ü漢"

    await root.call("PUT", key, body=b"payload")

    assert await root.call("GET", key) == b"payload"
    await s3emptying.ensure_absent(root, "characters")
