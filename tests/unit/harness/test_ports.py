"""Ports of servers that tests start."""

import socket

import pytest

from harness import ports


def test_ports_differ_and_can_be_listened_at() -> None:
    found = ports.free_ports(20)

    assert len(set(found)) == 20
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_that_is_taken_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", ports.free_ports(1)[0])) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "RANGE", range(port, port + 1))

        with pytest.raises(OSError, match="no free port"):
            ports.free_ports(1)
