"""Connections to one endpoint, kept open and used again: the last one put back goes out first."""

import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from moorage.errors import InvalidInput
from moorfs.s3.connection import Connection
from moorfs.s3.endpoint import Endpoint
from moorfs.s3.reply import Lost

if TYPE_CHECKING:
    import ssl

OLDEST = 50.0  # servers and load balancers drop idle connections after 60 s or more


class Distrusted(Exception):
    """The server's certificate is not one that the CA made for this name."""


class Pool:
    """Any thread takes and gives back. `connect_timeout` and `timeout` (of a silent connection) in seconds."""

    def __init__(
        self,
        endpoint: Endpoint,
        ca_file: str | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        most_idle: int = 32,
    ) -> None:
        self._endpoint = endpoint
        self._ca_file = ca_file
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._most_idle = most_idle
        self._idle: deque[tuple[float, Connection]] = deque()
        self._busy: set[Connection] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._tls = self._trust() if endpoint.secure else None
        self._session: ssl.SSLSession | None = None

    def take(self) -> Connection:
        """An idle connection, or a new one; Lost (nothing was sent) or Distrusted."""
        return self._busied(self._take_idle() or self._open())

    def idle(self) -> Connection | None:
        """An idle connection, without waiting."""
        connection = self._take_idle()
        return self._busied(connection) if connection else None

    def _busied(self, connection: Connection) -> Connection:
        with self._lock:
            if self._closed:
                connection.close()
                raise Lost("the store is being closed", sent=False)
            self._busy.add(connection)
        return connection

    def give(self, connection: Connection) -> None:
        """Back after use; one that cannot be used again is closed."""
        with self._lock:
            self._busy.discard(connection)
            if connection.keep and not self._closed and len(self._idle) < self._most_idle:
                connection.used_before = True
                self._idle.append((time.monotonic(), connection))
                return
            # engines that close after each answer: the next handshake is a short one (TLS 1.3 tickets come late)
            self._session = connection.tls_session or self._session
        connection.close()

    def forget_idle(self) -> None:
        """One of them was dead: the others, as old, most likely are too."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for _, connection in idle:
            connection.close()

    def close(self) -> None:
        """Every thread that waits on a connection gets Lost."""
        with self._lock:
            self._closed = True
            for connection in self._busy:
                connection.shut()
        self.forget_idle()

    def trust_again(self) -> None:
        """Read the CA file anew: it may have been replaced."""
        if self._endpoint.secure:
            self._tls, self._session = self._trust(), None

    def _take_idle(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.monotonic() - since < OLDEST and connection.quiet():
                return connection
            connection.close()

    def _open(self) -> Connection:
        try:
            plain = socket.create_connection((self._endpoint.connect, self._endpoint.port), self._connect_timeout)
        except OSError as error:
            where = f"{self._endpoint.connect}:{self._endpoint.port}"
            raise Lost(f"{where}: {error or type(error).__name__}", sent=False) from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            made = self._secured(plain, self._tls) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        return Connection(made, self._endpoint.secure, self._timeout)

    def _secured(self, plain: socket.socket, tls: "ssl.SSLContext") -> socket.socket:
        import ssl

        try:
            return tls.wrap_socket(plain, server_hostname=self._endpoint.name, session=self._session)
        except ssl.SSLCertVerificationError as error:
            raise Distrusted(f"{self._endpoint.authority}: {error.verify_message}") from error
        except OSError as error:
            raise Lost(f"{self._endpoint.authority}: TLS: {error}", sent=False) from error

    def _trust(self) -> "ssl.SSLContext":
        import ssl  # 5 MiB that a mount over plain HTTP need not hold

        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"CA file {self._ca_file}: {error}: it must hold PEM certificates") from error
