"""The mounter's protocol: one request and one answer on a connection of a unix socket, each a length and JSON.

Four bytes (big-endian) say how many bytes of JSON follow. A request is {"method": "Mount" | "Unmount" | "List", ...}
with the fields of `server`; an answer is {"code": "OK", ...} or a gRPC code's name with a message. A caller that closes
the connection takes its request back. JSON instead of gRPC, because the mounter lives as long as the node and gRPC
would double its memory.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any, cast

from moorage.errors import Forbidden, InvalidInput

_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)
MOST = 64 * 1024  # bytes of JSON

Fields = Mapping[str, Any]


async def receive(reader: asyncio.StreamReader, most: int = MOST) -> Fields:
    """The next message; raises InvalidInput for what is none, IncompleteReadError when the other side goes away."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > most:
        raise InvalidInput(f"a message of {length} bytes is more than {most}")
    try:
        found: Any = json.loads(await reader.readexactly(length))
    except ValueError:
        raise InvalidInput("a message is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidInput("a message is not a JSON object")
    return cast("Fields", found)


async def send(writer: asyncio.StreamWriter, message: Fields) -> None:
    data = json.dumps(message).encode()
    writer.write(_LENGTH.pack(len(data)) + data)
    await writer.drain()


def check_peer(connection: socket.socket) -> None:
    """Raises Forbidden unless root, or whoever we are, has opened the connection: its mode alone could be changed."""
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if user not in (0, os.geteuid()):
        raise Forbidden(f"user {user} may not speak to the mounter")
