"""versitygw: users by its admin API, and what they may do by the policy of each bucket.

Source: versitygw 1.8 s3api/admin-router.go; calls are signed as S3 calls with the root key.
"""

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from moorage.actions import Problem
from moorage.bucketpolicy import Grant
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.plain import PlainEngine, healthy
from moorage_operator.s3 import S3, EngineRefused

HEALTH = "/health"


class Versitygw(PlainEngine):
    """Keys are users of role `user`, who may do what policies say and make no buckets."""

    @property
    def inclusive_markers(self) -> bool:
        return True

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        """A key that works stays as it is: pods may be at work with it. What it opens, policies say."""
        if not await self.knows(key):
            await ensure_user(self.admin, key)

    async def remove_key(self, access: str) -> None:
        await ensure_no_user(self.admin, access)

    async def probe(self) -> Problem | None:
        return await healthy(self.s3.session, self.spec.endpoint + HEALTH) or await super().probe()

    async def put_policy(self, bucket: str, access: Mapping[str, Access], public_read: bool) -> None:
        """It refuses policies that name a user who is gone: then such a one is left out."""
        try:
            await super().put_policy(bucket, access, public_read)
        except EngineRefused as error:
            if error.s3_code != "MalformedPolicy":
                raise
            users = await list_users(self.admin)
            known = {key: each for key, each in access.items() if key in users}
            await super().put_policy(bucket, known, public_read)


async def ensure_user(admin: S3, key: Key) -> None:
    """A user with exactly this secret; one that exists with another secret makes way.

    Never /update-user: versitygw 1.8 then keeps a string of the request's buffer in its cache of accounts, and when the
    buffer is used again, other users are refused (IAMCache.UpdateUserAccount does not copy; CreateAccount does).
    """
    try:
        await _create_user(admin, key)
    except EngineRefused as error:
        if error.status != 409:
            raise
        await ensure_no_user(admin, key.access)
        await _create_user(admin, key)


async def _create_user(admin: S3, key: Key) -> None:
    account = (
        f"<Account><Access>{escape(key.access)}</Access><Secret>{escape(key.secret)}</Secret>"
        "<Role>user</Role><UserID/><GroupID/></Account>"
    )
    await admin.call("PATCH", "/create-user", body=account.encode())


async def ensure_no_user(admin: S3, access: str) -> None:
    """Unknown users are fine: versitygw answers 200 for them."""
    try:
        await admin.call("PATCH", "/delete-user", (("access", access),))
    except EngineRefused as error:
        if error.status != 404:
            raise


async def list_users(admin: S3) -> frozenset[str]:
    """Access keys of all users. The answer has their secrets too: it goes nowhere else."""
    tree = ElementTree.fromstring(await admin.call("PATCH", "/list-users"))  # noqa: S314 as in moorage_operator.s3
    return frozenset(each.text or "" for each in tree.iter() if each.tag.rpartition("}")[2] == "Access")
