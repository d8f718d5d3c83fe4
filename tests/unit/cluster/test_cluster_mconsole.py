"""The console of a user-mode-linux machine, played by a socket of our own."""

import socket
import threading
from pathlib import Path

import pytest

from cluster.mconsole import MAGIC, REPLY, REQUEST, VERSION, Refused, ask


def machine(console: Path, *replies: tuple[int, int, bytes]) -> list[str]:
    """Answer one command with these parts (failed, more, text); the commands that came."""
    heard: list[str] = []
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(console))

    def serve() -> None:
        with server:
            data, sender = server.recvfrom(4096)
            magic, version, length, text = REQUEST.unpack(data)
            assert (magic, version) == (MAGIC, VERSION)
            heard.append(text[:length].decode())
            for failed, more, said in replies:
                server.sendto(REPLY.pack(failed, more, len(said)) + said, sender)

    threading.Thread(target=serve, daemon=True).start()
    return heard


def test_the_answer_is_put_together_from_its_parts(tmp_path: Path) -> None:
    heard = machine(tmp_path / "mconsole", (0, 1, b"Linux "), (0, 0, b"node2\0"))

    assert ask(tmp_path / "mconsole", "version") == "Linux node2"
    assert heard == ["version"]
    assert [each.name for each in tmp_path.iterdir()] == ["mconsole"]


def test_a_refusal_holds_the_machines_words(tmp_path: Path) -> None:
    machine(tmp_path / "mconsole", (1, 0, b"Device is currently open"))

    with pytest.raises(Refused, match="remove ubdb: Device is currently open"):
        ask(tmp_path / "mconsole", "remove ubdb")


def test_a_dead_machine_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not answer"):
        ask(tmp_path / "mconsole", "version", timeout=0.2)
