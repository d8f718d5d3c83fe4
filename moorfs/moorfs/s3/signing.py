"""Requests as they go on the wire, up to their bodies, signed by AWS Signature Version 4."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from moorage import sigv4
from moorage.sigv4 import Key, Signer
from moorfs.s3.endpoint import Endpoint

if TYPE_CHECKING:
    from moorfs.s3.call import Call

LONGEST = 1 << 16
"""Bodies up to here are hashed into the signature; above, a checksum header is signed instead."""


class Signing:
    """Of one bucket's requests. Any thread may ask; `skew` is what the engine's clock is ahead of ours."""

    def __init__(self, endpoint: Endpoint, region: str) -> None:
        self.skew = timedelta()
        self._endpoint = endpoint
        self._host = {"host": endpoint.authority}
        self._scope = sigv4.Scope(region)
        self._made: dict[str, tuple[tuple[int, Key, timedelta], Signer]] = {}

    def head(self, call: "Call", key: Key) -> bytes:
        """The request up to its body."""
        if call.method in ("GET", "HEAD", "DELETE") and not call.query and not _signed(call.headers):
            more = "".join(f"{name}: {value}\r\n" for name, value in call.headers.items())
            return self._signer(call.method, key).request(self._endpoint.path(call.key), more).encode()
        return self._whole(call, key)

    def heads(self, keys: Sequence[str], key: Key) -> bytes:
        """HEAD requests, one after the other."""
        signer, path = self._signer("HEAD", key), self._endpoint.path
        return "".join([signer.request(path(each)) for each in keys]).encode()

    def _whole(self, call: "Call", key: Key) -> bytes:
        path = self._endpoint.path(call.key)
        body = call.body if isinstance(call.body, bytes) and len(call.body) <= LONGEST else None
        digest = sigv4.UNSIGNED if body is None else ""
        request = sigv4.Request(call.method, path, {**self._host, **call.headers}, call.query, body or b"", digest)
        headers = sigv4.signed_headers(request, key, self._scope, self._now)
        if call.size or call.method in ("PUT", "POST"):
            headers["content-length"] = str(call.size)
        query = "?" + sigv4.encode_query(call.query) if call.query else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{call.method} {sigv4.encode_path(path)}{query} HTTP/1.1\r\n{lines}\r\n".encode()

    def _signer(self, method: str, key: Key) -> Signer:
        """Of this second: a signature says no finer time."""
        moment = (int(time.time()), key, self.skew)
        made = self._made.get(method)
        if made is None or made[0] != moment:
            made = self._made[method] = (moment, Signer(method, self._host, key, self._scope, self._now))
        return made[1]

    @property
    def _now(self) -> datetime:
        return datetime.now(UTC) + self.skew


def _signed(headers: Mapping[str, str]) -> bool:
    """Whether there are some that the signature must cover; conditions and ranges it need not (SigV4: host and
    x-amz-*)."""
    return any(name.startswith("x-amz-") for name in headers)
