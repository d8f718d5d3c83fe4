"""Bucket ends by plain S3 calls: the same on every flavor that speaks S3 well."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

import aiohttp

from moorage import features
from moorage.actions import Problem
from moorage.bucketpolicy import bucket_policy
from moorage.bucketsettings import BucketSettings
from moorage.contents import Retention, Version
from moorage.errors import Forbidden, MoorageError, NotOffered
from moorage.features import Feature
from moorage.model import Access, S3Engine
from moorage.sigv4 import Key
from moorage_operator import s3bucket, s3emptying, s3versions
from moorage_operator.engines.protocol import BucketUsage
from moorage_operator.s3 import S3, EngineRefused, KeyRefused, Query
from moorage_operator.s3versions import Page

_NO_SUCH_BUCKET = "moorage-probe"  # asking for it tells whether the key is good


class Turns:
    """One change at a time of what can only be read, changed and written back: a bucket's tags, its policy."""

    def __init__(self) -> None:
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def of(self, endpoint: str, bucket: str) -> AsyncGenerator[None]:
        lock = self._locks[endpoint, bucket]
        async with lock:
            yield
        if not lock.locked():
            self._locks.pop((endpoint, bucket), None)


@dataclass
class PlainEngine:
    """Buckets on a server that speaks S3. `admin` signs for the admin API, if it has one."""

    spec: S3Engine
    s3: S3
    turns: Turns = field(default_factory=Turns)
    quota_unit: ClassVar[int] = 1  # bytes; a quota is rounded down to such

    @property
    def features(self) -> frozenset[Feature]:
        return features.features(self.spec)

    @property
    def admin(self) -> S3:
        return replace(self.s3, endpoint=self.spec.admin_url)

    async def ensure_bucket(self, bucket: str, lock: bool = False) -> None:
        if lock:
            self.require(frozenset({Feature.object_lock}))
        await self.s3.ensure_bucket(bucket, lock)

    async def tags(self, bucket: str) -> dict[str, str] | None:
        return await self.s3.tags(bucket)

    async def put_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        await self.s3.put_tags(bucket, tags)

    async def settings(self, bucket: str) -> BucketSettings:
        s3, has = self.s3, self.features
        return BucketSettings(
            versioning=Feature.versioning in has and await s3.versioning(bucket) == "Enabled",
            lock=await s3bucket.lock(s3, bucket) if Feature.object_lock in has else None,
            lifecycle=await s3bucket.lifecycle(s3, bucket) if Feature.lifecycle in has else (),
            cors=await s3bucket.cors(s3, bucket) if Feature.cors in has else (),
            quota=await self.quota(bucket) if Feature.quota in has else None,
        )

    async def ensure_settings(self, bucket: str, wanted: BucketSettings) -> tuple[str, ...]:
        """Versioning first when it is turned on: a lock needs it."""
        self.require(wanted.needs)
        s3, has = self.s3, self.features
        changed = {
            "versioning": Feature.versioning in has and await s3.ensure_versioning(bucket, wanted.versioning),
            "lock": wanted.lock is not None and await s3bucket.ensure_lock(s3, bucket, wanted.lock),
            "lifecycle": Feature.lifecycle in has and await s3bucket.ensure_lifecycle(s3, bucket, wanted.lifecycle),
            "cors": Feature.cors in has and await s3bucket.ensure_cors(s3, bucket, wanted.cors),
            "quota": Feature.quota in has and await self.ensure_quota(bucket, wanted.quota),
        }
        return tuple(name for name, was in changed.items() if was)

    async def quota(self, bucket: str) -> int | None:
        """In bytes; for flavors that have quotas."""
        return None

    async def ensure_quota(self, bucket: str, quota: int | None) -> bool:
        """For flavors that have quotas; True when it had to be changed."""
        size = None if quota is None else max(quota // self.quota_unit, 1) * self.quota_unit
        if size == await self.quota(bucket):
            return False
        await self.put_quota(bucket, size)
        return True

    async def put_quota(self, bucket: str, size: int | None) -> None:
        """None takes it away; for flavors that have quotas."""

    async def versions(self, bucket: str, after: Query = ()) -> Page:
        if Feature.versioning in self.features:
            return await s3versions.versions(self.s3, bucket, after, inclusive=self.inclusive_markers)
        return await s3versions.objects(self.s3, bucket, after)

    @property
    def inclusive_markers(self) -> bool:
        """Whether a listing of versions begins with the very key that key-marker names."""
        return False

    async def retention(self, bucket: str, version: Version) -> Retention | None:
        return await s3versions.retention(self.s3, bucket, version)

    async def retain(self, bucket: str, version: Version, wanted: Retention) -> None:
        await s3versions.retain(self.s3, bucket, version, wanted)

    async def ensure_access(self, bucket: str, access: Mapping[str, Access], public_read: bool = False) -> bool:
        if public_read:
            self.require(frozenset({Feature.public_read}))
        if await self.access_stands(bucket, access, public_read):
            return False
        await self.put_policy(bucket, access, public_read)
        return True

    async def access_stands(self, bucket: str, access: Mapping[str, Access], public_read: bool = False) -> bool:
        return _same(await self.s3.policy(bucket), self.policy(bucket, access, public_read))

    async def put_policy(self, bucket: str, access: Mapping[str, Access], public_read: bool) -> None:
        policy = self.policy(bucket, access, public_read)
        if policy:
            await self.s3.ensure_policy(bucket, policy)
        else:
            await self.s3.ensure_no_policy(bucket)

    def policy(self, bucket: str, access: Mapping[str, Access], public_read: bool) -> str:
        """The bucket's policy (JSON) as this flavor takes it; "" for none."""
        return bucket_policy(bucket, self.principals(access), public_read)

    def principals(self, access: Mapping[str, Access]) -> Mapping[str, Access]:
        """By the names that the engine's bucket policies have for keys."""
        return access

    async def remove_bucket(self, bucket: str) -> None:
        await s3emptying.ensure_absent(self.s3, bucket)

    async def is_empty(self, bucket: str) -> bool:
        return await s3emptying.is_empty(self.s3, bucket)

    async def usage(self, bucket: str) -> BucketUsage | None:
        return None

    async def knows(self, key: Key) -> bool:
        """Whether the engine has this access key with this secret, whatever it opens."""
        try:
            await replace(self.s3, key=key).call("GET", "/")
        except KeyRefused:
            return False
        except (Forbidden, EngineRefused):
            return True
        return True

    async def key_works(self, key: Key, bucket: str) -> bool:
        return await replace(self.s3, key=key).works(bucket)

    async def probe(self) -> Problem | None:
        try:
            await self.s3.call("GET", f"/{_NO_SUCH_BUCKET}", (("location", ""),))
        except Forbidden as error:
            return Problem("CredentialsRefused", f"the root key of Secret {self.spec.credentials_secret.name}: {error}")
        except EngineRefused:
            return None
        except MoorageError as error:
            return Problem("Unreachable", str(error))
        return None

    def require(self, needed: frozenset[Feature]) -> None:
        """Raises NotOffered that names what is lacking."""
        if why := features.lacking(self.spec, needed):
            raise NotOffered(why)


def _same(one: str, other: str) -> bool:
    """Whether two policies are the same but for how they are written: engines put them into words of their own."""
    return one == other or _plain(one) == _plain(other)


def _plain(policy: str) -> list[Any]:
    """Its statements without names and order."""
    try:
        found: list[dict[str, Any]] = json.loads(policy or '{"Statement":[]}')["Statement"]
        return sorted(
            json.dumps({key: _set(value) for key, value in each.items() if key != "Sid"}, sort_keys=True)
            for each in found
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return [policy]


def _set(value: Any) -> Any:
    if isinstance(value, dict):  # of Principal
        value = cast(dict[str, Any], value).get("AWS", value)
    return sorted({value} if isinstance(value, str) else set(cast(list[str], value)))


async def healthy(session: aiohttp.ClientSession, url: str) -> Problem | None:
    """Whether a health page answers 200."""
    try:
        async with session.get(url) as answer:
            if answer.status != 200:
                return Problem("Unhealthy", f"{url} answers HTTP {answer.status}")
    except (aiohttp.ClientError, OSError) as error:
        return Problem("Unreachable", f"{url}: {error or type(error).__name__}")
    return None
