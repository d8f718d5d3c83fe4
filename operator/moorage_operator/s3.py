"""Signed S3 calls on one server with one key: just what buckets need, over aiohttp."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import aiohttp
from yarl import URL

from moorage import sigv4
from moorage.errors import Forbidden, MoorageError, NotReady
from moorage_operator import s3xml

Query = tuple[tuple[str, str], ...]

DEADLINE = 20.0  # seconds per call
NOT_IMPLEMENTED = 501  # an engine has no such thing: its settings read as off

_GONE = frozenset({"NoSuchBucket", "NoSuchUpload"})


class EngineRefused(MoorageError):
    """The S3 engine said no. `s3_code` is its error code."""

    def __init__(self, message: str, status: int, s3_code: str) -> None:
        super().__init__(message)
        self.status = status
        self.s3_code = s3_code


class KeyRefused(Forbidden):
    """The engine does not know the access key, or not with this secret."""


_NOT_THIS_KEY = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})


@dataclass(frozen=True, slots=True)
class S3:
    """A server, a key, and the session that carries the calls."""

    session: aiohttp.ClientSession
    endpoint: str
    region: str
    key: sigv4.Key = field(repr=False)

    async def call(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """The answer's body; raises EngineRefused, Forbidden, or NotReady when nobody answers."""
        scheme, _, where = self.endpoint.partition("://")
        host, slash, beneath = where.partition("/")
        whole = f"{slash}{beneath}{path}"
        request = sigv4.Request(method, whole, {"host": host, **(headers or {})}, query, body)
        signed = sigv4.signed_headers(request, self.key, sigv4.Scope(self.region), datetime.now(UTC))
        url = f"{scheme}://{host}" + sigv4.encode_path(whole) + (f"?{sigv4.encode_query(query)}" if query else "")
        try:
            status, text = await self._send(method, url, signed, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotReady(f"{self.endpoint} does not answer {method}: {type(error).__name__} {error}") from error
        if status >= 300:
            raise _refusal(f"{method} {self.endpoint}{path}", status, text)
        return text

    async def _send(self, method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        # encoded=True: the URL must go out byte for byte as it was signed.
        async with self.session.request(
            method, URL(url, encoded=True), headers=headers, data=body, timeout=timeout, allow_redirects=False
        ) as answer:
            return answer.status, await answer.read()

    async def delete(self, path: str, query: Query = ()) -> None:
        """Also of what is gone already."""
        try:
            await self.call("DELETE", path, query)
        except EngineRefused as error:
            if error.status != 404 and error.s3_code not in _GONE:
                raise

    # Buckets. Each states an end, and may be called again.

    async def ensure_bucket(self, bucket: str, lock: bool = False) -> None:
        """`lock`: a new one is made so that it can lock objects."""
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if lock else None
        try:
            await self.call("PUT", f"/{bucket}", headers=headers)
        except EngineRefused as error:
            if error.s3_code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    async def exists(self, bucket: str) -> bool:
        try:
            await self.call("HEAD", f"/{bucket}")
        except EngineRefused as error:
            if error.status != 404:
                raise
            return False
        return True

    async def tags(self, bucket: str) -> dict[str, str] | None:
        """The bucket's own tags; None when there is no such bucket."""
        try:
            tree = s3xml.parse(await self.call("GET", f"/{bucket}", (("tagging", ""),)))
        except EngineRefused as error:
            if error.s3_code == "NoSuchTagSet":  # MinIO says so of buckets that are not there, too
                return {} if await self.exists(bucket) else None
            if error.s3_code == "NoSuchBucket":
                return None
            raise
        return {
            s3xml.text(tag, "Key") or "": s3xml.text(tag, "Value") or ""
            for each in tree
            for tag in s3xml.children(each, "Tag")
        }

    async def put_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        """These and no others."""
        inside = "".join(
            f"<Tag><Key>{escape(key)}</Key><Value>{escape(tags[key])}</Value></Tag>" for key in sorted(tags)
        )
        body = f"<Tagging><TagSet>{inside}</TagSet></Tagging>".encode()
        await self.call("PUT", f"/{bucket}", (("tagging", ""),), body, {"content-md5": s3xml.md5(body)})

    async def policy(self, bucket: str) -> str:
        """The bucket's policy as JSON; "" when it has none."""
        try:
            return (await self.call("GET", f"/{bucket}", (("policy", ""),))).decode()
        except EngineRefused as error:
            if error.s3_code in ("NoSuchBucketPolicy", "NoSuchBucket") or error.status == NOT_IMPLEMENTED:
                return ""
            raise

    async def ensure_policy(self, bucket: str, policy: str) -> None:
        await self.call("PUT", f"/{bucket}", (("policy", ""),), policy.encode())

    async def ensure_no_policy(self, bucket: str) -> None:
        await self.delete(f"/{bucket}", (("policy", ""),))

    async def versioning(self, bucket: str) -> str:
        """Enabled, Suspended, or "" for a bucket that never had it."""
        try:
            answer = await self.call("GET", f"/{bucket}", (("versioning", ""),))
        except EngineRefused as error:
            if error.status != NOT_IMPLEMENTED:
                raise
            return ""
        return s3xml.text(s3xml.parse(answer), "Status") or ""

    async def ensure_versioning(self, bucket: str, on: bool) -> bool:
        """Versioning can be suspended, never taken back; a bucket that never had it is left alone. True: changed."""
        seen, wanted = await self.versioning(bucket), "Enabled" if on else "Suspended"
        if seen == wanted or (not on and not seen):
            return False
        xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
        body = f'<VersioningConfiguration xmlns="{xmlns}"><Status>{wanted}</Status></VersioningConfiguration>'
        await self.call("PUT", f"/{bucket}", (("versioning", ""),), body.encode())
        return True

    async def works(self, bucket: str) -> bool:
        """Whether this key can list the bucket; raises NotReady when nobody answers."""
        try:
            await self.call("GET", f"/{bucket}", (("list-type", "2"), ("max-keys", "1")))
        except (EngineRefused, Forbidden):
            return False
        return True


def _refusal(what: str, status: int, text: bytes) -> MoorageError:
    try:
        tree = s3xml.parse(text)
        code, message = s3xml.text(tree, "Code") or "", s3xml.text(tree, "Message") or ""
    except NotReady:
        code, message = "", ""
    if status >= 500 and status != 501:
        return NotReady(f"{what}: HTTP {status} {code} {message}".rstrip())
    if status == 403:
        refused = KeyRefused if code in _NOT_THIS_KEY else Forbidden
        return refused(f"{what}: {code or 'AccessDenied'} {message}".rstrip())
    return EngineRefused(f"{what}: HTTP {status} {code} {message}".rstrip(), status, code)
