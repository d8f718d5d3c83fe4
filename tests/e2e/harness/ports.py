"""Ports for servers that tests start on loopback."""

import secrets
import socket
from contextlib import ExitStack

RANGE = range(15000, 30000)  # below what Linux gives to outgoing connections (ip_local_port_range), and to NodePorts


def free_ports(count: int) -> list[int]:
    """`count` ports that nobody listens at now.

    By chance and not by bind(0): a port of that is given away again, to any connection that any process opens, in the
    second until the server of the test listens at it.
    """
    with ExitStack() as held:  # together, so that they differ
        return [_hold(held) for _ in range(count)]


def _hold(held: ExitStack) -> int:
    for port in secrets.SystemRandom().sample(RANGE, min(100, len(RANGE))):
        taken = socket.socket()
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            taken.close()
            continue
        held.callback(taken.close)
        return port
    raise OSError(f"no free port was found between {RANGE.start} and {RANGE.stop}")
