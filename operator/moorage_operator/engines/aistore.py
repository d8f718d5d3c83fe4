"""NVIDIA AIStore: buckets by its own API, and no keys: it checks none, so that who reaches it may do everything.

Its S3 side takes no notice of sub-resources: `PUT /bucket?tagging` makes a bucket, and `DELETE /bucket?policy` would
delete it with all that is in it. So nothing of a bucket but its objects is ever asked by S3 here.

Source: AIStore 1.4 api/apc (actions, bucket properties), cmn/feat (feature flags).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from moorage.actions import Problem
from moorage.bucketpolicy import Grant
from moorage.contents import Retention, Version
from moorage.errors import NotOffered, NotReady
from moorage.features import Feature
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.plain import PlainEngine
from moorage_operator.s3 import DEADLINE, EngineRefused

OWNERS = "moorage-owners"  # a bucket of ours: an object per bucket, with the tags that AIStore does not keep
# Fsync-PUT, S3-API-via-Root, S3-Reverse-Proxy. Without the last, PUTs are redirected and most S3 tools do not follow.
FEATURES = 1 << 3 | 1 << 4 | 1 << 13
# ETags are MD5 sums then, as S3 tools expect them to be.
PROPERTIES = {"checksum": {"type": "md5"}, "versioning": {"enabled": True}}


class Aistore(PlainEngine):
    """`admin_url` is the proxy itself, `endpoint` its S3 side."""

    async def ensure_bucket(self, bucket: str, lock: bool = False) -> None:
        if lock:
            self.require(frozenset({Feature.object_lock}))
        await self.ensure_features()
        await self._create(bucket)

    async def tags(self, bucket: str) -> dict[str, str] | None:
        if not await self._exists(bucket):
            return None
        try:
            return json.loads(await self.s3.call("GET", f"/{OWNERS}/{bucket}"))
        except EngineRefused as error:
            if error.status != 404:
                raise
            return {}

    async def put_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        await self._create(OWNERS)
        await self.s3.call("PUT", f"/{OWNERS}/{bucket}", body=json.dumps(dict(tags), sort_keys=True).encode())

    async def retention(self, bucket: str, version: Version) -> Retention | None:
        return None

    async def retain(self, bucket: str, version: Version, wanted: Retention) -> None:
        self.require(frozenset({Feature.object_lock}))

    async def ensure_access(self, bucket: str, access: Mapping[str, Access], public_read: bool = False) -> bool:
        if public_read:
            self.require(frozenset({Feature.public_read}))
        return False

    async def access_stands(self, bucket: str, access: Mapping[str, Access], public_read: bool = False) -> bool:
        return True

    async def put_policy(self, bucket: str, access: Mapping[str, Access], public_read: bool) -> None:
        raise NotOffered("AIStore has no policies")

    async def remove_bucket(self, bucket: str) -> None:
        await self._api("DELETE", f"/v1/buckets/{bucket}", {"action": "destroy-bck"}, but=404)
        try:
            await self.s3.call("DELETE", f"/{OWNERS}/{bucket}")
        except EngineRefused as error:
            if error.status != 404:
                raise

    async def is_empty(self, bucket: str) -> bool:
        asked = {"action": "list", "value": {"pagesize": 1}}
        answer = await self._api("GET", f"/v1/buckets/{bucket}", asked, but=404)
        return not answer or not answer.get("entries")

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        """Any key works."""

    async def remove_key(self, access: str) -> None:
        """None was made."""

    async def key_works(self, key: Key, bucket: str) -> bool:
        return await self._exists(bucket)

    async def probe(self) -> Problem | None:
        """Also puts the features back: `ais config cluster features X` takes all others away, and tools fail then."""
        try:
            await self._api("GET", "/v1/health?prr=true")
            await self.ensure_features()
        except EngineRefused as error:
            return Problem("Unhealthy", str(error))
        except NotReady as error:
            return Problem("Unreachable", str(error))
        return None

    async def ensure_features(self) -> None:
        """The cluster's features with ours among them: always the whole list, for a part of it replaces all."""
        found = int((await self._api("GET", "/v1/daemon?what=config") or {}).get("features", "0"))
        if found & FEATURES != FEATURES:
            wanted = {"action": "set-config", "value": {"features": str(found | FEATURES)}}
            await self._api("PUT", "/v1/cluster", wanted)

    async def _create(self, bucket: str) -> None:
        wanted = {"action": "create-bck", "value": PROPERTIES}
        await self._api("POST", f"/v1/buckets/{bucket}", wanted, but=409)

    async def _exists(self, bucket: str) -> bool:
        return await self._api("HEAD", f"/v1/buckets/{bucket}", but=404) is not None

    async def _api(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, but: int | None = None
    ) -> dict[str, Any] | None:
        """The answer; None for the status `but`."""
        url, limit = self.spec.admin_url + path, aiohttp.ClientTimeout(total=DEADLINE)
        try:
            async with self.s3.session.request(method, url, json=body, timeout=limit) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotReady(f"{url} does not answer {method}: {type(error).__name__} {error}") from error
        if answer.status == but:
            return None
        if answer.status >= 300:
            refusal = NotReady if answer.status in (502, 503) else _refused
            raise refusal(f"{method} {url}: HTTP {answer.status} {text[:300].decode(errors='replace')}".rstrip())
        return _parsed(text)


def _refused(message: str) -> EngineRefused:
    return EngineRefused(message, 500, "")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        return json.loads(text or b"{}") or {}
    except ValueError:
        return {}
