"""Packets between the mounter and the node plugin: one JSON object each, and at most one file descriptor with it.

A SOCK_SEQPACKET unix socket keeps packets whole, and carries descriptors (unix(7), SCM_RIGHTS).
"""

import asyncio
import json
import os
import socket
from typing import Any, cast

from moorage_csi.mounter.wire import Fields

_MOST = 64 * 1024  # bytes of one packet
_SEND_SECONDS = 10.0  # for the other side to make room for a packet


class Closed(Exception):
    """The other side has gone."""


class Packets:
    """One end of such a socket, on the running loop."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> tuple[Fields, int | None]:
        """The next packet; the caller owns the descriptor. Raises Closed."""
        while True:
            try:
                data, handed, flags, _ = socket.recv_fds(self._socket, _MOST, 1, socket.MSG_CMSG_CLOEXEC)
                break
            except BlockingIOError:
                await self._readable()
            except OSError as error:
                raise Closed from error
        whole = data and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        try:
            found: Any = json.loads(data) if whole else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            for each in handed:
                os.close(each)
            raise Closed
        return cast("Fields", found), handed[0] if handed else None

    async def send(self, fields: Fields, handed: int | None = None) -> None:
        """Raises Closed when nobody listens any more, or does not take what is sent."""
        data = json.dumps(fields).encode()
        until = self._loop.time() + _SEND_SECONDS
        while True:
            try:
                socket.send_fds(self._socket, [data], [] if handed is None else [handed])
                return
            except BlockingIOError:
                if self._loop.time() > until:
                    raise Closed from None
                await asyncio.sleep(0.01)
            except OSError as error:
                raise Closed from error

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._socket, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            self._loop.remove_reader(self._socket)
