"""Messages between our own processes are whole, bounded, and from those who may ask."""

import struct

import pytest

from moorage import framing
from moorage.errors import Forbidden, InvalidInput


def test_a_message_is_read_as_it_was_written() -> None:
    data = framing.packed({"method": "stats", "seconds": 1.5})
    head, rest = data[: framing.HEAD], data[framing.HEAD :]
    assert framing.length(head, 100) == len(rest)
    assert framing.parsed(rest) == {"method": "stats", "seconds": 1.5}


def test_a_message_that_is_too_long_is_refused_by_its_head() -> None:
    with pytest.raises(InvalidInput, match="101 bytes is more than 100"):
        framing.length(struct.pack(">I", 101), 100)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"\xff"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        framing.parsed(data)


def test_root_and_our_own_user_may_ask_and_nobody_else() -> None:
    for user in (0, 1000):
        framing.check_peer(struct.pack("3i", 7, user, user), 1000, "moorfs")
    with pytest.raises(Forbidden, match="user 1001 may not speak to moorfs"):
        framing.check_peer(struct.pack("3i", 7, 1001, 0), 1000, "moorfs")
