"""What requests and answers hold, out of the kernel's structs and into them (linux/fuse.h)."""

import errno
import time

from moorfs import wire
from moorfs.message import Request
from moorfs.ports import Attributes, Change, Entry, FileError, Opened
from moorfs.shown import Show

_BILLION = 10**9
LONGEST = 255  # bytes of a name

ENTRY_SIZE = wire.ENTRY_OUT.size + wire.ATTR.size
NO_ENTRY = bytes(ENTRY_SIZE)
_NO_ATTRIBUTES = bytes(wire.ATTR.size)


def name_in(data: memoryview) -> bytes:
    return short(wire.names(data, 1)[0])


def short(name: bytes) -> bytes:
    """NAME_MAX of Linux, as statfs tells it; the kernel lets 1024 through."""
    if len(name) > LONGEST:
        raise FileError(errno.ENAMETOOLONG, "a name of more than 255 bytes")
    return name


def handle_in(request: Request) -> int:
    return int(wire.HANDLE_IN.unpack_from(request.body)[0])


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * _BILLION)


def _attr(given: Attributes) -> bytes:
    (read, read_rest), (seconds, rest), (changed, changed_rest) = (
        divmod(each, _BILLION) for each in (given.atime, given.mtime, given.ctime)
    )
    mask = (1 << 64) - 1  # a time before 1970 goes as two's complement
    read, seconds, changed = read & mask, seconds & mask, changed & mask
    return wire.ATTR.pack(
        given.node, given.size, given.blocks, read, seconds, changed, read_rest, rest, changed_rest,
        given.mode, given.links, given.uid, given.gid, given.device, wire.PAGE, 0,
    )  # fmt: skip


def opened_out(opened: Opened) -> bytes:
    flags = wire.FOPEN_KEEP_CACHE if opened.keep_cache and opened.backing is None else 0
    flags |= 0 if opened.flush else wire.FOPEN_NOFLUSH
    flags |= wire.FOPEN_PASSTHROUGH if opened.backing is not None else 0
    return wire.OPEN_OUT.pack(opened.handle, flags, opened.backing or 0)


def dirent_out(node: int, following: int, mode: int, name: bytes) -> bytes:
    return wire.DIRENT.pack(node, following, len(name), mode >> 12 & 15) + name + bytes(-(24 + len(name)) % 8)


def change_in(body: memoryview) -> Change:
    (valid, _, handle, size, _, atime, mtime, _, atime_rest, mtime_rest, _, mode, _, uid, gid, _) = (
        wire.SETATTR_IN.unpack_from(body)
    )
    now = bool(valid & wire.FATTR_MTIME_NOW)
    return Change(
        mode=mode & 0o7777 if valid & wire.FATTR_MODE else None,
        uid=uid if valid & wire.FATTR_UID else None,
        gid=gid if valid & wire.FATTR_GID else None,
        size=size if valid & wire.FATTR_SIZE else None,
        mtime=_time(mtime, mtime_rest) if valid & wire.FATTR_MTIME and not now else None,
        mtime_now=now,
        atime=_accessed(valid, _time(atime, atime_rest)),
        handle=handle if valid & wire.FATTR_FH else None,
    )


def _time(seconds: int, rest: int) -> int:
    return (seconds - (1 << 64) if seconds >> 63 else seconds) * _BILLION + rest


def _accessed(valid: int, given: int) -> int | None:
    """With `touch` both times are the present: then the atime is that of mtime (0), and nothing more to be stored."""
    if not valid & wire.FATTR_ATIME_NOW:
        return given if valid & wire.FATTR_ATIME else None
    return 0 if valid & wire.FATTR_MTIME_NOW else time.time_ns()


def entry_out(entry: Entry, show: Show) -> bytes:
    (name, name_rest), (valid, valid_rest) = _split(entry.name_valid), _split(entry.attributes_valid)
    given = entry.attributes
    head = wire.ENTRY_OUT.pack(given.node if given else 0, 0, name, valid, name_rest, valid_rest)
    return head + (_attr(show(given)) if given else _NO_ATTRIBUTES)


def attributes_out(given: Attributes, valid: float) -> bytes:
    return wire.ATTR_OUT.pack(*_split(valid), 0) + _attr(given)
