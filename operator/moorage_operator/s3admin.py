"""Users of a versitygw (its admin API), and the two ends that a plan asks for: a bucket with its key, or neither.

Source: versitygw 1.8 s3api/admin-router.go; calls are signed as S3 calls with the root key.
"""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from xml.sax.saxutils import escape

import aiohttp

from moorage import names
from moorage.actions import MakeBucket, Manifest, Reference, RemoveBucket, part
from moorage.errors import NotReady
from moorage.model import S3Engine
from moorage.sigv4 import Key
from moorage_operator.cluster import Cluster
from moorage_operator.s3 import S3, EngineRefused


async def ensure_user(admin: S3, key: Key) -> None:
    """A user with exactly this secret; one that exists with another secret gets this one."""
    account = (
        f"<Account><Access>{escape(key.access)}</Access><Secret>{escape(key.secret)}</Secret>"
        "<Role>user</Role><UserID/><GroupID/></Account>"
    )
    try:
        await admin.call("PATCH", "/create-user", body=account.encode())
    except EngineRefused as error:
        if error.status != 409:
            raise
        props = f"<MutableProps><Secret>{escape(key.secret)}</Secret></MutableProps>"
        await admin.call("PATCH", "/update-user", (("access", key.access),), props.encode())


async def ensure_no_user(admin: S3, access: str) -> None:
    """Unknown users are fine: versitygw answers 200 for them."""
    try:
        await admin.call("PATCH", "/delete-user", (("access", access),))
    except EngineRefused as error:
        if error.status != 404:
            raise


def key_in(secret: Manifest | None) -> Key | None:
    """The key that a Secret holds under the names of AWS tools."""
    data = part(secret, "data")
    try:
        parts = (data[names.SECRET_ACCESS_KEY_ID], data[names.SECRET_SECRET_ACCESS_KEY])
        access, private = (base64.b64decode(part).decode() for part in parts)
    except (KeyError, ValueError):
        return None
    return Key(access, private)


class Engines:
    """The S3 engines of the backends: sessions, root keys, and the work on buckets."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def root_key(self, engine: S3Engine) -> Key:
        """Raises NotReady that names the Secret when there is no key in it."""
        ref = engine.credentials_secret
        key = key_in(await self._cluster.get(Reference("v1", "Secret", ref.name, ref.namespace)))
        if key is None:
            wanted = f"{names.SECRET_ACCESS_KEY_ID} and {names.SECRET_SECRET_ACCESS_KEY}"
            raise NotReady(f"Secret {ref.namespace}/{ref.name} with the root key is missing or lacks {wanted}")
        return key

    async def make(self, wanted: MakeBucket) -> None:
        """User, bucket, policy, versioning, and proof with the user's own key; every step may be repeated."""
        engine, root = wanted.engine, await self.root_key(wanted.engine)
        own = Key(wanted.access_key, wanted.secret_key)
        async with _session() as session:
            await ensure_user(S3(session, engine.admin_endpoint, engine.region, root), own)
            s3 = S3(session, engine.endpoint, engine.region, root)
            await s3.ensure_bucket(wanted.bucket)
            await s3.ensure_policy(wanted.bucket, wanted.policy)
            await s3.ensure_versioning(wanted.bucket, wanted.versioning)
            if not await S3(session, engine.endpoint, engine.region, own).works(wanted.bucket):
                raise NotReady(f"bucket {wanted.bucket} does not let its own key in yet")

    async def remove(self, wanted: RemoveBucket) -> None:
        """The user first, so that nobody writes into a bucket that is being emptied."""
        engine, root = wanted.engine, await self.root_key(wanted.engine)
        async with _session() as session:
            await ensure_no_user(S3(session, engine.admin_endpoint, engine.region, root), wanted.access_key)
            s3 = S3(session, engine.endpoint, engine.region, root)
            await (s3.ensure_no_policy(wanted.bucket) if wanted.keep else s3.ensure_absent(wanted.bucket))

    async def key_works(self, engine: S3Engine, bucket: str, secret: Manifest | None) -> bool | None:
        """Whether the Secret's key opens the bucket; None when the engine does not answer."""
        key = key_in(secret)
        if key is None:
            return False
        try:
            async with _session() as session:
                return await S3(session, engine.endpoint, engine.region, key).works(bucket)
        except NotReady:
            return None


@asynccontextmanager
async def _session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session:
        yield session
