"""MinIO: a user per key, whose policy has its grants; quotas; usage as the scanner counted it last.

Source: MinIO cmd/admin-router.go. Most admin calls that carry a secret want a body encrypted by MinIO's own scheme
(argon2id and AES-GCM), which no package of the operator's image does. `import-iam` takes the same in a zip archive
without; so the secret is as safe on its way as the endpoint's TLS makes it, as with the other engines.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from moorage.actions import Problem
from moorage.bucketpolicy import Grant, user_policy
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.plain import PlainEngine, healthy
from moorage_operator.engines.protocol import BucketUsage
from moorage_operator.s3 import EngineRefused, Query

ADMIN = "/minio/admin/v3"
HEALTH = "/minio/health/ready"
_NEVER = "0001-01-01T00:00:00Z"


class Minio(PlainEngine):
    """Keys carry their grants: bucket policies are for public reading alone."""

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        policy = user_policy(grants)
        if await self._stands(key.access, policy) and await self.knows(key):
            return
        name = _policy_name(key.access)
        files = {
            "policies.json": {name: json.loads(policy or '{"Version":"2012-10-17","Statement":[]}')},
            "users.json": {key.access: {"secretKey": key.secret, "status": "enabled"}},
            "user_mappings.json": {key.access: {"version": 1, "policy": name, "updatedAt": _NEVER}},
        }
        await self.admin.call("PUT", f"{ADMIN}/import-iam", body=_archive(files))

    async def remove_key(self, access: str) -> None:
        await self._forget("remove-user", "accessKey", access)
        await self._forget("remove-canned-policy", "name", _policy_name(access))

    def principals(self, access: Mapping[str, Access]) -> Mapping[str, Access]:
        return {}

    async def quota(self, bucket: str) -> int | None:
        found = await self._ask("get-bucket-quota", (("bucket", bucket),))
        return found.get("size") or found.get("quota") or None

    async def put_quota(self, bucket: str, size: int | None) -> None:
        body = {"quota": size or 0, "size": size or 0, "quotatype": "hard"} if size else {"quota": 0}
        await self.admin.call("PUT", f"{ADMIN}/set-bucket-quota", (("bucket", bucket),), json.dumps(body).encode())

    async def usage(self, bucket: str) -> BucketUsage | None:
        """None until the scanner has seen the bucket."""
        buckets: dict[str, dict[str, int]] = (await self._ask("datausageinfo")).get("bucketsUsageInfo") or {}
        mine = buckets.get(bucket)
        return BucketUsage(mine.get("objectsCount", 0), mine.get("size", 0)) if mine else None

    async def probe(self) -> Problem | None:
        return await healthy(self.s3.session, self.spec.endpoint + HEALTH) or await super().probe()

    async def _stands(self, access: str, policy: str) -> bool:
        """Whether the user is there, enabled, with this very policy."""
        try:
            user = await self._ask("user-info", (("accessKey", access),))
            found = await self._ask("info-canned-policy", (("name", _policy_name(access)),))
        except EngineRefused as error:
            if error.status != 404:
                raise
            return False
        named = user.get("policyName") == _policy_name(access) and user.get("status") == "enabled"
        return named and _actions(found) == _actions(json.loads(policy or "{}"))

    async def _ask(self, what: str, query: Query = ()) -> dict[str, Any]:
        return json.loads(await self.admin.call("GET", f"{ADMIN}/{what}", query))

    async def _forget(self, what: str, name: str, value: str) -> None:
        try:
            await self.admin.call("DELETE", f"{ADMIN}/{what}", ((name, value),))
        except EngineRefused as error:
            if error.status != 404:
                raise


def _policy_name(access: str) -> str:
    return f"moorage-{access}"


def _actions(policy: dict[str, Any]) -> set[tuple[str, str]]:
    """What a policy allows where, whatever the order."""
    return {
        (action, resource)
        for each in policy.get("Statement") or ()
        for action in each.get("Action", ())
        for resource in each.get("Resource", ())
    }


def _archive(files: Mapping[str, Any]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in files.items():
            archive.writestr(f"iam-assets/{name}", json.dumps(value))
    return made.getvalue()
