"""HTTP/1.1 to the Kubernetes API on asyncio's own streams (RFC 9112).

An agent runs on every node, and a client library of its own costs it more memory than all else that it does: this
module is what of one an agent needs. Connections are kept and used again.
"""

import asyncio
import json
import os
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from moorage.errors import MoorageError, Retry

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONNECT = 10.0  # seconds
_IDLE = 4  # connections kept
_LINE = 64 * 2**20  # an object of the API server is at most some megabytes


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is, and how to speak to it."""

    url: str
    token_file: Path | None = None
    token: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @classmethod
    async def find(cls, environ: Mapping[str, str] = os.environ) -> "Access":
        """In a cluster by the service account, else by KUBECONFIG."""
        host = environ.get("KUBERNETES_SERVICE_HOST", "")
        if not host:
            return await cls._from_kubeconfig()
        port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        return cls(url, _ACCOUNT / "token", ca_file=str(_ACCOUNT / "ca.crt"))

    @classmethod
    async def _from_kubeconfig(cls) -> "Access":
        from kubernetes.aio import client, config  # pyright: ignore[reportMissingTypeStubs]

        found: Any = cast(Any, client).Configuration()
        await cast(Any, config).load_kube_config(client_configuration=found)
        token = str(found.api_key.get("BearerToken", "")).removeprefix("Bearer ")
        ca, cert, key = (str(each or "") for each in (found.ssl_ca_cert, found.cert_file, found.key_file))
        return cls(found.host, token=token, ca_file=ca, cert_file=cert, key_file=key)

    def tls(self) -> ssl.SSLContext | None:
        if not self.url.startswith("https://"):
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        # Many clusters' own authorities lack an extension that Python 3.13 demands by default (RFC 5280, strict).
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def authorization(self) -> str:
        """The token is read anew each time, because the kubelet rotates it."""
        try:
            token = self.token_file.read_text(encoding="ascii").strip() if self.token_file else self.token
        except FileNotFoundError:
            raise MoorageError(f"no ServiceAccount token at {self.token_file}: the pod must mount one") from None
        return f"Authorization: Bearer {token}\r\n" if token else ""


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False

    def close(self) -> None:
        with suppress(OSError, RuntimeError):
            self.writer.transport.abort()


@dataclass(slots=True)
class Answer:
    """The head of a response; its body comes by `parts`."""

    status: int
    headers: Mapping[str, str]
    connection: _Connection

    async def parts(self) -> AsyncGenerator[bytes]:
        reader = self.connection.reader
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while size := int((await reader.readline()).partition(b";")[0], 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
            while (await reader.readline()).strip():
                pass
        elif "content-length" in self.headers:
            yield await reader.readexactly(int(self.headers["content-length"]))
        else:
            yield await reader.read()

    @property
    def ends(self) -> bool:
        """Whether the connection is of no more use after the body."""
        told = {"transfer-encoding", "content-length"} & self.headers.keys()
        return not told or self.headers.get("connection", "").lower() == "close"


class Wire:
    """Requests to one server. What fails on the way is a Retry."""

    def __init__(self, access: Access) -> None:
        parts = urlsplit(access.url)
        self._access = access
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = access.tls()
        self._idle: deque[_Connection] = deque(maxlen=_IDLE)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def exchange(self, method: str, path: str, body: Any = None, seconds: float = 30.0) -> tuple[int, bytes]:
        """Status and body of the answer."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._ask(method, path, body)
                try:
                    text = b"".join([part async for part in answer.parts()])
                except BaseException:
                    answer.connection.close()
                    raise
        except (OSError, ValueError, EOFError) as error:
            raise Retry(f"API server: {method} {path}: {error or type(error).__name__}") from error
        self._keep(answer)
        return answer.status, text

    async def lines(self, path: str, seconds: float) -> AsyncGenerator[bytes]:
        """The answer to a GET, line by line as it comes, for at most so long. Any status: the server says it itself."""
        answer: Answer | None = None
        try:
            async with asyncio.timeout(seconds):
                answer = await self._ask("GET", path, None)
                buffer = b""
                async for part in answer.parts():
                    *lines, buffer = (buffer + part).split(b"\n")
                    for line in lines:
                        yield line
                if buffer:
                    yield buffer
        except (OSError, ValueError, EOFError) as error:
            raise Retry(f"API server: GET {path}: {error or type(error).__name__}") from error
        finally:
            if answer:
                answer.connection.close()

    async def _ask(self, method: str, path: str, body: Any) -> Answer:
        """Once more on a fresh connection when the server had closed a kept one."""
        head = self._head(method, path, body)
        while True:
            connection = await self._connection()
            try:
                connection.writer.write(head)
                await connection.writer.drain()
                return await _answer(connection)
            except (OSError, EOFError):
                connection.close()
                if not connection.used:
                    raise
            except BaseException:
                connection.close()
                raise

    def _head(self, method: str, path: str, body: Any) -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        lines = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: application/json\r\n"
        lines += self._access.authorization()
        if body is not None:
            lines += f"Content-Type: application/apply-patch+yaml\r\nContent-Length: {len(data)}\r\n"
        return f"{lines}\r\n".encode() + data

    async def _connection(self) -> _Connection:
        while self._idle:
            kept = self._idle.pop()
            if not kept.reader.at_eof() and not kept.writer.is_closing():
                return kept
            kept.close()
        async with asyncio.timeout(_CONNECT):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_LINE)
        return _Connection(reader, writer)

    def _keep(self, answer: Answer) -> None:
        if answer.ends or len(self._idle) == _IDLE:
            answer.connection.close()
            return
        answer.connection.used = True
        self._idle.append(answer.connection)


async def _answer(connection: _Connection) -> Answer:
    """Raises ValueError for what is no HTTP, EOFError when the head is not there to its end."""
    words = (await _line(connection)).split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("the answer is not HTTP: is the API server behind something else?")
    headers: dict[str, str] = {}
    while line := await _line(connection):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Answer(int(words[1]), headers, connection)


async def _line(connection: _Connection) -> bytes:
    line = await connection.reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the API server closed the connection")
    return line.strip()
