"""Requests decoded, handed to the FileSystem, and their answers encoded.

What an S3 bucket cannot hold is refused in the way that the kernel remembers or that callers know: extended
attributes, O_TMPFILE, copy_file_range, statx, syncfs, bmap, poll and lseek by ENOSYS (the kernel then says EOPNOTSUPP
or does its own, and does not ask again), hard links by EPERM (link(2): the file system has none), ioctls by ENOTTY.
"""

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from moorfs import wire
from moorfs.ports import Attributes, Caller, Change, Entry, FileError, FileSystem, Opened
from moorfs.shown import Show

_BILLION = 10**9
_LONGEST = 255  # bytes of a name
_FILES = 1 << 32  # what df -i shows; a bucket has no bound

Undo = Callable[[], object]


@dataclass(slots=True)
class Request:
    """A request as it came; `body` is what follows the header, valid until the request is answered."""

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int
    body: memoryview

    @property
    def caller(self) -> Caller:
        return Caller(self.uid, self.gid, self.pid, bool(self.unique & wire.RESENT), self.unique & ~wire.RESENT)


@dataclass(slots=True)
class Answer:
    """`undo` takes back what the answer gave, when nobody is there to get it."""

    data: bytes | memoryview = b""
    undo: Undo | None = None


DONE = Answer()


def decode(buffer: memoryview, length: int) -> Request:
    """The request in the first `length` bytes."""
    _, opcode, unique, node, uid, gid, pid, extensions, _ = wire.IN_HEADER.unpack_from(buffer)
    return Request(opcode, unique, node, uid, gid, pid, buffer[wire.IN_HEADER.size : length - 8 * extensions])


class Requests:
    """`handle` gives the answer to a request, None when it has none. Raises FileError, or whatever goes wrong."""

    def __init__(self, files: FileSystem, show: Show = lambda kept: kept) -> None:
        """`show`: what callers see of a node's attributes."""
        self._files = files
        self._show = show
        self._handlers: Mapping[int, Callable[[Request], Answer | None]] = {
            wire.LOOKUP: self._lookup, wire.FORGET: self._forget, wire.BATCH_FORGET: self._batch_forget,
            wire.GETATTR: self._getattr, wire.SETATTR: self._setattr, wire.READLINK: self._readlink,
            wire.SYMLINK: self._symlink, wire.MKNOD: self._mknod, wire.MKDIR: self._mkdir,
            wire.UNLINK: self._unlink, wire.RMDIR: self._rmdir, wire.RENAME: self._rename,
            wire.RENAME2: self._rename2, wire.OPEN: self._open, wire.CREATE: self._create, wire.READ: self._read,
            wire.WRITE: self._write, wire.FLUSH: self._flush, wire.FSYNC: self._fsync, wire.RELEASE: self._release,
            wire.FALLOCATE: self._fallocate, wire.OPENDIR: self._opendir, wire.READDIR: self._readdir,
            wire.READDIRPLUS: self._readdirplus, wire.RELEASEDIR: self._releasedir, wire.STATFS: self._statfs,
            wire.FSYNCDIR: lambda _: DONE,  # names are stored before their calls return
            wire.DESTROY: lambda _: DONE,
            wire.NOTIFY_REPLY: lambda _: None,
            wire.LINK: _refuse(errno.EPERM),
            wire.IOCTL: _refuse(errno.ENOTTY),
        }  # fmt: skip
        self._unknown = _refuse(errno.ENOSYS)

    def handle(self, request: Request) -> Answer | None:
        return self._handlers.get(request.opcode, self._unknown)(request)

    # Names

    def _lookup(self, request: Request) -> Answer:
        return self._entry(self._files.lookup(request.node, _name(request.body), request.caller))

    def _forget(self, request: Request) -> None:
        self._files.forget(request.node, wire.FORGET_IN.unpack_from(request.body)[0])

    def _batch_forget(self, request: Request) -> None:
        (count, _) = wire.BATCH_FORGET_IN.unpack_from(request.body)
        start, size = wire.BATCH_FORGET_IN.size, wire.FORGET_ONE.size
        for node, lookups in wire.FORGET_ONE.iter_unpack(request.body[start : start + count * size]):
            self._files.forget(node, lookups)

    def _mkdir(self, request: Request) -> Answer:
        (mode, _), name = wire.MKDIR_IN.unpack_from(request.body), _name(request.body[wire.MKDIR_IN.size :])
        return self._entry(self._files.mkdir(request.node, name, mode, request.caller))

    def _mknod(self, request: Request) -> Answer:
        mode, device, _, _ = wire.MKNOD_IN.unpack_from(request.body)
        name = _name(request.body[wire.MKNOD_IN.size :])
        return self._entry(self._files.mknod(request.node, name, mode, device, request.caller))

    def _symlink(self, request: Request) -> Answer:
        name, target = wire.names(request.body, 2)
        return self._entry(self._files.symlink(request.node, _short(name), target, request.caller))

    def _readlink(self, request: Request) -> Answer:
        return Answer(self._files.readlink(request.node))

    def _unlink(self, request: Request) -> Answer:
        self._files.unlink(request.node, _name(request.body), request.caller)
        return DONE

    def _rmdir(self, request: Request) -> Answer:
        self._files.rmdir(request.node, _name(request.body), request.caller)
        return DONE

    def _rename(self, request: Request) -> Answer:
        (folder,) = wire.RENAME_IN.unpack_from(request.body)
        return self._move(request, folder, 0, request.body[wire.RENAME_IN.size :])

    def _rename2(self, request: Request) -> Answer:
        folder, flags, _ = wire.RENAME2_IN.unpack_from(request.body)
        return self._move(request, folder, flags, request.body[wire.RENAME2_IN.size :])

    def _move(self, request: Request, folder: int, flags: int, names: memoryview) -> Answer:
        old, new = map(_short, wire.names(names, 2))
        self._files.rename(request.node, old, folder, new, flags, request.caller)
        return DONE

    # Attributes

    def _getattr(self, request: Request) -> Answer:
        flags, _, handle = wire.GETATTR_IN.unpack_from(request.body)
        given = handle if flags & wire.GETATTR_FH else None
        return self._attributes(*self._files.getattr(request.node, given, request.caller))

    def _setattr(self, request: Request) -> Answer:
        change = _change(request.body)
        if change == Change(handle=change.handle):  # atime and ctime alone, which nobody keeps
            return self._attributes(*self._files.getattr(request.node, change.handle, request.caller))
        return self._attributes(*self._files.setattr(request.node, change, request.caller))

    def _statfs(self, _: Request) -> Answer:
        total, free = (each // wire.PAGE for each in self._files.statfs())
        return Answer(wire.KSTATFS.pack(total, free, free, _FILES, _FILES, wire.PAGE, _LONGEST, wire.PAGE, 0))

    # Files

    def _open(self, request: Request) -> Answer:
        flags, _ = wire.OPEN_IN.unpack_from(request.body)
        opened = self._files.open(request.node, flags, request.caller)
        return Answer(_opened(opened), partial(self._files.release, request.node, opened.handle))

    def _create(self, request: Request) -> Answer:
        flags, mode, _, _ = wire.CREATE_IN.unpack_from(request.body)
        name = _name(request.body[wire.CREATE_IN.size :])
        entry, opened = self._files.create(request.node, name, flags, mode, request.caller)
        answer = self._entry(entry)

        def undo() -> None:
            if entry.attributes:
                self._files.release(entry.attributes.node, opened.handle)
                self._files.forget(entry.attributes.node, 1)

        return Answer(bytes(answer.data) + _opened(opened), undo)

    def _read(self, request: Request) -> Answer:
        handle, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        return Answer(self._files.read(request.node, handle, offset, size))

    def _write(self, request: Request) -> Answer:
        handle, offset, size, *_ = wire.WRITE_IN.unpack_from(request.body)
        data = request.body[wire.WRITE_IN.size : wire.WRITE_IN.size + size]
        return Answer(wire.WRITE_OUT.pack(self._files.write(request.node, handle, offset, data), 0))

    def _flush(self, request: Request) -> Answer:
        self._files.flush(request.node, _handle(request))
        return DONE

    def _fsync(self, request: Request) -> Answer:
        self._files.fsync(request.node, _handle(request))
        return DONE

    def _release(self, request: Request) -> Answer:
        self._files.release(request.node, _handle(request))
        return DONE

    def _fallocate(self, request: Request) -> Answer:
        handle, offset, length, mode, _ = wire.FALLOCATE_IN.unpack_from(request.body)
        self._files.allocate(request.node, handle, mode, offset, length)
        return DONE

    # Folders

    def _opendir(self, request: Request) -> Answer:
        handle = self._files.opendir(request.node)
        return Answer(wire.OPEN_OUT.pack(handle, 0, 0), partial(self._files.releasedir, request.node, handle))

    def _releasedir(self, request: Request) -> Answer:
        self._files.releasedir(request.node, _handle(request))
        return DONE

    def _readdir(self, request: Request) -> Answer:
        handle, offset, room, *_ = wire.READ_IN.unpack_from(request.body)
        data = bytearray()
        for item in self._files.readdir(request.node, handle, offset, plus=False):
            entry = _dirent(item.node, item.next, item.mode, item.name)
            if len(data) + len(entry) > room:
                break
            data += entry
        return Answer(memoryview(data))

    def _readdirplus(self, request: Request) -> Answer:
        handle, offset, room, *_ = wire.READ_IN.unpack_from(request.body)
        data, nodes = bytearray(), list[int]()
        for item in self._files.readdir(request.node, handle, offset, plus=True):
            given = item.entry.attributes if item.entry else None
            entry = _dirent(item.node, item.next, item.mode, item.name)
            if given:
                nodes.append(given.node)
            if len(data) + _ENTRY_SIZE + len(entry) > room:
                if given:
                    self._files.forget(nodes.pop(), 1)
                break
            data += self._encode(item.entry) if item.entry and given else _NO_ENTRY  # a node of 0 promises nothing
            data += entry
        return Answer(memoryview(data), partial(self._forget_all, nodes))

    def _forget_all(self, nodes: list[int]) -> None:
        for node in nodes:
            self._files.forget(node, 1)

    def _entry(self, entry: Entry) -> Answer:
        node = entry.attributes.node if entry.attributes else 0
        return Answer(self._encode(entry), partial(self._files.forget, node, 1) if node else None)

    def _attributes(self, given: Attributes, valid: float) -> Answer:
        return Answer(wire.ATTR_OUT.pack(*_split(valid), 0) + _attr(self._show(given)))

    def _encode(self, entry: Entry) -> bytes:
        (name, name_rest), (valid, valid_rest) = _split(entry.name_valid), _split(entry.attributes_valid)
        given = entry.attributes
        head = wire.ENTRY_OUT.pack(given.node if given else 0, 0, name, valid, name_rest, valid_rest)
        return head + (_attr(self._show(given)) if given else _NO_ATTRIBUTES)


def _refuse(number: int) -> Callable[[Request], Answer | None]:
    def refused(request: Request) -> Answer | None:
        raise Refused(number, wire.NAMES.get(request.opcode, str(request.opcode)))

    return refused


class Refused(OSError):
    """An operation that this file system does not have; nothing to write into a log."""


_ENTRY_SIZE = wire.ENTRY_OUT.size + wire.ATTR.size
_NO_ENTRY = bytes(_ENTRY_SIZE)
_NO_ATTRIBUTES = bytes(wire.ATTR.size)


def _name(data: memoryview) -> bytes:
    return _short(wire.names(data, 1)[0])


def _short(name: bytes) -> bytes:
    """NAME_MAX of Linux, as statfs tells it; the kernel lets 1024 through."""
    if len(name) > _LONGEST:
        raise FileError(errno.ENAMETOOLONG, "a name of more than 255 bytes")
    return name


def _handle(request: Request) -> int:
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


def _opened(opened: Opened) -> bytes:
    flags = wire.FOPEN_KEEP_CACHE if opened.keep_cache and opened.backing is None else 0
    flags |= 0 if opened.flush else wire.FOPEN_NOFLUSH
    flags |= wire.FOPEN_PASSTHROUGH if opened.backing is not None else 0
    return wire.OPEN_OUT.pack(opened.handle, flags, opened.backing or 0)


def _dirent(node: int, following: int, mode: int, name: bytes) -> bytes:
    return wire.DIRENT.pack(node, following, len(name), mode >> 12 & 15) + name + bytes(-(24 + len(name)) % 8)


def _change(body: memoryview) -> Change:
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
