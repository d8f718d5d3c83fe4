"""The control socket: what the mounter asks of a running moorfs. The protocol is told in `settings`."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

from moorage import framing
from moorage.errors import DeadlineExceeded, MoorageError, NotOffered, NotReady
from moorage.framing import Fields

log = logging.getLogger(__name__)

Method = Callable[[Fields], Fields]

MOST = 1 << 20  # bytes of JSON
_REQUEST_SECONDS = 5.0  # for a caller to say what it wants, and to take its answer


class Control:
    """Answers each connection in a thread of its own; there are few."""

    def __init__(self, path: str, methods: Mapping[str, Method], answered: Callable[[Fields], None]) -> None:
        """`answered` is called with each answer when it is sent, or when nobody takes it."""
        self._path = path
        self._methods = methods
        self._answered = answered
        self._socket = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        """Listens when it returns. What an earlier process left at the path is replaced in one step."""
        fresh = f"{self._path}.{os.getpid() % 1000}"
        _remove(fresh)
        before = os.umask(0o177)
        try:
            self._socket.bind(fresh)
        finally:
            os.umask(before)
        self._socket.listen(8)
        os.rename(fresh, self._path)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), name="control-request", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        answer: Fields = {}
        with connection:
            try:
                connection.settimeout(_REQUEST_SECONDS)
                answer = self._answer(connection)
                send(connection, answer)
            except OSError as error:
                log.debug("a caller of the control socket went away: %s", error)
        self._answered(answer)

    def _answer(self, connection: socket.socket) -> Fields:
        try:
            _check_peer(connection)
            request = receive(connection)
        except MoorageError as error:
            return {"code": error.code, "message": str(error)}
        return self._done(request)

    def _done(self, request: Fields) -> Fields:
        try:
            method = self._methods.get(str(request.get("method")))
            if method is None:
                raise NotOffered(f"moorfs knows {', '.join(self._methods)}, nothing else")
            return {"code": "OK", **method(request)}
        except MoorageError as error:
            return {"code": error.code, "message": str(error)}
        except Exception as error:
            log.exception("a request to the control socket failed")
            return {"code": "INTERNAL", "message": f"moorfs failed ({error!r}); its log says where"}


def ask(path: str, request: Fields, seconds: float = 10.0) -> Fields:
    """One request, and its answer. NotReady where nobody listens (yet), DeadlineExceeded when it takes longer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(path)
            send(connection, request)
            return receive(connection)
        except TimeoutError:
            raise DeadlineExceeded(f"moorfs did not answer in {seconds:.0f} s") from None
        except OSError as error:
            raise NotReady(f"moorfs does not listen at {path}: {error.strerror}") from None


def send(connection: socket.socket, message: Fields) -> None:
    connection.sendall(framing.packed(message))


def receive(connection: socket.socket) -> Fields:
    """The next message; InvalidInput for what is none."""
    length = framing.length(_exactly(connection, framing.HEAD), MOST)
    return framing.parsed(_exactly(connection, length))


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        if not (piece := connection.recv(length - len(data))):
            raise ConnectionResetError("the other side went away")
        data += piece
    return bytes(data)


def _check_peer(connection: socket.socket) -> None:
    """Forbidden unless root, or whoever we are, has opened the connection."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, framing.CREDENTIALS)
    framing.check_peer(credentials, os.geteuid(), "moorfs")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
