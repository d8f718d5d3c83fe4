"""The management console of a user-mode-linux machine: a command changes the hardware of a running one.

The protocol is that of the kernel's arch/um/drivers/mconsole.h: datagrams over a Unix socket beside the machine's umid.
"""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path

MAGIC, VERSION = 0xCAFEBABE, 2
REQUEST = struct.Struct("<III512s")  # magic, version, length, text
REPLY = struct.Struct("<III")  # whether it failed, whether more follows, length


class Refused(RuntimeError):
    """The machine did not do it; the message holds its words."""


def ask(console: Path, command: str, timeout: float = 10.0) -> str:
    """Send one command to the machine behind `console`; what it says. Refused if it fails or does not answer."""
    text = command.encode()
    # an unnamed address would not do: such names belong to a network namespace, and the machine is in another
    mine = console.with_name(f"asks-{secrets.token_hex(4)}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(mine))
        try:
            link.settimeout(timeout)
            link.sendto(REQUEST.pack(MAGIC, VERSION, len(text), text), str(console))
            return _answer(link, command)
        except OSError as error:
            raise Refused(f"{command}: the machine's console does not answer: {error}") from error
        finally:
            mine.unlink(missing_ok=True)


def _answer(link: socket.socket, command: str) -> str:
    said, more = b"", 1
    failed = 0
    while more:
        part = link.recv(8192)
        bad, more, length = REPLY.unpack_from(part)
        failed |= bad
        said += part[REPLY.size : REPLY.size + length]
    text = said.decode(errors="replace").rstrip("\0\n ")
    if failed:
        raise Refused(f"{command}: {text}")
    return text
