"""Engine flavor aistore on a real AIStore: one proxy, one target."""

from typing import Any

import pytest
import requests
from bed import Bed
from botocore.exceptions import ClientError
from s3engines.aistore import server as server  # fixture
from s3engines.measure import ASK, measured
from s3engines.operated import backend_on, key_in, said
from s3engines.server import Server

from moorage.bucketowner import Owner
from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.errors import NotOffered
from moorage.features import ROWS
from moorage.model import CorsRule, LifecycleRule, LockMode, Method, ObjectLock, S3Flavor
from moorage.sigv4 import Key
from moorage_operator.engines.aistore import FEATURES, OWNERS


def proxy(server: Server) -> str:
    return server.endpoint.removesuffix("/s3")


def features_of(server: Server) -> int:
    return int(requests.get(f"{proxy(server)}/v1/daemon", params={"what": "config"}, timeout=10).json()["features"])


def properties_of(server: Server, bucket: str) -> str:
    return requests.head(f"{proxy(server)}/v1/buckets/{bucket}", timeout=10).headers["Ais-Bucket-Props"]


def configure(server: Server, body: dict[str, Any]) -> None:
    assert requests.put(f"{proxy(server)}/v1/cluster", json=body, timeout=10).ok


def test_the_row_is_what_the_server_does(server: Server) -> None:
    assert measured(server) == ROWS[S3Flavor.aistore] & frozenset(ASK)


async def test_a_bucket_has_its_properties_and_says_whose_it_is(server: Server) -> None:
    owner = Owner("team", "data", "uid-1")
    async with server.opened() as engine:
        before = await engine.tags("data-1")
        await engine.ensure_bucket("data-1")
        untold = await engine.tags("data-1")
        await engine.put_tags("data-1", owner.tags)
        await engine.ensure_bucket("data-1")
        told = await engine.tags("data-1")

    found = properties_of(server, "data-1")
    assert (before, untold, Owner.of(told or {})) == (None, {}, owner)
    assert '"checksum":{"type":"md5"' in found
    assert '"versioning":{"enabled":true' in found


async def test_unpatched_tools_work_with_objects(server: Server) -> None:
    async with server.opened() as engine:
        await engine.ensure_bucket("objects")
    client = server.boto(Key("whatever", "x" * 40))

    tag = client.put_object(Bucket="objects", Key="a/b c", Body=b"hello")["ETag"]
    client.copy_object(Bucket="objects", Key="copy", CopySource="objects/a/b c")
    upload = client.create_multipart_upload(Bucket="objects", Key="big")["UploadId"]
    where = {"Bucket": "objects", "Key": "big", "UploadId": upload}
    part = client.upload_part(**where, PartNumber=1, Body=b"x" * 5000)
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})

    assert tag == '"5d41402abc4b2a76b9719d911017c592"'
    assert client.get_object(Bucket="objects", Key="a/b c", Range="bytes=1-3")["Body"].read() == b"ell"
    assert [each["Key"] for each in client.list_objects_v2(Bucket="objects")["Contents"]] == ["a/b c", "big", "copy"]
    client.delete_object(Bucket="objects", Key="copy")


async def test_features_that_somebody_took_away_come_back_and_theirs_stay(server: Server) -> None:
    theirs = 1 << 12
    body = {"action": "set-config", "value": {"features": str(theirs)}}
    configure(server, body)
    async with server.opened() as engine:
        await engine.ensure_bucket("redirected")
        trouble = await engine.probe()

    assert (trouble, features_of(server)) == (None, FEATURES | theirs)
    server.boto().put_object(Bucket="redirected", Key="k", Body=b"1")


@pytest.mark.parametrize(
    "asked",
    [
        BucketSettings(versioning=True),
        BucketSettings(versioning=True, lock=ObjectLock(mode=LockMode.Compliance, days=1)),
        BucketSettings(lifecycle=(LifecycleRule(expire_days=1),)),
        BucketSettings(cors=(CorsRule(origins=("*",), methods=(Method.GET,)),)),
        BucketSettings(quota=1 << 30),
    ],
)
async def test_what_it_has_not_is_refused(server: Server, asked: BucketSettings) -> None:
    async with server.opened() as engine:
        await engine.ensure_bucket("asks-much")
        with pytest.raises(NotOffered, match="engine aistore has no "):
            await engine.ensure_settings("asks-much", asked)
        with pytest.raises(NotOffered, match="publicRead"):
            await engine.ensure_access("asks-much", {}, public_read=True)


async def test_settings_and_access_leave_the_bucket_alone(server: Server) -> None:
    async with server.opened() as engine:
        await engine.ensure_bucket("untouched")
        server.boto().put_object(Bucket="untouched", Key="k", Body=b"1")
        await engine.ensure_key(Key("MOKEY", "s" * 40), (Grant("untouched"),))
        changed = (
            await engine.ensure_settings("untouched", BucketSettings()),
            await engine.ensure_access("untouched", {}),
        )
        await engine.remove_key("MOKEY")

        assert changed == ((), False)
        assert await engine.settings("untouched") == BucketSettings()
        assert await engine.key_works(Key("MOKEY", "s" * 40), "untouched")
        assert not await engine.key_works(Key("MOKEY", "s" * 40), "never-made")
    assert server.boto().get_object(Bucket="untouched", Key="k")["Body"].read() == b"1"


async def test_a_bucket_is_known_to_be_empty_or_not_and_goes_with_its_objects(server: Server) -> None:
    client: Any = server.boto()
    async with server.opened() as engine:
        await engine.ensure_bucket("goes")
        await engine.put_tags("goes", Owner("team", "goes", "u").tags)
        empty = await engine.is_empty("goes")
        client.put_object(Bucket="goes", Key="k", Body=b"1")
        full = not await engine.is_empty("goes")
        page = await engine.versions("goes")
        await engine.remove_bucket("goes")
        await engine.remove_bucket("goes")

        assert (empty, full, await engine.tags("goes"), await engine.is_empty("goes")) == (True, True, None, True)
    assert page
    with pytest.raises(ClientError):
        client.get_object(Bucket=OWNERS, Key="goes")


async def test_a_probe_says_what_is_wrong(server: Server) -> None:
    absent = Server("aistore", "http://127.0.0.1:1/s3", server.root)
    async with server.opened() as engine, absent.opened() as silent:
        found = [await engine.probe(), await silent.probe()]

    assert [each.reason if each else None for each in found] == [None, "Unreachable"]


async def test_the_operator_makes_buckets_there_and_says_that_keys_mean_nothing(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server)
    await bed.make("Bucket", "datasets", spec={"backend": backend})
    await bed.phase("datasets", "READY", "Bucket")
    key, bucket = await key_in(bed, "datasets-s3")
    client: Any = server.boto(key)
    client.put_object(Bucket=bucket, Key="k", Body=b"1")
    told = [await said(bed, *each, "KeysEnforced") for each in (("Bucket", "datasets"), ("StorageBackend", backend))]
    await bed.delete("Bucket", "datasets")
    await bed.condition("datasets", "DeletionBlocked", "True", "Bucket")
    client.delete_object(Bucket=bucket, Key="k")
    await bed.gone("Bucket", "datasets")

    assert [(each["status"], each["reason"]) for each in told] == [("False", "NotChecked")] * 2
    assert bucket not in [each["Name"] for each in server.boto().list_buckets()["Buckets"]]


async def test_what_it_cannot_is_refused_when_a_bucket_asks(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server)
    await bed.make("Bucket", "versioned", spec={"backend": backend, "versioning": True})
    await bed.make("Bucket", "plain", spec={"backend": backend})
    await bed.phase("plain", "READY", "Bucket")
    await bed.make("BucketKey", "reader", spec={"buckets": [{"name": "plain"}]})

    for kind, name, lacking in (("Bucket", "versioned", "versioning"), ("BucketKey", "reader", "keys")):
        await bed.phase(name, "FAILED", kind)
        message = (await said(bed, kind, name, "Ready"))["message"]
        assert f"engine aistore has no {lacking}" in message


async def test_a_volume_there_is_read_only_or_refused_before_it_has_a_bucket(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server)
    await bed.make("StorageVolume", "writable", spec={"type": "object", "backend": backend})
    await bed.phase("writable", "FAILED")
    refused = await said(bed, "StorageVolume", "writable", "Provisioned")
    made = [each["metadata"]["name"] for each in await bed.cluster.list_ours("Bucket", bed.namespace)]

    await bed.delete("StorageVolume", "writable")
    await bed.gone("StorageVolume", "writable")
    await bed.make(
        "StorageVolume", "readable", spec={"type": "object", "backend": backend, "object": {"readOnly": True}}
    )
    await bed.phase("readable", "READY")

    assert refused["reason"] == "NotOffered"
    assert "make the volume again with object.readOnly: true" in refused["message"]
    assert made == []
