"""Requests decoded, handed to the FileSystem, and their answers encoded.

What an S3 bucket cannot hold is refused in the way that the kernel remembers or that callers know: extended
attributes, O_TMPFILE, copy_file_range, statx, syncfs, bmap, poll and lseek by ENOSYS (the kernel then says EOPNOTSUPP
or does its own, and does not ask again), hard links by EPERM (link(2): the file system has none), ioctls by ENOTTY.
"""

import errno
from collections.abc import Callable, Mapping
from functools import partial

from moorfs import wire
from moorfs.encoding import (
    ENTRY_SIZE,
    LONGEST,
    NO_ENTRY,
    attributes_out,
    change_in,
    dirent_out,
    entry_out,
    handle_in,
    name_in,
    opened_out,
    short,
)
from moorfs.message import DONE, Answer, Request
from moorfs.ports import Attributes, Change, Entry, FileSystem
from moorfs.shown import Show

_FILES = 1 << 32  # what df -i shows; a bucket has no bound


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

    def glimpse(self, request: Request) -> Answer | None:
        """The answer to a request that can be given without waiting and with no lock; None: ask `handle`."""
        found = self._files.glimpse(request.node) if request.opcode == wire.GETATTR else None
        return self._attributes(*found) if found else None

    def handle(self, request: Request) -> Answer | None:
        return self._handlers.get(request.opcode, self._unknown)(request)

    # Names

    def _lookup(self, request: Request) -> Answer:
        return self._entry(self._files.lookup(request.node, name_in(request.body), request.caller))

    def _forget(self, request: Request) -> None:
        self._files.forget(request.node, wire.FORGET_IN.unpack_from(request.body)[0])

    def _batch_forget(self, request: Request) -> None:
        (count, _) = wire.BATCH_FORGET_IN.unpack_from(request.body)
        start, size = wire.BATCH_FORGET_IN.size, wire.FORGET_ONE.size
        for node, lookups in wire.FORGET_ONE.iter_unpack(request.body[start : start + count * size]):
            self._files.forget(node, lookups)

    def _mkdir(self, request: Request) -> Answer:
        (mode, _), name = wire.MKDIR_IN.unpack_from(request.body), name_in(request.body[wire.MKDIR_IN.size :])
        return self._entry(self._files.mkdir(request.node, name, mode, request.caller))

    def _mknod(self, request: Request) -> Answer:
        mode, device, _, _ = wire.MKNOD_IN.unpack_from(request.body)
        name = name_in(request.body[wire.MKNOD_IN.size :])
        return self._entry(self._files.mknod(request.node, name, mode, device, request.caller))

    def _symlink(self, request: Request) -> Answer:
        name, target = wire.names(request.body, 2)
        return self._entry(self._files.symlink(request.node, short(name), target, request.caller))

    def _readlink(self, request: Request) -> Answer:
        return Answer(self._files.readlink(request.node))

    def _unlink(self, request: Request) -> Answer:
        self._files.unlink(request.node, name_in(request.body), request.caller)
        return DONE

    def _rmdir(self, request: Request) -> Answer:
        self._files.rmdir(request.node, name_in(request.body), request.caller)
        return DONE

    def _rename(self, request: Request) -> Answer:
        (folder,) = wire.RENAME_IN.unpack_from(request.body)
        return self._move(request, folder, 0, request.body[wire.RENAME_IN.size :])

    def _rename2(self, request: Request) -> Answer:
        folder, flags, _ = wire.RENAME2_IN.unpack_from(request.body)
        return self._move(request, folder, flags, request.body[wire.RENAME2_IN.size :])

    def _move(self, request: Request, folder: int, flags: int, names: memoryview) -> Answer:
        old, new = map(short, wire.names(names, 2))
        self._files.rename(request.node, old, folder, new, flags, request.caller)
        return DONE

    # Attributes

    def _getattr(self, request: Request) -> Answer:
        flags, _, handle = wire.GETATTR_IN.unpack_from(request.body)
        given = handle if flags & wire.GETATTR_FH else None
        return self._attributes(*self._files.getattr(request.node, given, request.caller))

    def _setattr(self, request: Request) -> Answer:
        change = change_in(request.body)
        if change == Change(handle=change.handle):  # atime and ctime alone, which nobody keeps
            return self._attributes(*self._files.getattr(request.node, change.handle, request.caller))
        return self._attributes(*self._files.setattr(request.node, change, request.caller))

    def _statfs(self, _: Request) -> Answer:
        total, free = (each // wire.PAGE for each in self._files.statfs())
        return Answer(wire.KSTATFS.pack(total, free, free, _FILES, _FILES, wire.PAGE, LONGEST, wire.PAGE, 0))

    # Files

    def _open(self, request: Request) -> Answer:
        flags, _ = wire.OPEN_IN.unpack_from(request.body)
        opened = self._files.open(request.node, flags, request.caller)
        return Answer(opened_out(opened), partial(self._files.release, request.node, opened.handle))

    def _create(self, request: Request) -> Answer:
        flags, mode, _, _ = wire.CREATE_IN.unpack_from(request.body)
        name = name_in(request.body[wire.CREATE_IN.size :])
        entry, opened = self._files.create(request.node, name, flags, mode, request.caller)
        answer = self._entry(entry)

        def undo() -> None:
            if entry.attributes:
                self._files.release(entry.attributes.node, opened.handle)
                self._files.forget(entry.attributes.node, 1)

        return Answer(bytes(answer.data) + opened_out(opened), undo)

    def _read(self, request: Request) -> Answer:
        handle, offset, size, *_ = wire.READ_IN.unpack_from(request.body)
        return Answer(self._files.read(request.node, handle, offset, size))

    def _write(self, request: Request) -> Answer:
        handle, offset, size, *_ = wire.WRITE_IN.unpack_from(request.body)
        data = request.body[wire.WRITE_IN.size : wire.WRITE_IN.size + size]
        return Answer(wire.WRITE_OUT.pack(self._files.write(request.node, handle, offset, data), 0))

    def _flush(self, request: Request) -> Answer:
        self._files.flush(request.node, handle_in(request))
        return DONE

    def _fsync(self, request: Request) -> Answer:
        self._files.fsync(request.node, handle_in(request))
        return DONE

    def _release(self, request: Request) -> Answer:
        self._files.release(request.node, handle_in(request))
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
        self._files.releasedir(request.node, handle_in(request))
        return DONE

    def _readdir(self, request: Request) -> Answer:
        handle, offset, room, *_ = wire.READ_IN.unpack_from(request.body)
        data = bytearray()
        for item in self._files.readdir(request.node, handle, offset, plus=False):
            entry = dirent_out(item.node, item.next, item.mode, item.name)
            if len(data) + len(entry) > room:
                break
            data += entry
        return Answer(memoryview(data))

    def _readdirplus(self, request: Request) -> Answer:
        handle, offset, room, *_ = wire.READ_IN.unpack_from(request.body)
        data, nodes = bytearray(), list[int]()
        for item in self._files.readdir(request.node, handle, offset, plus=True):
            given = item.entry.attributes if item.entry else None
            entry = dirent_out(item.node, item.next, item.mode, item.name)
            if given:
                nodes.append(given.node)
            if len(data) + ENTRY_SIZE + len(entry) > room:
                if given:
                    self._files.forget(nodes.pop(), 1)
                break
            data += (
                entry_out(item.entry, self._show) if item.entry and given else NO_ENTRY
            )  # a node of 0 promises nothing
            data += entry
        return Answer(memoryview(data), partial(self._forget_all, nodes))

    def _forget_all(self, nodes: list[int]) -> None:
        for node in nodes:
            self._files.forget(node, 1)

    def _entry(self, entry: Entry) -> Answer:
        node = entry.attributes.node if entry.attributes else 0
        return Answer(entry_out(entry, self._show), partial(self._files.forget, node, 1) if node else None)

    def _attributes(self, given: Attributes, valid: float) -> Answer:
        return Answer(attributes_out(self._show(given), valid))


def _refuse(number: int) -> Callable[[Request], Answer | None]:
    def refused(request: Request) -> Answer | None:
        raise Refused(number, wire.NAMES.get(request.opcode, str(request.opcode)))

    return refused


class Refused(OSError):
    """An operation that this file system does not have; nothing to write into a log."""
