"""A small client of the Kubernetes API: get, apply, patch, delete. Standard library only, so that the node stays small.

Requests run in threads with a time limit each; connections are kept and used again. The ServiceAccount's token is read
anew for every request, because the kubelet rotates it.
"""

import asyncio
import http.client
import json
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode, urlsplit

from moorage import names
from moorage.errors import AlreadyExists, Forbidden, InvalidInput, MoorageError, NotFound, Pending, Retry
from moorage_csi.api import Object

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SECONDS = 10.0
_IDLE = 4  # connections kept


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how to speak to it."""

    url: str
    token_file: Path
    ca_file: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Access":
        """As every pod finds it; MOORAGE_API_* override it for a driver that runs outside of a pod."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        url = environment.get("MOORAGE_API_URL") or f"https://{f'[{host}]' if ':' in host else host}:{port}"
        account = Path(environment.get("MOORAGE_API_ACCOUNT") or _ACCOUNT)
        return cls(url, account / "token", account / "ca.crt")


class RestApi:
    """The real client."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._idle: deque[http.client.HTTPConnection] = deque(maxlen=_IDLE)
        self._tls: ssl.SSLContext | None = None

    async def get(self, path: str) -> Object:
        return await self._request("GET", path)

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply under the driver's own field manager."""
        query = urlencode({"fieldManager": names.CSI_MANAGER, "force": "true"})
        return await self._request("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml")

    async def patch(self, path: str, body: Object) -> Object:
        """JSON merge patch."""
        query = urlencode({"fieldManager": names.CSI_MANAGER})
        return await self._request("PATCH", f"{path}?{query}", body, "application/merge-patch+json")

    async def delete(self, path: str, uid: str) -> None:
        """Delete the object if it is still the one with this uid."""
        await self._request("DELETE", path, {"preconditions": {"uid": uid}}, "application/json")

    async def _request(self, method: str, path: str, body: Object | None = None, content: str = "") -> Object:
        return await asyncio.to_thread(self._exchange, method, path, body, content)

    def _exchange(self, method: str, path: str, body: Object | None, content: str) -> Object:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token()}"}
        if content:
            headers["Content-Type"] = content
        kept = bool(self._idle)
        try:
            status, answer = self._send(method, path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            if not kept:
                raise self._unreachable(error) from None
            self._idle.clear()  # a kept connection may have been closed by the server meanwhile
            return self._exchange(method, path, body, content)
        return _parsed(status, answer, method, path)

    def _send(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response.status, answer

    def _connection(self) -> http.client.HTTPConnection:
        with suppress(IndexError):
            return self._idle.popleft()
        parts = urlsplit(self._access.url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._access.ca_file)
            # Many clusters' own authorities lack an extension that Python 3.13 demands by default (RFC 5280, strict).
            self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS, context=self._tls)

    def _token(self) -> str:
        try:
            return self._access.token_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise MoorageError(
                f"no ServiceAccount token at {self._access.token_file}: the pod must mount one"
            ) from None

    def _unreachable(self, error: Exception) -> Retry:
        return Retry(f"the Kubernetes API server at {self._access.url} does not answer: {error}")


_ERRORS: Mapping[int, type[MoorageError]] = {
    400: InvalidInput, 401: Forbidden, 403: Forbidden, 404: NotFound, 409: Pending, 410: Pending, 422: InvalidInput,
    429: Retry,
}  # fmt: skip


def _parsed(status: int, answer: bytes, method: str, path: str) -> Object:
    try:
        body: Object = json.loads(answer or b"{}")
    except ValueError:
        body = {"message": answer[:200].decode(errors="replace")}
    if status >= 400:
        _refuse(status, str(body.get("message", "")), body.get("reason") == "AlreadyExists", f"{method} {path}")
    return body


def _refuse(status: int, message: str, exists: bool, what: str) -> NoReturn:
    error = AlreadyExists if exists else _ERRORS.get(status, Retry if status >= 500 else MoorageError)
    raise error(f"the API server answered {status} to {what.partition('?')[0]}: {message}")
