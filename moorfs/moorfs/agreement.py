"""What was agreed with the kernel at INIT.

INIT comes once in the life of a connection, and a process that takes over never sees it: what was agreed is kept in
`connection.json` in the cache directory, on disk before the kernel gets its answer (ADR 21).
"""

import contextlib
import errno
import json
import os
from dataclasses import asdict, dataclass, replace

from moorfs import wire
from moorfs.disk import sync_folder

MAX_WRITE = 1 << 20
READ_AHEAD = 1 << 20  # bytes at most; the kernel begins with less, and the mounter raises that
_VERSION = 1

_WANTED = (
    wire.ASYNC_READ | wire.ATOMIC_O_TRUNC | wire.BIG_WRITES | wire.DO_READDIRPLUS | wire.READDIRPLUS_AUTO
    | wire.ASYNC_DIO | wire.PARALLEL_DIROPS | wire.ABORT_ERROR | wire.MAX_PAGES | wire.INIT_EXT
    | wire.HAS_EXPIRE_ONLY | wire.PASSTHROUGH | wire.HAS_RESEND
)  # fmt: skip


class NoTakeoverError(Exception):
    """Another process served the connection, and what it left cannot be taken over; the message says why."""


@dataclass(frozen=True, slots=True)
class Features:
    """What was agreed at INIT. `flags` are those of INIT that both sides have; `handed`: the process before us ended
    with no request under way, so that nothing must be sent again."""

    minor: int
    flags: int
    handed: bool = False

    @property
    def passthrough(self) -> bool:
        return bool(self.flags & wire.PASSTHROUGH)

    @property
    def resend(self) -> bool:
        return bool(self.flags & wire.HAS_RESEND)


def negotiate(body: memoryview, passthrough: bool = True, resend: bool = True) -> tuple[Features | None, bytes]:
    """The answer to an INIT request. No features: the kernel is asked to speak version 7, and sends INIT again.

    Raises OSError EPROTO for a kernel older than 7.31.
    """
    major, minor, readahead, offered = wire.INIT_IN.unpack_from(body)
    if major > wire.MAJOR:
        return None, wire.INIT_OUT.pack(wire.MAJOR, wire.MINOR, *[0] * 11)
    if (major, minor) < (wire.MAJOR, wire.OLDEST_MINOR):
        raise OSError(
            errno.EPROTO, f"the kernel speaks FUSE {major}.{minor}; 7.31 (Linux 5.4) is the oldest known here"
        )
    if offered & wire.INIT_EXT:
        offered |= wire.INIT_IN_FLAGS2.unpack_from(body, wire.INIT_IN.size)[0] << 32
    refused = (0 if passthrough else wire.PASSTHROUGH) | (0 if resend else wire.HAS_RESEND)
    flags = _WANTED & offered & ~refused
    depth = (
        1 if flags & wire.PASSTHROUGH else 0
    )  # file systems stacked: the cache's disk is below, overlayfs may be above
    answer = wire.INIT_OUT.pack(
        wire.MAJOR, wire.MINOR, max(readahead, READ_AHEAD), flags & 0xFFFFFFFF, 64, 48, MAX_WRITE, 1,
        MAX_WRITE // wire.PAGE, 0, flags >> 32, depth, 0,
    )  # fmt: skip
    return Features(min(minor, wire.MINOR), flags), answer


def remember(features: Features, path: str) -> None:
    """Put it on disk, whole or not at all."""
    fresh = f"{path}.new"
    with open(fresh, "w", encoding="ascii") as out:
        json.dump({"version": _VERSION, **asdict(features)}, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(fresh, path)
    sync_folder(os.path.dirname(path) or ".")


def forget(path: str) -> None:
    """Nothing was agreed yet."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def recall(path: str) -> Features | None:
    """What `remember` wrote; None when INIT was never answered. NoTakeoverError for what another version wrote."""
    try:
        with open(path, encoding="ascii") as kept:
            found = json.load(kept)
        if found.pop("version") != _VERSION:
            raise NoTakeoverError(f"{path} is of another version")
        return Features(**found)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoTakeoverError(f"{path} is damaged: {error}") from None


def handed(features: Features) -> Features:
    """Of a process that ends with no request under way."""
    return replace(features, handed=True)
