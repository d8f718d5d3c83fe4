"""All S3 engines of the backends: their root keys, sessions by flavor, and what plans ask of them."""

import base64
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import assert_never

import aiohttp

from moorage import names
from moorage.actions import MakeBucket, MakeKey, Manifest, Reference, RemoveBucket, RemoveKey, part
from moorage.bucketfacts import access_key
from moorage.bucketowner import Owner
from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.bucketwish import Look
from moorage.contents import Contents
from moorage.errors import InUse, NotFound, NotReady
from moorage.model import Access, S3Engine, S3Flavor, SecretRef
from moorage.sigv4 import Key
from moorage_operator.cluster import Cluster
from moorage_operator.engines import keys, walks
from moorage_operator.engines.aistore import Aistore
from moorage_operator.engines.keys import Admission, Who
from moorage_operator.engines.minio import Minio
from moorage_operator.engines.plain import Turns
from moorage_operator.engines.protocol import ObjectEngine
from moorage_operator.engines.rgw import Rgw
from moorage_operator.engines.static import Static
from moorage_operator.engines.versitygw import Versitygw
from moorage_operator.s3 import S3

CA = "ca.crt"


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

    def __init__(self, cluster: Cluster, who: Who = lambda name: None) -> None:
        """`who`: who may use a Bucket now, by its namespace and name, besides its own key."""
        self._cluster = cluster
        self._turns = Turns()
        self._admission = Admission(self._turns, who)

    async def has_root_key(self, engine: S3Engine) -> bool:
        """False when its Secret is gone, or holds no key."""
        return key_in(await self._secret(engine.credentials_secret)) is not None

    async def root_key(self, engine: S3Engine) -> Key:
        """Raises NotReady that names the Secret when there is no key in it."""
        ref = engine.credentials_secret
        key = key_in(await self._secret(ref))
        if key is None:
            wanted = f"{names.SECRET_ACCESS_KEY_ID} and {names.SECRET_SECRET_ACCESS_KEY}"
            raise NotReady(f"Secret {ref.namespace}/{ref.name} with the root key is missing or lacks {wanted}")
        return key

    async def handed(self, engine: S3Engine) -> Key | None:
        """The root key, where the backend says that Buckets get it; raises NotReady when it is missing."""
        return await self.root_key(engine) if engine.share_credential else None

    async def authority(self, engine: S3Engine) -> str | None:
        """The certificate (PEM) that signed the server's; None: a public one did. Raises NotReady when it is gone."""
        ref = engine.ca_secret
        if ref is None:
            return None
        try:
            return base64.b64decode(part(await self._secret(ref), "data")[CA]).decode()
        except (KeyError, ValueError) as error:
            raise NotReady(f"Secret {ref.namespace}/{ref.name} is missing or lacks {CA}") from error

    async def _secret(self, ref: SecretRef) -> Manifest | None:
        return await self._cluster.get(Reference("v1", "Secret", ref.name, ref.namespace))

    @asynccontextmanager
    async def open(self, engine: S3Engine) -> AsyncGenerator[ObjectEngine]:
        """The engine as its flavor speaks, for one piece of work."""
        root, trusted = await self.root_key(engine), _trusted(await self.authority(engine))
        connector = aiohttp.TCPConnector(limit=4, ssl=trusted)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield speaker(engine, S3(session, engine.endpoint, engine.region, root), self._turns)

    async def make(self, wanted: MakeBucket) -> None:
        """Owner, settings, key, and proof with the key itself; every step may be repeated.

        Raises InUse when the bucket belongs to another Bucket, NotOffered for what the engine lacks.
        """
        key = Key(wanted.access_key, wanted.secret_key)
        async with self.open(wanted.engine) as engine:
            if wanted.adopts is None:
                locked = wanted.settings is not None and wanted.settings.lock is not None
                await engine.ensure_bucket(wanted.bucket, locked)
            async with self._turns.of(wanted.engine.endpoint, f"{wanted.bucket} owner"):
                await _own(engine, wanted)
            if wanted.adopts and wanted.adopts.uid:  # whoever still has the last owner's key is locked out
                await engine.remove_key(access_key(wanted.adopts.uid))
            await engine.ensure_key(key, (Grant(wanted.bucket),))
            name, own = (wanted.owner.namespace, wanted.owner.name), {key.access: Access.ReadWrite}
            await self._admission.write(engine, wanted.engine, name, wanted.bucket, own)
            if wanted.settings is not None:
                await engine.ensure_settings(wanted.bucket, wanted.settings)
            if not await engine.key_works(key, wanted.bucket):
                raise NotReady(f"bucket {wanted.bucket} does not let its own key in yet")

    async def remove(self, wanted: RemoveBucket) -> None:
        """The key first, so that nobody writes into a bucket that is being emptied.

        A bucket that says that it is another's stays as it is.
        """
        async with self.open(wanted.engine) as engine:
            await engine.remove_key(wanted.access_key)
            tags = await engine.tags(wanted.bucket)
            if tags is None or Owner.of(tags) not in (None, wanted.owner):
                return
            if wanted.keep:
                await engine.put_tags(wanted.bucket, {**tags, **wanted.owner.tags})
                await engine.ensure_access(wanted.bucket, {})
            elif wanted.empties or not (await walks.contents(engine, wanted.bucket, lock=None)).objects:
                await engine.remove_bucket(wanted.bucket)
            else:  # somebody wrote after the last look
                raise InUse(f"bucket {wanted.bucket} is not empty: delete what is in it, or write emptyOnDelete: true")

    async def look(self, engine: S3Engine, owner: Owner, bucket: str, key: str) -> Look | None:
        """The bucket as it is; None when nobody answers. `key`: access key of its own."""
        try:
            async with self.open(engine) as opened:
                tags = await opened.tags(bucket)
                if tags is None:
                    return Look(BucketSettings(), {}, exists=False)
                own, name = {key: Access.ReadWrite}, (owner.namespace, owner.name)
                stands = await self._admission.stands(opened, engine, name, bucket, own)
                return Look(await opened.settings(bucket), tags, stands)
        except NotReady:
            return None

    async def contents(self, engine: S3Engine, bucket: str, empties: bool) -> Contents:
        """What stands in the way of destroying it, if it is to be emptied, or not; raises NotReady."""
        async with self.open(engine) as opened:
            if await opened.tags(bucket) is None:
                return Contents()
            lock = (await opened.settings(bucket)).lock
            return await walks.contents(opened, bucket, lock) if lock or not empties else Contents()

    async def make_key(self, wanted: MakeKey) -> None:
        async with self.open(wanted.engine) as engine:
            await keys.make_key(engine, self._admission, wanted)

    async def remove_key(self, wanted: RemoveKey) -> None:
        async with self.open(wanted.engine) as engine:
            await keys.remove_key(engine, self._admission, wanted)

    async def owner(self, engine: S3Engine, bucket: str) -> tuple[bool, Owner | None]:
        """Whether the bucket exists, and whose it says that it is; raises NotReady when nobody answers."""
        async with self.open(engine) as opened:
            tags = await opened.tags(bucket)
        return tags is not None, Owner.of(tags or {})

    async def key_works(self, engine: S3Engine, bucket: str, secret: Manifest | None) -> bool | None:
        """Whether the Secret's key opens the bucket, and it says whose it is; None when the engine does not answer."""
        key = key_in(secret)
        if key is None:
            return False
        try:
            async with self.open(engine) as opened:
                works = await opened.key_works(key, bucket)
                return works and Owner.of(await opened.tags(bucket) or {}) is not None
        except NotReady:
            return None


def speaker(spec: S3Engine, s3: S3, turns: Turns) -> ObjectEngine:
    """The module of the engine's flavor."""
    match spec.flavor:
        case S3Flavor.versitygw:
            return Versitygw(spec, s3, turns)
        case S3Flavor.minio:
            return Minio(spec, s3, turns)
        case S3Flavor.rgw:
            return Rgw(spec, s3, turns)
        case S3Flavor.aistore:
            return Aistore(spec, s3, turns)
        case S3Flavor.s3:
            return Static(spec, s3, turns)
    assert_never(spec.flavor)


async def _own(engine: ObjectEngine, wanted: MakeBucket) -> None:
    """Its tags, beside those that an administrator may have put there; raises InUse, or NotFound."""
    tags = await engine.tags(wanted.bucket)
    if tags is None:
        raise NotFound(f"bucket {wanted.bucket} does not exist on {wanted.engine.endpoint}")
    owner = Owner.of(tags)
    if owner not in (wanted.owner, wanted.adopts):
        raise InUse(f"bucket {wanted.bucket} belongs to {owner or 'nobody that it names'}: it is not taken from there")
    kept = {key: value for key, value in tags.items() if key not in wanted.dropped}
    whole = {**kept, **wanted.tags, **wanted.owner.tags}
    if whole != tags:
        await engine.put_tags(wanted.bucket, whole)


def _trusted(authority: str | None) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cadata=authority) if authority else True
