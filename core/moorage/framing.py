"""Messages between our own processes on one machine: four bytes (big-endian) of length, then a JSON object.

One request and one answer on a connection of a unix socket. Who asks is known by its credentials (SO_PEERCRED).
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, cast

from moorage.errors import Forbidden, InvalidInput

Fields = Mapping[str, Any]

_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
HEAD = _LENGTH.size
CREDENTIALS = _CREDENTIALS.size


def packed(message: Fields) -> bytes:
    data = json.dumps(message).encode()
    return _LENGTH.pack(len(data)) + data


def length(head: bytes, most: int) -> int:
    """Bytes that follow the head; raises InvalidInput when they are more than `most`."""
    (found,) = _LENGTH.unpack(head)
    if found > most:
        raise InvalidInput(f"a message of {found} bytes is more than {most}")
    return int(found)


def parsed(data: bytes) -> Fields:
    """What follows the head; raises InvalidInput for what is no message."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        raise InvalidInput("a message is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidInput("a message is not a JSON object")
    return cast("Fields", found)


def check_peer(credentials: bytes, own: int, whom: str) -> None:
    """Raises Forbidden unless root, or user `own`, has opened the connection: its mode alone could be changed."""
    _, user, _ = _CREDENTIALS.unpack(credentials)
    if user not in (0, own):
        raise Forbidden(f"user {user} may not speak to {whom}")
