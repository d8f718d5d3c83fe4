"""BucketKeys on a real API server and a real versitygw: what each key may do, boto3 is the judge."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import pytest
from bed import Bed, condition, until
from botocore.config import Config
from botocore.exceptions import ClientError

from moorage import names
from moorage.actions import Manifest, part
from moorage.errors import InvalidInput

KIND = "BucketKey"
OFF = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NotImplemented"}

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


def boto(secret: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=secret["AWS_ENDPOINT_URL"],
        region_name=secret["AWS_REGION"],
        aws_access_key_id=secret["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


async def verdict(call: Callable[[], Any]) -> str:
    """`ok`, or the engine's error code."""
    try:
        await asyncio.to_thread(call)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"


class Desk:
    """A bed, with short words for keys."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed

    async def bucket(self, name: str, **spec: Any) -> str:
        """Its name on the engine."""
        await self.bed.make("Bucket", name, spec=spec)
        await self.bed.condition(name, "Ready", "True", "Bucket")
        return part(await self.bed.get("Bucket", name), "status")["bucketName"]

    async def key(self, name: str, *buckets: Manifest, **spec: Any) -> dict[str, str]:
        await self.bed.make(KIND, name, spec={"buckets": list(buckets), **spec})
        await self.bed.condition(name, "Ready", "True", KIND)
        return await self.secret(f"{name}-key")

    async def secret(self, name: str) -> dict[str, str]:
        found = await self.bed.get("Secret", name, "v1")
        return {key: base64.b64decode(value).decode() for key, value in (found or {}).get("data", {}).items()}

    async def change(self, name: str, **spec: Any) -> None:
        await self.bed.cluster.merge(self.bed.ref(KIND, name), {"spec": spec})

    async def status(self, name: str) -> Manifest:
        return ((await self.bed.get(KIND, name)) or {}).get("status", {})

    async def says(self, name: str, call: Callable[[], Any], wanted: str) -> None:
        """The key `name` gets this answer, at last."""

        async def told() -> bool:
            return await verdict(call) == wanted

        await until(told, lambda: self._story(name, call, wanted))

    async def _story(self, name: str, call: Callable[[], Any], wanted: str) -> str:
        return f"{name}: {await verdict(call)} and not {wanted}; {await self.bed.get(KIND, name)}"


@pytest.fixture
async def desk(bed: Bed) -> AsyncIterator[Desk]:
    yield Desk(bed)


def calls(client: Any, bucket: str, other: str) -> dict[str, Callable[[], Any]]:
    """What a tenant may try, by name; `other` is a bucket that the key is not for."""
    lock = {"ObjectLockEnabled": "Enabled"}
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.com"]}]}
    tags = {"TagSet": [{"Key": "moorage.dev/namespace", "Value": "mine"}]}
    return {
        "list": lambda: client.list_objects_v2(Bucket=bucket),
        "get": lambda: client.get_object(Bucket=bucket, Key="seed")["Body"].read(),
        "put": lambda: client.put_object(Bucket=bucket, Key="new", Body=b"1"),
        "copy inside": lambda: client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/seed"),
        "delete": lambda: client.delete_object(Bucket=bucket, Key="new"),
        "multipart": lambda: client.create_multipart_upload(Bucket=bucket, Key="big"),
        "tag object": lambda: client.put_object_tagging(Bucket=bucket, Key="seed", Tagging={"TagSet": []}),
        "get versioning": lambda: client.get_bucket_versioning(Bucket=bucket),
        "set versioning": lambda: client.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        ),
        "set cors": lambda: client.put_bucket_cors(Bucket=bucket, CORSConfiguration=cors),
        "list other": lambda: client.list_objects_v2(Bucket=other),
        "get other": lambda: client.get_object(Bucket=other, Key="seed"),
        "put other": lambda: client.put_object(Bucket=other, Key="new", Body=b"1"),
        "copy from other": lambda: client.copy_object(Bucket=bucket, Key="stolen", CopySource=f"{other}/seed"),
        "copy to other": lambda: client.copy_object(Bucket=other, Key="given", CopySource=f"{bucket}/seed"),
        "create bucket": lambda: client.create_bucket(Bucket="a-bucket-of-my-own"),
        "delete bucket": lambda: client.delete_bucket(Bucket=bucket),
        "get policy": lambda: client.get_bucket_policy(Bucket=bucket),
        "set policy": lambda: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
        "delete policy": lambda: client.delete_bucket_policy(Bucket=bucket),
        "set lock": lambda: client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock),
        "set bucket tags": lambda: client.put_bucket_tagging(Bucket=bucket, Tagging=tags),
        "set acl": lambda: client.put_bucket_acl(Bucket=bucket, ACL="public-read-write"),
        "set ownership": lambda: client.put_bucket_ownership_controls(
            Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        ),
    }


READS = {"list", "get", "get versioning"}
WRITES = {"put", "copy inside", "delete", "multipart", "tag object"}
SETS = {"set versioning", "set cors"}


@pytest.mark.parametrize(
    ("access", "allowed"),
    [("ReadOnly", READS), ("ReadWrite", READS | WRITES), ("Admin", READS | WRITES | SETS)],
)
async def test_a_key_may_do_what_its_access_says_and_nothing_else(desk: Desk, access: str, allowed: set[str]) -> None:
    bucket, other = await desk.bucket("models"), await desk.bucket("others")
    for name in ("models", "others"):
        own = await desk.secret(f"{name}-s3")
        await asyncio.to_thread(boto(own).put_object, Bucket=own["BUCKET"], Key="seed", Body=b"seed")
    secret = await desk.key("mine", {"name": "models", "access": access})

    table = {name: await verdict(call) for name, call in calls(boto(secret), bucket, other).items()}

    assert {name for name, said in table.items() if said == "ok"} == allowed
    assert set(table.values()) <= OFF | {"ok"}, table
    listed = await asyncio.to_thread(boto(secret).list_buckets)
    assert listed["Buckets"] == []


async def test_a_key_for_several_buckets_opens_each_as_far_as_it_says(desk: Desk) -> None:
    models, data = await desk.bucket("models"), await desk.bucket("data")
    secret = await desk.key("both", {"name": "models"}, {"name": "data", "access": "ReadWrite"})
    client = boto(secret)

    assert (secret["BUCKET"], secret["BUCKETS"]) == (models, f"{models},{data}")
    assert await verdict(lambda: client.put_object(Bucket=data, Key="k", Body=b"1")) == "ok"
    assert await verdict(lambda: client.put_object(Bucket=models, Key="k", Body=b"1")) == "AccessDenied"
    assert await verdict(lambda: client.copy_object(Bucket=models, Key="k", CopySource=f"{data}/k")) == "AccessDenied"


async def test_many_keys_on_one_bucket_do_not_disturb_each_other(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    for number in range(8):
        await desk.bed.make(KIND, f"k{number}", spec={"buckets": [{"name": "models", "access": "ReadWrite"}]})
    for number in range(8):
        await desk.bed.condition(f"k{number}", "Ready", "True", KIND)

    await desk.bed.delete(KIND, "k0")
    await desk.bed.gone(KIND, "k0")

    for name in (*(f"k{number}-key" for number in range(1, 8)), "models-s3"):
        client = boto(await desk.secret(name))
        await desk.says(name, lambda client=client: client.put_object(Bucket=bucket, Key="k", Body=b"1"), "ok")


async def test_changed_access_and_buckets_are_applied_to_the_same_key(desk: Desk) -> None:
    models, data = await desk.bucket("models"), await desk.bucket("data")
    secret = await desk.key("mine", {"name": "models", "access": "ReadWrite"})
    client = boto(secret)

    await desk.change("mine", buckets=[{"name": "models", "access": "ReadOnly"}, {"name": "data", "access": "Admin"}])
    await desk.says("mine", lambda: client.put_object(Bucket=models, Key="k", Body=b"1"), "AccessDenied")
    await desk.says("mine", lambda: client.put_object(Bucket=data, Key="k", Body=b"1"), "ok")
    await desk.change("mine", buckets=[{"name": "data", "access": "ReadOnly"}])
    await desk.says("mine", lambda: client.list_objects_v2(Bucket=models), "AccessDenied")
    await desk.says("mine", lambda: client.put_object(Bucket=data, Key="k", Body=b"1"), "AccessDenied")

    assert await verdict(lambda: client.list_objects_v2(Bucket=data)) == "ok"

    async def settled() -> bool:
        return (await desk.secret("mine-key")).get("BUCKET") == data

    await until(settled, lambda: desk.bed._story(KIND, "mine", "of one bucket"))
    again = await desk.secret("mine-key")
    assert again["AWS_ACCESS_KEY_ID"] == secret["AWS_ACCESS_KEY_ID"]
    assert again["AWS_SECRET_ACCESS_KEY"] == secret["AWS_SECRET_ACCESS_KEY"]


# Rotation.


async def test_the_old_key_works_during_the_overlap_and_not_after_it(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old = await desk.key("mine", {"name": "models"}, overlap="8s")

    await desk.change("mine", rotate="leaked")

    async def rotated() -> bool:
        return (await desk.secret("mine-key")).get("AWS_ACCESS_KEY_ID") != old["AWS_ACCESS_KEY_ID"]

    await until(rotated, lambda: desk.bed._story(KIND, "mine", "rotated"))
    new = await desk.secret("mine-key")
    assert await verdict(lambda: boto(new).list_objects_v2(Bucket=bucket)) == "ok"
    assert await verdict(lambda: boto(old).list_objects_v2(Bucket=bucket)) == "ok"

    async def overlapping() -> bool:
        return "revokeAt" in (await desk.status("mine")).get("previous", {})

    await until(overlapping, lambda: desk.bed._story(KIND, "mine", "overlapping"))
    status = await desk.status("mine")
    assert status["accessKeyId"] == new["AWS_ACCESS_KEY_ID"]
    assert status["previous"]["accessKeyId"] == old["AWS_ACCESS_KEY_ID"]
    await desk.says("old", lambda: boto(old).list_objects_v2(Bucket=bucket), "InvalidAccessKeyId")
    assert await verdict(lambda: boto(new).list_objects_v2(Bucket=bucket)) == "ok"

    async def over() -> bool:
        events = [each for each in await desk.bed.events("mine", KIND) if each.startswith("Key")]
        return "previous" not in await desk.status("mine") and events == ["KeyRotated", "KeyRevoked"]

    await until(over, lambda: desk.bed._story(KIND, "mine", "over"))


async def test_a_killed_operator_leaves_a_rotation_that_is_finished(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old = await desk.key("mine", {"name": "models"}, overlap="1h")
    for turn in range(6):
        await desk.change("mine", rotate=str(turn), overlap="0s")
        await asyncio.sleep(0.02 * turn)
        await desk.bed.kill()
        await desk.bed.start()

    async def settled() -> bool:
        status = await desk.status("mine")
        return status.get("rotated") == "5" and "issuedAt" in status and "previous" not in status

    await until(settled, lambda: desk.bed._story(KIND, "mine", "rotated to the last"))
    new = await desk.secret("mine-key")
    assert new["AWS_ACCESS_KEY_ID"] == (await desk.status("mine"))["accessKeyId"]
    assert await verdict(lambda: boto(new).list_objects_v2(Bucket=bucket)) == "ok"
    assert await verdict(lambda: boto(old).list_objects_v2(Bucket=bucket)) == "InvalidAccessKeyId"


async def test_a_removed_secret_comes_back_with_a_new_key_and_the_old_one_overlaps(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old = await desk.key("mine", {"name": "models"})

    await desk.bed.delete("Secret", "mine-key", "v1")
    await desk.bed.cluster.merge(desk.bed.ref(KIND, "mine"), {"metadata": {"labels": {"look": "again"}}})

    async def back() -> bool:
        return (await desk.secret("mine-key")).get("AWS_ACCESS_KEY_ID", "") not in ("", old["AWS_ACCESS_KEY_ID"])

    await until(back, lambda: desk.bed._story(KIND, "mine", "back"))
    for each in (old, await desk.secret("mine-key")):
        assert await verdict(lambda each=each: boto(each).list_objects_v2(Bucket=bucket)) == "ok"


# The end of keys.


async def test_a_revoked_key_is_refused_at_once_and_a_new_one_is_another(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old = await desk.key("mine", {"name": "models"})

    await desk.change("mine", revoked=True)
    await desk.bed.condition("mine", "Ready", "False", KIND)
    await desk.says("mine", lambda: boto(old).list_objects_v2(Bucket=bucket), "InvalidAccessKeyId")
    await desk.bed.gone("Secret", "mine-key", "v1")
    revoked = await desk.bed.phase("mine", "DESTROYED", KIND)
    await desk.change("mine", revoked=False)
    await desk.bed.condition("mine", "Ready", "True", KIND)
    new = await desk.secret("mine-key")

    assert condition(revoked, "Provisioned")["reason"] == "Revoked"
    assert "accessKeyId" not in revoked["status"]
    assert new["AWS_ACCESS_KEY_ID"] != old["AWS_ACCESS_KEY_ID"]
    assert await verdict(lambda: boto(new).list_objects_v2(Bucket=bucket)) == "ok"
    assert await verdict(lambda: boto(old).list_objects_v2(Bucket=bucket)) == "InvalidAccessKeyId"


async def test_a_key_opens_nothing_once_it_has_expired_until_that_is_put_off(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old = await desk.key("mine", {"name": "models"}, expireAfter="1m")
    assert (await desk.status("mine"))["expiresAt"]
    assert await verdict(lambda: boto(old).list_objects_v2(Bucket=bucket)) == "ok"

    for _ in range(2):  # each waits for a minute
        with contextlib.suppress(AssertionError):
            await desk.bed.condition("mine", "Ready", "False", KIND)
    await desk.says("mine", lambda: boto(old).list_objects_v2(Bucket=bucket), "InvalidAccessKeyId")
    await desk.bed.gone("Secret", "mine-key", "v1")
    expired = await desk.bed.get(KIND, "mine")
    await desk.change("mine", expireAfter="24h")
    await desk.bed.condition("mine", "Ready", "True", KIND)
    new = await desk.secret("mine-key")

    assert condition(expired, "Provisioned")["reason"] == "Expired"
    assert await verdict(lambda: boto(new).list_objects_v2(Bucket=bucket)) == "ok"
    assert await verdict(lambda: boto(old).list_objects_v2(Bucket=bucket)) == "InvalidAccessKeyId"


async def test_a_deleted_key_is_revoked_and_its_secret_goes(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    secret = await desk.key("mine", {"name": "models"})

    await desk.bed.delete(KIND, "mine")
    await desk.bed.gone(KIND, "mine")

    assert await verdict(lambda: boto(secret).list_objects_v2(Bucket=bucket)) == "InvalidAccessKeyId"
    assert await desk.bed.get("Secret", "mine-key", "v1") is None


async def test_no_half_of_a_key_is_told_anywhere(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await desk.bucket("models")
    caplog.set_level("DEBUG")
    first = await desk.key("mine", {"name": "models"}, overlap="0s")
    await desk.change("mine", rotate="now")
    await desk.says("old", lambda: boto(first).list_objects_v2(Bucket=first["BUCKET"]), "InvalidAccessKeyId")
    second = await desk.secret("mine-key")

    events = await desk.bed.cluster.list("events.k8s.io/v1", "Event", desk.bed.namespace)
    told = str(await desk.bed.get(KIND, "mine")) + str(await desk.bed.get("Bucket", "models")) + str(events)
    for secret in (first, second):
        assert secret["AWS_SECRET_ACCESS_KEY"] not in told + caplog.text


# Who may have one.


@pytest.fixture
async def neighbour(bed: Bed) -> AsyncIterator[str]:
    """Another namespace, with a label."""
    name = f"{bed.namespace}-b"
    await bed.cluster._call(
        "POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"team": bed.namespace}}}
    )
    yield name
    with contextlib.suppress(Exception):
        await bed.cluster._call("DELETE", f"/api/v1/namespaces/{name}")


async def test_another_namespace_has_a_key_only_as_long_as_the_bucket_is_shared(desk: Desk, neighbour: str) -> None:
    bucket, bed = await desk.bucket("models"), desk.bed
    spec = {"buckets": [{"name": "models", "namespace": bed.namespace, "access": "ReadWrite"}]}
    there = {"apiVersion": names.API_VERSION, "kind": KIND, "metadata": {"name": "theirs", "namespace": neighbour}}
    await bed.cluster.create({**there, "spec": spec})
    here, bed.namespace = bed.namespace, neighbour  # the short words now speak of the neighbour's things
    share = {"from": "Selector", "selector": {"matchLabels": {"team": here}}}
    of_bucket = bed.ref("Bucket", "models").__class__(names.API_VERSION, "Bucket", "models", here)

    refused = await bed.condition("theirs", "Provisioned", "False", KIND)
    await bed.cluster.merge(of_bucket, {"spec": {"share": share}})
    await bed.condition("theirs", "Ready", "True", KIND)
    secret = await desk.secret("theirs-key")
    assert await verdict(lambda: boto(secret).put_object(Bucket=bucket, Key="k", Body=b"1")) == "ok"
    await bed.cluster.merge(of_bucket, {"spec": {"share": {"from": "Same", "selector": None}}})
    await desk.says("theirs", lambda: boto(secret).list_objects_v2(Bucket=bucket), "AccessDenied")
    withdrawn = await bed.condition("theirs", "Provisioned", "False", KIND)

    assert refused["reason"] == "NotShared"
    assert withdrawn["reason"] == "NotShared"
    bed.namespace = here


async def test_a_key_waits_for_its_bucket_and_says_when_that_is_gone(desk: Desk) -> None:
    bed = desk.bed
    await bed.make(KIND, "mine", spec={"buckets": [{"name": "models"}, {"name": "data"}]})
    waiting = await bed.condition("mine", "Provisioned", "False", KIND)
    await desk.bucket("models")
    data = await desk.bucket("data")
    await bed.condition("mine", "Ready", "True", KIND)
    await bed.delete("Bucket", "models")
    await bed.gone("Bucket", "models")
    sick = await bed.condition("mine", "Healthy", "False", KIND)

    assert waiting["reason"] == "BucketNotFound"
    assert sick["reason"] in ("BucketNotFound", "BucketDestroying")
    secret = await desk.secret("mine-key")
    assert await verdict(lambda: boto(secret).list_objects_v2(Bucket=data)) == "ok"


async def test_a_secret_of_somebody_else_is_left_alone(desk: Desk) -> None:
    await desk.bucket("models")
    await desk.bed.make("Secret", "mine-key", "v1", stringData={"k": "v"})
    await desk.bed.make(KIND, "mine", spec={"buckets": [{"name": "models"}]})

    failed = await desk.bed.phase("mine", "FAILED", KIND)

    assert condition(failed, "Provisioned")["reason"] == "SecretConflict"
    assert (await desk.secret("mine-key")) == {"k": "v"}


async def test_all_buckets_of_a_key_are_on_one_backend(desk: Desk, s3_server: Any) -> None:
    root = {"name": "root", "namespace": desk.bed.namespace}
    s3 = {"endpoint": s3_server.endpoint, "adminEndpoint": s3_server.admin_endpoint, "credentialsSecret": root}
    await desk.bed.make("StorageBackend", "second", spec={"engine": {"s3": s3}})
    await desk.bed.condition("second", "Ready", "True", "StorageBackend")
    await desk.bucket("models")
    await desk.bucket("data", backend="second")

    await desk.bed.make(KIND, "mine", spec={"buckets": [{"name": "models"}, {"name": "data"}]})
    failed = await desk.bed.phase("mine", "FAILED", KIND)

    assert condition(failed, "Provisioned")["reason"] == "SeveralBackends"
    assert "second" in condition(failed, "Provisioned")["message"]


# The own key of a Bucket.


async def own_key_other_than(desk: Desk, old: dict[str, str]) -> dict[str, str]:
    async def rotated() -> bool:
        return (await desk.secret("models-s3")).get("AWS_ACCESS_KEY_ID") != old["AWS_ACCESS_KEY_ID"]

    await until(rotated, lambda: desk.bed._story("Bucket", "models", "rotated"))
    return await desk.secret("models-s3")


async def test_a_buckets_own_key_rotates_with_overlap_and_leaves_other_keys_alone(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old, reader = await desk.secret("models-s3"), await desk.key("reader", {"name": "models"})
    ref = desk.bed.ref("Bucket", "models")

    await desk.bed.cluster.merge(ref, {"spec": {"key": {"rotate": "now", "overlap": "3s"}}})
    new = await own_key_other_than(desk, old)
    both = [
        await verdict(lambda each=each: boto(each).put_object(Bucket=bucket, Key="k", Body=b"1")) for each in (old, new)
    ]
    await desk.says("old", lambda: boto(old).list_objects_v2(Bucket=bucket), "InvalidAccessKeyId")

    assert both == ["ok", "ok"]
    assert await verdict(lambda: boto(new).put_object(Bucket=bucket, Key="k", Body=b"2")) == "ok"
    assert await verdict(lambda: boto(reader).get_object(Bucket=bucket, Key="k")) == "ok"
    assert [each for each in await desk.bed.events("models", "Bucket") if "Key" in each] == ["KeyRotated", "KeyRevoked"]


async def test_a_bucket_that_goes_during_an_overlap_takes_both_keys_along(desk: Desk) -> None:
    bucket = await desk.bucket("models")
    old = await desk.secret("models-s3")
    await desk.bed.cluster.merge(desk.bed.ref("Bucket", "models"), {"spec": {"key": {"rotate": "now"}}})
    new = await own_key_other_than(desk, old)

    await desk.bed.delete("Bucket", "models")
    await desk.bed.gone("Bucket", "models")

    for each in (old, new):
        assert await verdict(lambda each=each: boto(each).list_objects_v2(Bucket=bucket)) == "InvalidAccessKeyId"


# What the API server refuses, with a sentence.


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"rotateAfter": "1h", "overlap": "1h"}, "rotateAfter must be longer than overlap"),
        ({"rotateAfter": "30s", "overlap": "1s"}, "rotateAfter is at least 1m"),
        ({"expireAfter": "1s"}, "expireAfter is at least 1m"),
        ({"overlap": "a day"}, "write hours, minutes or seconds"),
        ({"buckets": [{"name": "models"}, {"name": "models", "access": "Admin"}]}, "Duplicate value"),
        ({"buckets": []}, "should have at least 1 items"),
        ({"buckets": [{"name": "models", "access": "Owner"}]}, "supported values"),
        ({"secretName": "Not_A_Name"}, "use lowercase letters"),
    ],
)
async def test_a_wrong_key_is_refused(desk: Desk, spec: Manifest, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        await desk.bed.make(KIND, "mine", spec={"buckets": [{"name": "models"}], **spec})


async def test_the_name_of_the_secret_stays(desk: Desk) -> None:
    await desk.bed.make(KIND, "mine", spec={"buckets": [{"name": "models"}]})

    with pytest.raises(InvalidInput, match="secretName cannot be changed"):
        await desk.change("mine", secretName="another")
