"""A first look at a bucket, for programs that would mount it without one: one signed listing of one key.

rclone mounts a bucket that is not there, with a key that opens nothing, and its users get errors later. And an rclone
that starts on a cache with unsaved files while the server is away takes objects for absent: so it must not.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from moorage import sigv4
from moorage.errors import MoorageError, NotFound, NotReady, Unauthenticated

if TYPE_CHECKING:
    import ssl

_SECONDS = 20.0
_MOST = 64 * 1024  # bytes of an answer that are looked at
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_MEANINGS: Mapping[str, type[MoorageError]] = {
    "NoSuchBucket": NotFound,
    "InvalidAccessKeyId": Unauthenticated,
    "SignatureDoesNotMatch": Unauthenticated,
    "AccessDenied": Unauthenticated,
}


async def check(endpoint: str, region: str, bucket: str, prefix: str, key: sigv4.Key, ca: str = "") -> None:
    """The key lists the bucket; raises NotFound, Unauthenticated or NotReady. `ca`: PEM of who signed the server."""
    try:
        async with asyncio.timeout(_SECONDS):
            status, body = await _list(urlsplit(endpoint), region, bucket, prefix, key, ca)
    except TimeoutError:
        raise NotReady(f"{endpoint} did not answer for {_SECONDS:g} s: is it running?") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise NotReady(f"{endpoint} cannot be reached: {error}") from None
    if status == 200:
        return
    found = _CODE.search(body)
    code = found[1].decode() if found else f"HTTP status {status}"
    kind = _MEANINGS.get(code, NotReady)
    raise kind(f"{endpoint} does not list bucket {bucket} with the key of its Secret: {code}")


def _trust(ca: str) -> "ssl.SSLContext":
    import ssl  # megabytes that a mounter without TLS does not need

    return ssl.create_default_context(cadata=ca or None)


async def _list(
    server: SplitResult, region: str, bucket: str, prefix: str, key: sigv4.Key, ca: str
) -> tuple[int, bytes]:
    query = (("list-type", "2"), ("max-keys", "1"), *((("prefix", f"{prefix}/"),) if prefix else ()))
    path = f"{server.path.rstrip('/')}/{bucket}"
    request = sigv4.Request("GET", path, {"host": server.netloc}, query)
    headers = sigv4.signed_headers(request, key, sigv4.Scope(region), datetime.now(UTC))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET {sigv4.encode_path(path)}?{sigv4.encode_query(query)} HTTP/1.1\r\n{lines}connection: close\r\n\r\n"
    secure = server.scheme == "https"
    trust = _trust(ca) if secure else None
    reader, writer = await asyncio.open_connection(server.hostname, server.port or (443 if secure else 80), ssl=trust)
    try:
        writer.write(head.encode())
        await writer.drain()
        status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
        return int(status) if status.isdigit() else 0, await reader.read(_MOST)
    finally:
        writer.close()
