"""Why no tenant's key may set dates or holds (test_bucket_locks.py): what versitygw 1.8 would make of them."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bed import until
from botocore.exceptions import ClientError
from s3engines.server import Server
from s3engines.stories import key_of, refused

from moorage.bucketpolicy import Grant
from moorage.sigv4 import Key

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


@pytest.fixture(scope="session")
def server(s3_server: Any) -> Server:
    return Server("versitygw", s3_server.endpoint, Key(s3_server.access, s3_server.secret), s3_server.admin_endpoint)


async def locked(server: Server, bucket: str, *actions: str) -> tuple[Any, Any]:
    """Clients of root and of a key that may also do `actions`, in a bucket whose rule is Compliance for a day."""
    async with server.opened() as engine:
        await engine.ensure_bucket(bucket, lock=True)
    key = await key_of(server, bucket, Grant(bucket))
    root = server.boto()
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    root.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    policy = json.loads(root.get_bucket_policy(Bucket=bucket)["Policy"])
    policy["Statement"].append(
        {
            **{"Sid": "More", "Effect": "Allow", "Principal": {"AWS": [key.access]}},
            **{"Action": list(actions), "Resource": [f"arn:aws:s3:::{bucket}/*"]},
        }
    )
    root.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    return root, server.boto(key)


async def freed(client: Any, this: dict[str, str]) -> bool:
    return not await asyncio.to_thread(refused, lambda: client.delete_object(**this))


def soon(**more: Any) -> datetime:
    return datetime.now(UTC) + timedelta(**more or {"seconds": 3})


async def taken(call: Callable[[], Any]) -> Any:
    """The answer, once a machine that is busy gives the date before it is over."""

    async def answer() -> Any:
        try:
            return await asyncio.to_thread(call)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidArgument", error
            return None

    async def story() -> str:
        return "the server finds every date over"

    return await until(answer, story)


async def test_a_key_that_could_set_dates_could_free_what_only_the_rule_holds(server: Server) -> None:
    """A version without a date of its own takes any, and then the rule holds it no more. One that has a date takes none
    but a later one; a policy cannot ask for that first one to be late enough, as the server knows no such condition."""
    root, client = await locked(server, "dates", "s3:PutObjectRetention")
    this, other = (
        {"Bucket": "dates", "Key": key, "VersionId": client.put_object(Bucket="dates", Key=key)["VersionId"]}
        for key in ("dated", "undated")
    )

    def date(which: dict[str, str], until: datetime) -> Any:
        return client.put_object_retention(**which, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until})

    date(this, soon(days=2))
    date(this, soon(days=3))
    await taken(lambda: date(other, soon()))

    assert refused(lambda: date(this, soon(days=1)))
    assert not await freed(client, this)
    assert await until(lambda: freed(client, other), lambda: still_held(other))
    assert root.get_object_lock_configuration(Bucket="dates")["ObjectLockConfiguration"]["Rule"]


async def test_a_hold_holds_no_longer_than_the_date_beside_it(server: Server) -> None:
    """versitygw 1.8 looks no further once a version's own date is over."""
    root, client = await locked(server, "holds", "s3:PutObjectLegalHold")
    lock = {"ObjectLockMode": "GOVERNANCE"}
    put = await taken(
        lambda: root.put_object(Bucket="holds", Key="k", **lock, ObjectLockRetainUntilDate=soon(seconds=5))
    )
    this = {"Bucket": "holds", "Key": "k", "VersionId": put["VersionId"]}

    client.put_object_legal_hold(**this, LegalHold={"Status": "ON"})

    assert client.get_object_legal_hold(**this)["LegalHold"]["Status"] == "ON"
    assert await until(lambda: freed(client, this), lambda: still_held(this))


async def still_held(this: dict[str, str]) -> str:
    return f"{this} is still held"
