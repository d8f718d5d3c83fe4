"""What tenants' keys may do about object lock, call by call, on a real versitygw: no less, and no dates of their own.

Why no key may set a date, not even a later one: test_engine_locks.py.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from bed import Bed, until
from botocore.exceptions import ClientError
from filled import boto, key_in

LOCK = {"mode": "Governance", "days": 3}
OFF = {"AccessDenied", "ObjectLocked", "InvalidBucketState"}
Calls = dict[str, Callable[[], Any]]

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


async def verdict(call: Callable[[], Any]) -> str:
    """`ok`, or the engine's error code; of a deletion of many, that of its one object."""
    try:
        answer = await asyncio.to_thread(call)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return next((each["Code"] for each in answer.get("Errors", ())), "ok")


def allowed(client: Any, bucket: str, held: str) -> Calls:
    """What work with a locked bucket needs. `held`: the version of object `k`."""
    this = {"Bucket": bucket, "Key": "k", "VersionId": held}
    client.put_object(Bucket=bucket, Key="marked")
    marker = client.delete_object(Bucket=bucket, Key="marked")
    return {
        "read a held version": lambda: client.get_object(**this),
        "read its date": lambda: client.get_object_retention(**this),
        "read the rule": lambda: client.get_object_lock_configuration(Bucket=bucket),
        "write": lambda: client.put_object(Bucket=bucket, Key="new", Body=b"1"),
        "overwrite, which keeps the held version": lambda: client.put_object(Bucket=bucket, Key="k", Body=b"2"),
        "copy": lambda: client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k"),
        "delete, which leaves a marker": lambda: client.delete_object(Bucket=bucket, Key="k"),
        "delete a marker": lambda: client.delete_object(Bucket=bucket, Key="marked", VersionId=marker["VersionId"]),
    }


def denied(client: Any, bucket: str, held: str) -> Calls:
    this = {"Bucket": bucket, "Key": "k", "VersionId": held}
    soon, far = (datetime.now(UTC) + timedelta(**each) for each in ({"seconds": 30}, {"days": 9}))
    stamp = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": far}
    many = {"Objects": [{"Key": "k", "VersionId": held}]}
    unlocked = {"ObjectLockEnabled": "Enabled"}
    suspended = {"Status": "Suspended"}

    def dated(mode: str, until: datetime, **more: bool) -> Callable[[], Any]:
        return lambda: client.put_object_retention(**this, Retention={"Mode": mode, "RetainUntilDate": until}, **more)

    return {
        "delete a held version": lambda: client.delete_object(**this),
        "the same past the rule": lambda: client.delete_object(**this, BypassGovernanceRetention=True),
        "the same among many": lambda: client.delete_objects(Bucket=bucket, Delete=many),
        "among many past the rule": lambda: client.delete_objects(
            Bucket=bucket, Delete=many, BypassGovernanceRetention=True
        ),
        "an earlier date": dated("GOVERNANCE", soon),
        "an earlier date past the rule": dated("GOVERNANCE", soon, BypassGovernanceRetention=True),
        "a later date": dated("GOVERNANCE", far),
        "a stricter mode": dated("COMPLIANCE", far),
        "a hold": lambda: client.put_object_legal_hold(**this, LegalHold={"Status": "ON"}),
        "no hold": lambda: client.put_object_legal_hold(**this, LegalHold={"Status": "OFF"}),
        "write with a date": lambda: client.put_object(Bucket=bucket, Key="own", Body=b"1", **stamp),
        "write with a hold": lambda: client.put_object(
            Bucket=bucket, Key="own", Body=b"1", ObjectLockLegalHoldStatus="ON"
        ),
        "copy with a date": lambda: client.copy_object(Bucket=bucket, Key="own", CopySource=f"{bucket}/k", **stamp),
        "upload in parts with a date": lambda: client.create_multipart_upload(Bucket=bucket, Key="own", **stamp),
        "no rule": lambda: client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=unlocked),
        "no versions": lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=suspended),
    }


async def test_keys_work_in_a_locked_bucket_and_change_no_lock(bed: Bed) -> None:
    await bed.make("Bucket", "logs", spec={"versioning": True, "objectLock": LOCK})
    await bed.condition("logs", "Ready", "True", "Bucket")
    for access in ("ReadWrite", "Admin"):
        named = {"name": "logs", "access": access}
        await bed.make("BucketKey", access.lower(), spec={"buckets": [named]})
        await bed.condition(access.lower(), "Ready", "True", "BucketKey")

    for name in ("logs-s3", "readwrite-key", "admin-key"):
        secret = key_in(await bed.get("Secret", name, "v1") or {})
        client, bucket = boto(secret), secret["BUCKET"]
        held = (await asyncio.to_thread(client.put_object, Bucket=bucket, Key="k", Body=b"1"))["VersionId"]
        this = {"Bucket": bucket, "Key": "k", "VersionId": held}
        before = await stamped(client, this)
        refused = {what: await verdict(call) for what, call in denied(client, bucket, held).items()}
        table = await asyncio.to_thread(allowed, client, bucket, held)
        done = {what: await verdict(call) for what, call in table.items()}

        assert set(done.values()) == {"ok"}, f"{name}: {done}"
        assert set(refused.values()) <= OFF, f"{name}: {refused}"
        assert await stamped(client, this) == before, name


async def stamped(client: Any, this: dict[str, str]) -> Any:
    """The date of a version, once the operator has given it one."""

    async def told() -> Any:
        try:
            return (await asyncio.to_thread(client.get_object_retention, **this))["Retention"]
        except ClientError:
            return None

    async def story() -> str:
        return f"{this} got no date of its own"

    return await until(told, story)


async def test_a_form_can_not_give_a_date_either(bed: Bed) -> None:
    """versitygw takes an upload by a signed form, and no date from it: what comes so is stamped as everything is."""
    await bed.make("Bucket", "logs", spec={"versioning": True, "objectLock": {**LOCK, "mode": "Compliance"}})
    await bed.condition("logs", "Ready", "True", "Bucket")
    secret = key_in(await bed.get("Secret", "logs-s3", "v1") or {})
    client, bucket = boto(secret), secret["BUCKET"]
    fields = {
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
    }
    asked = [{name: value} for name, value in fields.items()]
    form = client.generate_presigned_post(bucket, "form", Fields=fields, Conditions=asked)

    await asyncio.to_thread(requests.post, form["url"], data=form["fields"], files={"file": b"1"}, timeout=10)
    listed = await asyncio.to_thread(client.list_object_versions, Bucket=bucket)
    for each in listed.get("Versions", ()):
        kept = await stamped(client, {"Bucket": bucket, "Key": "form", "VersionId": each["VersionId"]})
        assert kept["Mode"] == "COMPLIANCE"
