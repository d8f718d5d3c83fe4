"""The mounter's protocol: one request and one answer on a connection of a unix socket, each a length and JSON.

`moorage.framing` says how they are written. A request is {"method": "Mount" | "Unmount" | "List", ...}
with the fields of `server`; an answer is {"code": "OK", ...} or a gRPC code's name with a message. A caller that closes
the connection takes its request back. JSON instead of gRPC, because the mounter lives as long as the node and gRPC
would double its memory.
"""

import asyncio
import os
import socket
from pathlib import Path

from moorage import framing
from moorage.framing import Fields
from moorage_csi import sockets

__all__ = ["MOST", "Fields", "ask", "check_peer", "receive", "send"]

MOST = 64 * 1024  # bytes of JSON


async def receive(reader: asyncio.StreamReader, most: int = MOST) -> Fields:
    """The next message; raises InvalidInput for what is none, IncompleteReadError when the other side goes away."""
    length = framing.length(await reader.readexactly(framing.HEAD), most)
    return framing.parsed(await reader.readexactly(length))


async def send(writer: asyncio.StreamWriter, message: Fields) -> None:
    writer.write(framing.packed(message))
    await writer.drain()


async def ask(path: str | Path, request: Fields, most: int = MOST) -> Fields:
    """The answer of who listens at `path`; raises the error that it tells, or OSError when nobody listens."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        await send(writer, request)
        answer = await receive(reader, most)
    finally:
        writer.close()
    if answer.get("code") != "OK":
        raise sockets.error(str(answer.get("code")), str(answer.get("message", "")))
    return answer


def check_peer(connection: socket.socket) -> None:
    """Raises Forbidden unless root, or whoever we are, has opened the connection."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, framing.CREDENTIALS)
    framing.check_peer(credentials, os.geteuid(), "the mounter")
