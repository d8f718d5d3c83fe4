"""A proxy before an engine that counts its calls and does to them what bad networks and bad engines do.

with fault.before(engine.port) as proxy:
    proxy.add(fault.Rule(method="GET", key="big", times=2, cut_answer=1000))
    ... a client with endpoint=proxy.endpoint ...
    assert proxy.count() == {"GET": 3}
"""

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from urllib.parse import unquote

PIECE = 1 << 16


@dataclass(frozen=True)
class Request:
    """What a client asked. `key`: the path after the bucket, decoded; empty for the bucket itself."""

    method: str
    path: str
    query: str
    headers: dict[str, str]

    @property
    def key(self) -> str:
        return unquote(self.path).lstrip("/").partition("/")[2]

    @property
    def kind(self) -> str:
        """LIST for a GET of the bucket, else the method."""
        return "LIST" if self.method == "GET" and not self.key else self.method


@dataclass
class Rule:
    """Of the requests that match `kind` (GET, LIST, PUT, ...), `key` (None: any) and words in `query`, and only of the
    first `times` after `skip` of them. What happens, in this order:

    `hold`: wait until it is set. `delay`: seconds. `act`: called with the request. `status` (with `code`, `headers`):
    answered without asking the engine. `cut_request`: bytes of the body that reach the engine before all is broken.
    `lose_answer`: the engine does it, and nobody is told. `cut_answer`: bytes of the answer's body before it breaks.
    `throttle`: bytes a second of the answer. `edit`: called with the engine's headers, which it may change.
    """

    kind: str | None = None
    key: str | None = None
    query: str = ""
    times: int | None = None
    skip: int = 0
    hold: threading.Event | None = None
    delay: float = 0.0
    act: Callable[[Request], None] | None = None
    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut_request: int | None = None
    lose_answer: bool = False
    cut_answer: int | None = None
    throttle: int = 0
    edit: Callable[[dict[str, str]], None] | None = None
    used: int = 0

    def matches(self, request: Request) -> bool:
        fits = (
            self.kind in (None, request.kind)
            and self.key in (None, request.key)
            and self.query in request.query
            and (self.times is None or self.used < self.times + self.skip)
        )
        self.used += fits
        return fits and self.used > self.skip


class Broken(Exception):
    """End this connection, hard."""


class Proxy:
    """One thread for each connection. `calls`: every request that came, in order."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.calls: list[Request] = []
        self.connections = 0
        """How many clients have made."""
        self.port = 0
        self.up()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """No rules, no calls counted."""
        with self._lock:
            self._rules.clear()
            self.calls.clear()

    def count(self) -> dict[str, int]:
        """Calls by kind since the beginning, or `clear`."""
        with self._lock:
            return dict(Counter(each.kind for each in self.calls))

    def up(self) -> None:
        """Listen (again), on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """New connections are refused; those there are break."""
        listener, self._listener = self._listener, None
        if listener:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for each in self._open:
                _reset(each)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._to), 30)
        ends = {client, server}
        for each in ends:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= ends
        try:
            with client.makefile("rb") as asked, server.makefile("rb") as answered:
                while self._one(client, server, asked, answered):
                    pass
        except (OSError, Broken, ValueError):
            _reset(client)
        finally:
            with self._lock:
                self._open -= ends
            for each in ends:
                each.close()

    def _one(
        self, client: socket.socket, server: socket.socket, asked: BufferedReader, answered: BufferedReader
    ) -> bool:
        """One request and its answer; whether another may follow."""
        first, headers = _head(asked)
        if not first:
            return False
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        request = Request(method, path, query, headers)
        rule = self._rule(request)
        if rule.hold:
            rule.hold.wait()
        time.sleep(rule.delay)
        if rule.act:
            rule.act(request)
        if headers.pop("expect", ""):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _body(asked, headers, method == "GET" or "content-length" not in headers)
        if rule.status:
            for _ in body:
                pass
            client.sendall(_error(rule, method))
            return True
        server.sendall(_text(first, headers))
        _relay(body, server, rule.cut_request, 0)
        return self._answer(client, answered, rule, method)

    def _answer(self, client: socket.socket, answered: BufferedReader, rule: Rule, method: str) -> bool:
        first, headers = _head(answered)
        if not first or rule.lose_answer:
            raise Broken
        if rule.edit:
            rule.edit(headers)
        client.sendall(_text(first, headers))
        status = int(first.split(" ")[1])
        body = _body(answered, headers, method == "HEAD" or status in (204, 304))
        _relay(body, client, rule.cut_answer, rule.throttle)
        return headers.get("connection", "").lower() != "close"

    def _rule(self, request: Request) -> Rule:
        with self._lock:
            self.calls.append(request)
            return next((each for each in self._rules if each.matches(request)), Rule())


def _head(file: BufferedReader) -> tuple[str, dict[str, str]]:
    first = file.readline().decode("latin-1").rstrip("\r\n")
    headers: dict[str, str] = {}
    while line := file.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first, headers


def _body(file: BufferedReader, headers: dict[str, str], none: bool) -> Iterator[bytes]:
    """Pieces as they are on the wire."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        yield from _chunks(file)
        return
    left = 0 if none else int(headers.get("content-length", "0"))
    while left and (piece := file.read1(min(left, PIECE))):
        left -= len(piece)
        yield piece
    if left:
        raise Broken


def _chunks(file: BufferedReader) -> Iterator[bytes]:
    while True:
        line = file.readline()
        size = int(line.partition(b";")[0], 16)
        yield line + (file.read(size + 2) if size else b"")
        if not size:
            while True:
                trailer = file.readline()
                yield trailer
                if trailer in (b"\r\n", b""):
                    return


def _relay(pieces: Iterator[bytes], to: socket.socket, cut: int | None, throttle: int) -> None:
    for piece in pieces:
        if cut is not None and len(piece) > cut:
            to.sendall(piece[:cut])
            raise Broken
        to.sendall(piece)
        if cut is not None:
            cut -= len(piece)
        if throttle:
            time.sleep(len(piece) / throttle)
    if cut is not None:
        raise Broken


def _text(first: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{first}\r\n{lines}\r\n".encode("latin-1")


def _error(rule: Rule, method: str) -> bytes:
    code = f"<Code>{rule.code}</Code>" if rule.code else ""
    body = f"<?xml version='1.0'?><Error>{code}<Message>by a rule of the test</Message></Error>".encode()
    headers = {"content-type": "application/xml", "content-length": str(len(body)), **rule.headers}
    return _text(f"HTTP/1.1 {rule.status} Rule", headers) + (b"" if method == "HEAD" else body)


def _reset(end: socket.socket) -> None:
    """Break it so that the other side sees ECONNRESET."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def before(port: int) -> Iterator[Proxy]:
    """A proxy to 127.0.0.1:`port`, for the block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.down()
