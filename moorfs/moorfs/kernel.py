"""The kernel's side of a mount: /dev/fuse, backing files, notices."""

import errno
import fcntl
import logging
import mmap
import os
import select
import time
from collections.abc import Sequence

from moorfs import wire
from moorfs.agreement import MAX_WRITE, NoTakeoverError
from moorfs.ports import Backing

log = logging.getLogger(__name__)

BUFFER = MAX_WRITE + wire.PAGE  # the kernel wants room for the largest write and its headers
_RESIDENT = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
_SHORT = 50  # milliseconds
_BRISK = 60e-6
_ENGINE_BRISK = 1e-3
"""Seconds for which a thread looks again and again for what most likely comes at once, before it sleeps: to be woken
takes long, most of all on a virtual machine, and somebody waits. For the engine only while its answers are quick."""


class EndedError(Exception):
    """The connection is no more: unmounted, or aborted."""


def buffer() -> memoryview:
    """For `Kernel.read`, with all its pages in memory: where one is missing when this process is killed while the
    kernel copies a request there, the caller gets EIO, and the request is not sent again (fuse_dev_do_read)."""
    return memoryview(mmap.mmap(-1, BUFFER, flags=_RESIDENT))


class Kernel:
    """One connection. One thread at a time reads (the leader); any thread writes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(self._stop, select.POLLIN)
        self._engine_is_quick = True
        self.stopping = False
        os.set_blocking(fd, False)  # a request may be gone between poll and read
        os.set_inheritable(fd, False)

    def stop(self) -> None:
        """Nothing is read any more; who waits in `read` comes back."""
        self.stopping = True
        os.eventfd_write(self._stop, 1)

    def read(self, buffer: memoryview, sleep: bool = True) -> int:
        """The length of the next request, in `buffer` (of BUFFER bytes); 0 after `stop`. EndedError at the end.
        Without `sleep` 0 too when none comes at once."""
        while not self.stopping:
            try:
                found = _poll(self._poll, None if sleep else 0, _BRISK)
                if length := self.read_now(buffer):
                    return length
                if not found:
                    return 0
            except InterruptedError:
                continue
        return 0

    def read_now(self, buffer: memoryview) -> int:
        """The same without waiting: 0 too when there is none."""
        try:
            return 0 if self.stopping else os.readv(self._fd, [buffer])
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ECONNABORTED):
                raise EndedError from None
            if error.errno not in (errno.EAGAIN, errno.EINTR, errno.ENOENT):  # ENOENT: the caller took it back
                raise
            return 0

    def idle_until(self, fd: int) -> bool | None:
        """Wait until `fd` can be read (True) or a request comes (False), but not for long (None)."""
        poll = select.poll()
        for each in (fd, self._fd, self._stop):
            poll.register(each, select.POLLIN)
        began = time.monotonic()
        found = [each for each, _ in _poll(poll, _SHORT, _ENGINE_BRISK if self._engine_is_quick else 0.0)]
        if found == [fd]:
            self._engine_is_quick = time.monotonic() - began < _ENGINE_BRISK
        return None if not found or self._stop in found else found == [fd]

    def answer(self, unique: int, data: Sequence[bytes | bytearray | memoryview] = (), error: int = 0) -> bool:
        """Reply to a request; False when nobody waits for it any more. OSError for a reply that the kernel refuses."""
        length = wire.OUT_HEADER.size + sum(map(len, data))
        try:
            os.writev(self._fd, [wire.OUT_HEADER.pack(length, -error, unique), *data])
        except OSError as refused:
            if refused.errno == errno.ENOENT:
                return False
            if refused.errno in (errno.ENODEV, errno.EPERM, errno.ECONNABORTED):  # unmounted, or aborted, meanwhile
                return False
            raise
        return True

    def resend(self) -> None:
        """Requests that were read and never answered are given again, with wire.RESENT in their number.

        Raises NoTakeoverError where the kernel cannot (before 6.9), EndedError where there is no connection any more.
        """
        try:
            self._notify(wire.NOTIFY_RESEND)
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENOTCONN):
                raise EndedError from None
            raise NoTakeoverError(f"this kernel sends no request again ({error.strerror})") from None

    def forget_data(self, node: int) -> None:
        """Drop the kernel's cached pages and attributes of a node. Not from within a request about that node."""
        self._quietly(wire.NOTIFY_INVAL_INODE, wire.NOTIFY_INVAL_INODE_OUT.pack(node, 0, 0))

    def forget_name(self, parent: int, name: bytes) -> None:
        """Drop a cached name. Not from within a request that holds the folder: the kernel waits for that."""
        head = wire.NOTIFY_INVAL_ENTRY_OUT.pack(parent, len(name), 0)
        self._quietly(wire.NOTIFY_INVAL_ENTRY, head, name + b"\0")

    def backing(self) -> Backing:
        """Backing files of passthrough; the ids belong to the connection and outlive a process."""
        return Backing(self._backing_open, self._backing_close)

    def _backing_open(self, fd: int) -> int:
        # a bytearray: with bytes, fcntl.ioctl returns the buffer and not the id
        return fcntl.ioctl(self._fd, wire.DEV_IOC_BACKING_OPEN, bytearray(wire.BACKING_MAP.pack(fd, 0, 0)))

    def _backing_close(self, number: int) -> None:
        fcntl.ioctl(self._fd, wire.DEV_IOC_BACKING_CLOSE, bytearray(wire.BACKING_ID.pack(number)))

    def _notify(self, code: int, *parts: bytes) -> None:
        length = wire.OUT_HEADER.size + sum(map(len, parts))
        os.writev(self._fd, [wire.OUT_HEADER.pack(length, code, 0), *parts])

    def _quietly(self, code: int, *parts: bytes) -> None:
        try:
            self._notify(code, *parts)
        except OSError as error:
            if error.errno != errno.ENOENT:  # the kernel does not know the node or name, which is as good
                log.warning("notice %d failed: %s", code, error.strerror)


def _poll(poll: "select.poll", most: int | None, brisk: float) -> list[tuple[int, int]]:
    """What is ready; `brisk`: seconds for which it looks before it sleeps, `most`: milliseconds that it sleeps then."""
    end = time.monotonic() + brisk
    while time.monotonic() < end:
        if found := poll.poll(0):
            return found
    return poll.poll(most)
