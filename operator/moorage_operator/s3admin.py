"""Users of a versitygw (its admin API), and the two ends that a plan asks for: a bucket with its key, or neither.

Source: versitygw 1.8 s3api/admin-router.go; calls are signed as S3 calls with the root key.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from xml.sax.saxutils import escape

import aiohttp

from moorage import names
from moorage.actions import MakeBucket, Manifest, Reference, RemoveBucket, part
from moorage.bucketfacts import access_key
from moorage.bucketowner import Owner
from moorage.errors import InUse, NotFound, NotReady
from moorage.model import S3Engine
from moorage.sigv4 import Key
from moorage_operator.cluster import Cluster
from moorage_operator.s3 import S3, EngineRefused


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
        self._owning = asyncio.Lock()  # tags cannot be compared and swapped: one change of owner at a time

    async def has_root_key(self, engine: S3Engine) -> bool:
        """False when its Secret is gone, or holds no key."""
        ref = engine.credentials_secret
        return key_in(await self._cluster.get(Reference("v1", "Secret", ref.name, ref.namespace))) is not None

    async def root_key(self, engine: S3Engine) -> Key:
        """Raises NotReady that names the Secret when there is no key in it."""
        ref = engine.credentials_secret
        key = key_in(await self._cluster.get(Reference("v1", "Secret", ref.name, ref.namespace)))
        if key is None:
            wanted = f"{names.SECRET_ACCESS_KEY_ID} and {names.SECRET_SECRET_ACCESS_KEY}"
            raise NotReady(f"Secret {ref.namespace}/{ref.name} with the root key is missing or lacks {wanted}")
        return key

    async def make(self, wanted: MakeBucket) -> None:
        """Owner, user, policy, versioning, and proof with the user's own key; every step may be repeated.

        Raises InUse when the bucket belongs to another Bucket.
        """
        engine, root = wanted.engine, await self.root_key(wanted.engine)
        own = Key(wanted.access_key, wanted.secret_key)
        async with _session() as session:
            admin = S3(session, engine.admin_endpoint, engine.region, root)
            s3 = S3(session, engine.endpoint, engine.region, root)
            if wanted.adopts is None:
                await s3.ensure_bucket(wanted.bucket)
            async with self._owning if wanted.adopts else nullcontext():
                await _own(s3, wanted)
            if wanted.adopts and wanted.adopts.uid:  # whoever still has the last owner's key is locked out
                await ensure_no_user(admin, access_key(wanted.adopts.uid))
            theirs = S3(session, engine.endpoint, engine.region, own)
            if not await theirs.works(wanted.bucket):  # a key that works stays: pods may be at work with it
                await ensure_user(admin, own)
            await s3.ensure_policy(wanted.bucket, wanted.policy)
            await s3.ensure_versioning(wanted.bucket, wanted.versioning)
            if not await theirs.works(wanted.bucket):
                raise NotReady(f"bucket {wanted.bucket} does not let its own key in yet")

    async def remove(self, wanted: RemoveBucket) -> None:
        """The user first, so that nobody writes into a bucket that is being emptied.

        A bucket that says that it is another's stays as it is.
        """
        engine, root = wanted.engine, await self.root_key(wanted.engine)
        async with _session() as session:
            await ensure_no_user(S3(session, engine.admin_endpoint, engine.region, root), wanted.access_key)
            s3 = S3(session, engine.endpoint, engine.region, root)
            tags = await s3.tags(wanted.bucket)
            if tags is None or Owner.of(tags) not in (None, wanted.owner):
                return
            if wanted.keep:
                await s3.put_tags(wanted.bucket, {**tags, **wanted.owner.tags})
                await s3.ensure_no_policy(wanted.bucket)
            else:
                await s3.ensure_absent(wanted.bucket)

    async def owner(self, engine: S3Engine, bucket: str) -> tuple[bool, Owner | None]:
        """Whether the bucket exists, and whose it says that it is; raises NotReady when nobody answers."""
        root = await self.root_key(engine)
        async with _session() as session:
            tags = await S3(session, engine.endpoint, engine.region, root).tags(bucket)
        return tags is not None, Owner.of(tags or {})

    async def key_works(self, engine: S3Engine, bucket: str, secret: Manifest | None) -> bool | None:
        """Whether the Secret's key opens the bucket, and it says whose it is; None when the engine does not answer."""
        key = key_in(secret)
        if key is None:
            return False
        try:
            async with _session() as session:
                works = await S3(session, engine.endpoint, engine.region, key).works(bucket)
            return works and (await self.owner(engine, bucket))[1] is not None
        except NotReady:
            return None


async def _own(s3: S3, wanted: MakeBucket) -> None:
    """The owner's tags, beside those that an administrator may have put there; raises InUse, or NotFound."""
    tags = await s3.tags(wanted.bucket)
    if tags is None:
        raise NotFound(f"bucket {wanted.bucket} does not exist on {s3.endpoint}")
    owner = Owner.of(tags)
    if owner == wanted.owner:
        return
    if owner != wanted.adopts:
        raise InUse(f"bucket {wanted.bucket} belongs to {owner or 'nobody that it names'}: it is not taken from there")
    await s3.put_tags(wanted.bucket, {**tags, **wanted.owner.tags})


@asynccontextmanager
async def _session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session:
        yield session
