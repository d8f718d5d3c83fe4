"""Ceph's RADOS gateway: a user per key, who makes no buckets and may do what bucket policies say; quotas; usage.

Source: https://docs.ceph.com/en/pacific/radosgw/adminops/ and rgw_rest_metadata.cc. The root key's user needs the
capabilities users, buckets and metadata (`radosgw-admin caps add --caps="users=*;buckets=*;metadata=*"`). A secret goes
in the body of the metadata call and never in a query, which the gateway would write into its log.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from moorage.bucketpolicy import Grant
from moorage.errors import NotFound
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.plain import PlainEngine
from moorage_operator.engines.protocol import BucketUsage
from moorage_operator.s3 import EngineRefused

JSON = ("format", "json")
# 16.2 refuses policies with actions that it does not know.
_UNKNOWN = frozenset({"s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"})


class Rgw(PlainEngine):
    """What a key opens, bucket policies say."""

    quota_unit = 1024

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        """A key that works stays as it is: pods may be at work with it."""
        if await self.knows(key):
            return
        uid = _uid(key.access)
        found = await self._metadata(uid)
        if found is None:
            # max-buckets: -1 is "none at all"
            new = (("uid", uid), ("display-name", uid), ("generate-key", "false"), ("max-buckets", "-1"), JSON)
            await self.admin.call("PUT", "/admin/user", new)
            found = await self._metadata(uid)
        if found is None:
            raise NotFound(f"user {uid} is not there after it was made on {self.admin.endpoint}")
        found["data"]["keys"] = [{"user": uid, "access_key": key.access, "secret_key": key.secret}]
        await self.admin.call("PUT", "/admin/metadata/user", (("key", uid),), json.dumps(found).encode())

    async def remove_key(self, access: str) -> None:
        try:
            await self.admin.call("DELETE", "/admin/user", (("uid", _uid(access)),))
        except EngineRefused as error:
            if error.status != 404:
                raise

    def principals(self, access: Mapping[str, Access]) -> Mapping[str, Access]:
        return {f"arn:aws:iam:::user/{_uid(key)}": each for key, each in access.items()}

    def policy(self, bucket: str, access: Mapping[str, Access], public_read: bool) -> str:
        text = super().policy(bucket, access, public_read)
        if not text:
            return text
        body: dict[str, Any] = json.loads(text)
        for each in body["Statement"]:
            each["Action"] = [action for action in each["Action"] if action not in _UNKNOWN]
        return json.dumps(body, separators=(",", ":"))

    async def quota(self, bucket: str) -> int | None:
        found = (await self._stats(bucket)).get("bucket_quota", {})
        return found.get("max_size") if found.get("enabled") and found.get("max_size", -1) >= 0 else None

    async def put_quota(self, bucket: str, size: int | None) -> None:
        owner = (await self._stats(bucket)).get("owner", "")
        kib, on = ("-1", "false") if size is None else (str(size // self.quota_unit), "true")
        query = (("quota", ""), ("uid", owner), ("bucket", bucket), ("max-size-kb", kib), ("enabled", on), JSON)
        await self.admin.call("PUT", "/admin/bucket", query)

    async def usage(self, bucket: str) -> BucketUsage | None:
        pools: dict[str, dict[str, int]] = (await self._stats(bucket)).get("usage", {})
        main = pools.get("rgw.main", {})
        return BucketUsage(main.get("num_objects", 0), main.get("size_actual", main.get("size", 0)))

    async def _stats(self, bucket: str) -> dict[str, Any]:
        return json.loads(await self.admin.call("GET", "/admin/bucket", (("bucket", bucket), ("stats", "true"), JSON)))

    async def _metadata(self, uid: str) -> dict[str, Any] | None:
        try:
            return json.loads(await self.admin.call("GET", "/admin/metadata/user", (("key", uid),)))
        except EngineRefused as error:
            if error.status != 404:
                raise
            return None


def _uid(access: str) -> str:
    return f"moorage-{access}"
