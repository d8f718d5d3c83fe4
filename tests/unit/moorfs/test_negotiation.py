"""What moorfs answers to INIT, for kernels of all ages; and what it remembers of it."""

import ctypes
import errno
import mmap
import struct
from pathlib import Path

import pytest

from moorfs import wire
from moorfs.agreement import Features, NoTakeoverError, forget, handed, negotiate, recall, remember
from moorfs.kernel import buffer

LINUX_5_4 = struct.pack("=IIII", 7, 31, 131072, 0x007FFFFB)
LINUX_6_1 = struct.pack("=IIII", 7, 37, 131072, 0x7FFFFFFB) + struct.pack("=I44x", 0x3)
LINUX_6_18 = struct.pack("=IIII", 7, 45, 131072, 0x73FFFFFB) + struct.pack("=I44x", 0x6FF)


def _said(answer: bytes) -> tuple[int, ...]:
    """major, minor, max_readahead, flags of both words, max_write, max_pages, max_stack_depth."""
    found = wire.INIT_OUT.unpack(answer)
    return found[0], found[1], found[2], found[3] | found[10] << 32, found[6], found[8], found[11]


def test_a_new_kernel_is_asked_for_passthrough_and_resend() -> None:
    features, answer = negotiate(memoryview(LINUX_6_18))

    assert features
    assert (features.minor, features.passthrough, features.resend) == (45, True, True)
    major, minor, readahead, flags, write, pages, depth = _said(answer)
    assert len(answer) == 64
    assert (major, minor, readahead, write, pages, depth) == (7, 45, 1 << 20, 1 << 20, 256, 1)
    assert flags == features.flags
    assert flags & wire.PASSTHROUGH
    assert flags & wire.HAS_RESEND


@pytest.mark.parametrize(("request_", "minor"), [(LINUX_5_4, 31), (LINUX_6_1, 37)])
def test_an_old_kernel_gets_what_it_offers(request_: bytes, minor: int) -> None:
    features, answer = negotiate(memoryview(request_))

    assert features
    assert (features.minor, features.passthrough, features.resend) == (minor, False, False)
    flags, depth = _said(answer)[3], _said(answer)[6]
    assert flags & wire.DO_READDIRPLUS
    assert not flags & (wire.PASSTHROUGH | wire.HAS_RESEND)
    assert depth == 0


def test_nothing_is_asked_that_was_not_offered() -> None:
    features, answer = negotiate(memoryview(struct.pack("=IIII", 7, 31, 4096, wire.BIG_WRITES)))

    assert features == Features(31, wire.BIG_WRITES)
    assert _said(answer)[3] == wire.BIG_WRITES


def test_both_can_be_left_out_by_a_setting() -> None:
    features, _ = negotiate(memoryview(LINUX_6_18), passthrough=False, resend=False)

    assert features
    assert (features.passthrough, features.resend) == (False, False)


def test_a_kernel_of_a_later_version_is_asked_to_speak_7() -> None:
    features, answer = negotiate(memoryview(struct.pack("=IIII", 8, 0, 0, 0)))

    assert features is None
    assert _said(answer)[:2] == (7, 45)


def test_a_kernel_older_than_all_is_refused() -> None:
    with pytest.raises(OSError, match=r"7\.31") as refused:
        negotiate(memoryview(struct.pack("=IIII", 7, 30, 0, 0)))

    assert refused.value.errno == errno.EPROTO


def test_what_was_agreed_is_remembered(tmp_path: Path) -> None:
    path = str(tmp_path / "connection.json")
    features = Features(45, wire.PASSTHROUGH | wire.MAX_PAGES)

    assert recall(path) is None
    remember(features, path)
    assert recall(path) == features
    remember(handed(features), path)
    assert recall(path) == Features(45, features.flags, handed=True)
    forget(path)
    assert recall(path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2, "minor": 1, "flags": 1}', '{"version": 1}'])
def test_a_damaged_or_foreign_memory_is_no_takeover(tmp_path: Path, text: str) -> None:
    path = tmp_path / "connection.json"
    path.write_text(text)

    with pytest.raises(NoTakeoverError):
        recall(str(path))


def test_requests_are_read_into_pages_that_are_there() -> None:
    """A process that is killed while the kernel copies a request to a page that is not costs the caller an EIO."""
    room = buffer()
    states = (ctypes.c_ubyte * -(-len(room) // mmap.PAGESIZE))()
    address = ctypes.addressof(ctypes.c_char.from_buffer(room))

    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(room)), states) == 0

    assert all(each & 1 for each in states)
