"""One HTTP/1.1 connection to the engine, on a plain or a TLS socket.

Why not http.client: its parser of headers (the email package) costs more than all the rest of a small call, it copies
bodies through Python buffers, and it cannot sendfile.
"""

import select
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from moorfs.ports import Range, StoreError
from moorfs.s3.bodies import send_file, send_read, wait_in_kernel
from moorfs.s3.reply import Lost, Reply, brief, number, parsed

if TYPE_CHECKING:
    import ssl

PIECE = 1 << 20
MOST_HEAD = 1 << 17


class Connection:
    """`keep`: whether it can carry another request; true only after a whole answer was read."""

    def __init__(self, made: socket.socket, secure: bool, timeout: float) -> None:
        """`timeout`: seconds that the engine may be silent, or take nothing."""
        self._socket = made
        self._secure = secure
        self._timeout = timeout
        if secure:
            made.settimeout(timeout)
        else:
            wait_in_kernel(made, timeout)
        self._poll = select.poll()
        self._poll.register(made, select.POLLIN | select.POLLRDHUP)
        self._rest = b""
        self.keep = False
        self.used_before = False
        self.got = 0
        """Bytes of bodies that came in."""

    def close(self) -> None:
        self._socket.close()

    @property
    def tls_session(self) -> "ssl.SSLSession | None":
        """For the next connection; None on a plain socket."""
        return getattr(self._socket, "session", None)

    def shut(self) -> None:
        """Wake whoever waits on it in another thread; it gets Lost."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._socket.close()

    def quiet(self) -> bool:
        """Whether nothing came and nobody closed it while it was idle."""
        return not self._poll.poll(0)

    # Sending.

    def send(self, head: bytes, body: bytes | Range = b"") -> None:
        """Lost(sent=False) when it broke before all was out, unless the engine answered early: then read the answer."""
        self.keep = False
        try:
            self._send(head, body)
        except StoreError:  # of the file, not of the network
            raise
        except OSError as error:
            if not self._answers_early():
                raise Lost(_why(error), sent=False) from error

    def _send(self, head: bytes, body: bytes | Range) -> None:
        if isinstance(body, bytes):
            if len(body) <= 16384:
                self._socket.sendall(head + body)
                return
            self._socket.sendall(head)
            self._socket.sendall(body)
        elif self._secure:
            self._socket.sendall(head)
            send_read(self._socket, body)
        else:
            self._socket.sendall(head, socket.MSG_MORE)
            send_file(self._socket, body, self._timeout)

    def _answers_early(self) -> bool:
        """An engine that refuses a long body answers and closes: the answer is worth more than the broken pipe."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(200))

    # Receiving.

    def until_reply(self, on_reply: Callable[[int], None], on_wait: Callable[[], None]) -> None:
        """Tell whom it concerns that an answer is waited for: what a TLS socket gets may be something else."""
        if self._secure:
            on_wait()
        else:
            on_reply(self._socket.fileno())

    def reply(self, bodiless: bool, on_wait: Callable[[], None] = lambda: None) -> Reply:
        """The head of the answer. `bodiless`: it was a HEAD request, so no body follows whatever the headers say.
        `on_wait`: called before the wait for its second part."""
        while (reply := parsed(self._head(on_wait))).status < 200:
            on_wait()
        if bodiless or reply.status in (204, 304):
            reply.length = 0
        elif reply.headers.get("transfer-encoding", "").lower() == "chunked":
            reply.chunked = True
        elif "content-length" in reply.headers:
            reply.length = number(reply.headers["content-length"])
        if reply.length == 0:
            self._finished(reply)
        return reply

    def brief(self) -> Reply:
        """The answer to a HEAD request, with what it says of the object only: quicker than `reply`."""
        while (reply := brief(self._head())).status < 200:
            pass
        self._finished(reply)
        return reply

    def body(self, reply: Reply, most: int = 64 << 20) -> bytes:
        """The whole body; Lost when it is cut or longer than `most`."""
        pieces: list[bytes] = []
        for piece in self.pieces(reply):
            pieces.append(bytes(piece))
            most -= len(piece)
            if most < 0:
                raise Lost("the answer is longer than anything that was asked")
        return b"".join(pieces)

    def pieces(self, reply: Reply) -> Iterator[bytes | memoryview]:
        """The body; each piece is good until the next. Lost when it ends too early."""
        if reply.length == 0:
            return
        if reply.chunked:
            yield from self._chunks()
        elif reply.length is None:
            yield from self._until_closed()
            return
        else:
            yield from self._counted(reply.length)
        self._finished(reply)

    def _finished(self, reply: Reply) -> None:
        self.keep = reply.headers.get("connection", "").lower() != "close" and not self._rest

    def _head(self, on_wait: Callable[[], None] = lambda: None) -> bytes:
        buffer = self._rest
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if buffer:
                on_wait()
            if len(buffer) > MOST_HEAD:
                raise Lost("the engine's answer is no HTTP")
            buffer += self._receive()
        self._rest = buffer[end + 4 :]
        return buffer[:end]

    def _receive(self, most: int = 65536) -> bytes:
        try:
            got = self._socket.recv(most)
        except OSError as error:
            raise Lost(_why(error)) from error
        if not got:
            raise Lost("the engine closed the connection before its answer was whole")
        return got

    def _counted(self, left: int) -> Iterator[bytes | memoryview]:
        first, self._rest = self._rest[:left], self._rest[left:]
        if first:
            left -= len(first)
            self.got += len(first)
            yield first
        if left:
            yield from self._into(memoryview(bytearray(min(left, PIECE))), left)

    def _into(self, buffer: memoryview, left: int) -> Iterator[memoryview]:
        while left:
            try:
                got = self._socket.recv_into(buffer, min(left, len(buffer)), 0 if self._secure else socket.MSG_WAITALL)
            except OSError as error:
                raise Lost(_why(error)) from error
            if not got:
                raise Lost("the engine closed the connection before its answer was whole")
            left -= got
            self.got += got
            yield buffer[:got]

    def _until_closed(self) -> Iterator[bytes]:
        if self._rest:
            yield self._rest
            self._rest = b""
        while True:
            try:
                got = self._socket.recv(65536)
            except OSError as error:
                raise Lost(_why(error)) from error
            if not got:
                return
            yield got

    def _chunks(self) -> Iterator[bytes | memoryview]:
        while True:
            size = number(self._line().partition(";")[0], 16)
            if not size:
                while self._line():
                    pass
                return
            yield from self._counted(size)
            if self._line():
                raise Lost("the engine's chunks do not fit together")

    def _line(self) -> str:
        while (end := self._rest.find(b"\r\n")) < 0:
            self._rest += self._receive()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line.decode("latin-1").strip()


def _why(error: OSError) -> str:
    if isinstance(error, BlockingIOError):  # see `wait_in_kernel`
        return "the engine is silent"
    return str(error) or type(error).__name__
