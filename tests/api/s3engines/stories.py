"""What is asked of every engine that makes keys: the same stories on each real server, with boto3 as the judge.

A test file imports the stories of its engine and gives the fixture `server`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from moorage.bucketowner import Owner
from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.contents import moment, stamp
from moorage.errors import NotOffered
from moorage.features import MEANING, ROWS, Feature
from moorage.model import Access, CorsRule, LifecycleRule, LockMode, Method, ObjectLock, S3Flavor
from moorage.sigv4 import Key
from moorage_operator import s3versions
from s3engines.measure import ASK, measured
from s3engines.server import Server

REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled"}


def refused(call: Callable[[], Any]) -> bool:
    """Whether the engine says no, for that reason and no other."""
    try:
        call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in REFUSED, code
        return True
    return False


async def key_of(server: Server, name: str, *grants: Grant, secret: str = "s" * 40) -> Key:
    """A key with these grants, made as the operator makes it."""
    key = Key(f"MO{name.upper().replace('-', ''):Q<18}"[:20], secret)
    async with server.opened() as engine:
        await engine.ensure_key(key, grants)
        for each in grants:
            await engine.ensure_access(each.bucket, {key.access: each.access})
    return key


async def bucket_of(server: Server, name: str) -> str:
    async with server.opened() as engine:
        await engine.ensure_bucket(name)
    return name


def test_the_row_is_what_the_server_does(server: Server) -> None:
    row = ROWS[S3Flavor(server.flavor)]

    assert measured(server) == row & frozenset(ASK)


async def test_a_bucket_is_made_once_and_says_whose_it_is(server: Server) -> None:
    owner = Owner("team", "whose", "uid-1")
    async with server.opened() as engine:
        assert await engine.tags("whose") is None
        await engine.ensure_bucket("whose")
        await engine.put_tags("whose", owner.tags)
        await engine.ensure_bucket("whose")

        assert Owner.of(await engine.tags("whose") or {}) == owner


async def test_versioning_follows_the_settings_and_only_changes_are_told(server: Server) -> None:
    async with server.opened() as engine:
        await engine.ensure_bucket("set-twice")
        first = await engine.ensure_settings("set-twice", BucketSettings(versioning=True))
        again = await engine.ensure_settings("set-twice", BucketSettings(versioning=True))
        found = await engine.settings("set-twice")
        off = await engine.ensure_settings("set-twice", BucketSettings())

    assert (first, again, found.versioning, off) == (("versioning",), (), True, ("versioning",))
    assert server.boto().get_bucket_versioning(Bucket="set-twice")["Status"] == "Suspended"


async def test_what_the_row_lacks_is_refused_with_its_name(server: Server) -> None:
    asked = BucketSettings(quota=1 << 20)
    async with server.opened() as engine:
        await engine.ensure_bucket("asks-much")
        if asked.needs <= engine.features:
            await engine.ensure_settings("asks-much", asked)
            assert (await engine.settings("asks-much")).quota == 1 << 20
            return
        with pytest.raises(NotOffered) as told:
            await engine.ensure_settings("asks-much", asked)

    assert f"engine {server.flavor} has no quota ({MEANING[Feature.quota]})" in str(told.value)


async def test_removal_takes_versions_markers_and_uploads(server: Server) -> None:
    client = server.boto()
    async with server.opened() as engine:
        await engine.ensure_bucket("leaves")
        empty = await engine.is_empty("leaves")
        await engine.ensure_settings("leaves", BucketSettings(versioning=True))
        for key in ("a", "dir/b c+d%ü"):
            client.put_object(Bucket="leaves", Key=key, Body=b"1")
            client.put_object(Bucket="leaves", Key=key, Body=b"2")
        client.delete_object(Bucket="leaves", Key="a")
        client.create_multipart_upload(Bucket="leaves", Key="unfinished")
        full = not await engine.is_empty("leaves")
        await engine.remove_bucket("leaves")
        await engine.remove_bucket("leaves")

    assert (empty, full) == (True, True)
    assert "leaves" not in [each["Name"] for each in client.list_buckets()["Buckets"]]


# Keys.

READS: dict[str, Callable[[Any, str], Any]] = {
    "list": lambda client, bucket: client.list_objects_v2(Bucket=bucket),
    "get": lambda client, bucket: client.get_object(Bucket=bucket, Key="k")["Body"].read(),
    "head": lambda client, bucket: client.get_object(Bucket=bucket, Key="k"),
}
WRITES: dict[str, Callable[[Any, str], Any]] = {
    "put": lambda client, bucket: client.put_object(Bucket=bucket, Key="k", Body=b"1"),
    "multipart": lambda client, bucket: client.create_multipart_upload(Bucket=bucket, Key="m"),
    "delete": lambda client, bucket: client.delete_object(Bucket=bucket, Key="gone"),
}
NEVER: dict[str, Callable[[Any, str], Any]] = {
    "make a bucket": lambda client, bucket: client.create_bucket(Bucket=f"{bucket}-of-its-own"),
    "delete the bucket": lambda client, bucket: client.delete_bucket(Bucket=bucket),
    "open it to all": lambda client, bucket: client.put_bucket_policy(
        Bucket=bucket,
        Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],'
        f'"Resource":["arn:aws:s3:::{bucket}/*"]}}]}}',
    ),
    "take the policy": lambda client, bucket: client.delete_bucket_policy(Bucket=bucket),
    "say whose it is": lambda client, bucket: client.put_bucket_tagging(
        Bucket=bucket, Tagging={"TagSet": [{"Key": "moorage.dev/namespace", "Value": "mine"}]}
    ),
    "lock": lambda client, bucket: client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    ),
}


@pytest.mark.parametrize(
    ("access", "allowed", "denied"),
    [
        (Access.ReadOnly, READS, WRITES | NEVER),
        (Access.ReadWrite, READS | WRITES, NEVER),
        (Access.Admin, READS | WRITES, NEVER),
    ],
)
async def test_a_key_may_do_what_its_access_says(
    server: Server, access: Access, allowed: dict[str, Any], denied: dict[str, Any]
) -> None:
    bucket = await bucket_of(server, f"table-{access.lower()}")
    server.boto().put_object(Bucket=bucket, Key="k", Body=b"1")
    client = server.boto(await key_of(server, bucket, Grant(bucket, access)))

    assert {name: refused(lambda call=call: call(client, bucket)) for name, call in allowed.items()} == dict.fromkeys(
        allowed, False
    )
    assert {name: refused(lambda call=call: call(client, bucket)) for name, call in denied.items()} == dict.fromkeys(
        denied, True
    )


async def test_a_key_opens_no_other_bucket(server: Server) -> None:
    mine, theirs = await bucket_of(server, "tenant-a"), await bucket_of(server, "tenant-b")
    server.boto().put_object(Bucket=theirs, Key="k", Body=b"secret")
    client = server.boto(await key_of(server, mine, Grant(mine, Access.Admin)))
    await key_of(server, theirs, Grant(theirs))

    for call in (
        lambda: client.list_objects_v2(Bucket=theirs),
        lambda: client.get_object(Bucket=theirs, Key="k"),
        lambda: client.put_object(Bucket=theirs, Key="k", Body=b"changed"),
        lambda: client.copy_object(Bucket=mine, Key="k", CopySource=f"{theirs}/k"),
        lambda: client.delete_object(Bucket=theirs, Key="k"),
    ):
        assert refused(call)


async def test_two_keys_of_one_bucket_live_side_by_side_and_one_is_revoked_at_once(server: Server) -> None:
    bucket = await bucket_of(server, "rotated")
    old, new = Key("MOOLDOLDOLDOLDOLDOLD", "o" * 40), Key("MONEWNEWNEWNEWNEWNEW", "n" * 40)
    async with server.opened() as engine:
        for key in (old, new):
            await engine.ensure_key(key, (Grant(bucket),))
        both = {key.access: Access.ReadWrite for key in (old, new)}
        await engine.ensure_access(bucket, both)
        alive = [await engine.key_works(key, bucket) for key in (old, new)]
        await engine.remove_key(old.access)
        await engine.ensure_access(bucket, {new.access: Access.ReadWrite})
        after = [await engine.key_works(key, bucket) for key in (old, new)]
        await engine.remove_key(old.access)

    assert (alive, after) == ([True, True], [False, True])
    assert refused(lambda: server.boto(old).list_objects_v2(Bucket=bucket))


async def test_a_key_that_is_right_stays_and_another_secret_replaces_it(server: Server) -> None:
    bucket = await bucket_of(server, "resecret")
    first = await key_of(server, bucket, Grant(bucket))
    again = await key_of(server, bucket, Grant(bucket))
    works = not refused(lambda: server.boto(first).list_objects_v2(Bucket=bucket))

    other = await key_of(server, bucket, Grant(bucket), secret="t" * 40)

    assert (first, works) == (again, True)
    assert refused(lambda: server.boto(first).list_objects_v2(Bucket=bucket))
    assert not refused(lambda: server.boto(other).list_objects_v2(Bucket=bucket))


async def test_a_key_whose_access_shrinks_loses_the_rest(server: Server) -> None:
    one, other = await bucket_of(server, "shrinks-a"), await bucket_of(server, "shrinks-b")
    key = await key_of(server, "shrinks", Grant(one), Grant(other))
    before = [refused(lambda each=each: server.boto(key).put_object(Bucket=each, Key="k")) for each in (one, other)]

    async with server.opened() as engine:
        await engine.ensure_key(key, (Grant(one, Access.ReadOnly),))
        await engine.ensure_access(one, {key.access: Access.ReadOnly})
        await engine.ensure_access(other, {})

    assert before == [False, False]
    assert refused(lambda: server.boto(key).put_object(Bucket=one, Key="k", Body=b"1"))
    assert not refused(lambda: server.boto(key).list_objects_v2(Bucket=one))
    assert refused(lambda: server.boto(key).list_objects_v2(Bucket=other))


async def test_access_that_stands_is_not_written_again_and_a_hand_in_it_is_undone(server: Server) -> None:
    bucket = await bucket_of(server, "drifts")
    key = await key_of(server, bucket, Grant(bucket))
    access = {key.access: Access.ReadWrite}
    async with server.opened() as engine:
        again = await engine.ensure_access(bucket, access)
        NEVER["open it to all"](server.boto(), bucket)
        seen = await engine.access_stands(bucket, access)
        mended = await engine.ensure_access(bucket, access)

        assert (again, seen, mended) == (False, False, True)
        assert await engine.access_stands(bucket, access)
        assert await engine.key_works(key, bucket)


async def test_public_reading_comes_and_goes_beside_the_keys(server: Server) -> None:
    bucket = await bucket_of(server, "public-now")
    key = await key_of(server, bucket, Grant(bucket))
    access = {key.access: Access.ReadWrite}
    async with server.opened() as engine:
        changed = [await engine.ensure_access(bucket, access, public) for public in (True, True, False)]

        assert changed == [True, False, True]
        assert await engine.key_works(key, bucket)


async def test_a_probe_says_what_is_wrong(server: Server) -> None:
    stranger = Server(server.flavor, server.endpoint, Key(server.root.access, "wrong" * 8), server.admin_endpoint)
    absent = Server(server.flavor, "http://127.0.0.1:1", server.root, "http://127.0.0.1:1")
    async with server.opened() as engine, stranger.opened() as wrong, absent.opened() as silent:
        found = [await each.probe() for each in (engine, wrong, silent)]

    assert [each.reason if each else None for each in found] == [None, "CredentialsRefused", "Unreachable"]


async def test_all_settings_that_the_row_has_hold_and_read_back(server: Server) -> None:
    row = ROWS[S3Flavor(server.flavor)]
    origins = CorsRule(origins=("https://a.example",), methods=(Method.GET, Method.PUT), max_age_seconds=60)
    abort = 7 if Feature.abort_multipart in row else None
    rules = (
        LifecycleRule(prefix="tmp/", expire_days=3, abort_multipart_days=abort),
        LifecycleRule(prefix="old/", noncurrent_days=30),
    )
    wanted = BucketSettings(
        versioning=Feature.versioning in row,
        lock=ObjectLock(mode=LockMode.Governance, days=2) if Feature.object_lock in row else None,
        lifecycle=rules if Feature.lifecycle in row else (),
        cors=(origins,) if Feature.cors in row else (),
        quota=1 << 30 if Feature.quota in row else None,
    )
    async with server.opened() as engine:
        await engine.ensure_bucket("all-of-it", lock=wanted.lock is not None)
        changed = await engine.ensure_settings("all-of-it", wanted)
        again = await engine.ensure_settings("all-of-it", wanted)

        assert await engine.settings("all-of-it") == wanted
    assert again == ()
    assert {"lock", "quota", "lifecycle", "cors"} & set(changed) == {
        name for name in ("lock", "quota", "lifecycle", "cors") if getattr(wanted, name)
    }


async def every_version(server: Server, bucket: str, most: int) -> list[tuple[str, str | None]]:
    """All pages of the listing that walks use, with so many versions to a page."""
    found: list[tuple[str, str | None]] = []
    async with server.opened() as engine:
        after: Any = ()
        for _ in range(60):
            page = await s3versions.versions(engine.s3, bucket, after, most, inclusive=engine.inclusive_markers)
            found += [(each.key, each.id) for each in page.versions]
            if page.after is None:
                return found
            after = page.after
    pytest.fail("the listing has no end")


async def test_each_version_is_listed_once_however_long_the_pages_are(server: Server) -> None:
    """Markers, null versions and folders included: whole walks stand on it."""
    if Feature.versioning not in ROWS[S3Flavor(server.flavor)]:
        return
    bucket, client = await bucket_of(server, "paged"), server.boto()
    for key in ("a", "b", "c"):
        client.put_object(Bucket=bucket, Key=key, Body=b"0")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b", "c", "d/x", "d/y ü+%", "e"):
        for number in range(3):
            client.put_object(Bucket=bucket, Key=key, Body=b"%d" % number)
    client.delete_object(Bucket=bucket, Key="b")

    whole = {(each["Key"], each["VersionId"]) for each in client.list_object_versions(Bucket=bucket)["Versions"]}

    for most in (5, 6, 7, 1000):
        found = await every_version(server, bucket, most)
        missed, again = whole - set(found), [each for each in found if found.count(each) > 1]
        assert (missed, again) == (set(), []), f"pages of {most}: missed {missed}, listed again {again}"


async def test_a_version_bears_what_it_is_given_and_is_not_freed_by_a_looser_rule(server: Server) -> None:
    if Feature.object_lock not in ROWS[S3Flavor(server.flavor)]:
        return
    client, lock = server.boto(), ObjectLock(mode=LockMode.Compliance, days=1)
    async with server.opened() as engine:
        await engine.ensure_bucket("stamped", lock=True)
        client.put_object(Bucket="stamped", Key="dir/k ü+%", Body=b"1")  # before there is a rule
        await engine.ensure_settings("stamped", BucketSettings(versioning=True, lock=lock))
        (version,) = (await engine.versions("stamped")).versions
        before = await engine.retention("stamped", version)
        wanted = stamp(version, lock, datetime.now(UTC))
        assert wanted
        await engine.retain("stamped", version, wanted)
        await engine.retain("stamped", version, wanted)
        after = await engine.retention("stamped", version)

    assert before is None
    assert after
    assert (after.mode, moment(after.until)) == (LockMode.Compliance, moment(wanted.until))
    with pytest.raises(ClientError):
        client.delete_object(Bucket="stamped", Key=version.key, VersionId=version.id, BypassGovernanceRetention=True)
