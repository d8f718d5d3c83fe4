"""Bodies out of files into sockets; over plain HTTP they never come into our memory."""

import errno
import os
import select
import socket
import struct

from moorfs.ports import Range, StoreError

TLS_PIECE = 1 << 18
_AT_ONCE = 8 << 20
FILE_ERRORS = frozenset({errno.EIO, errno.EBADF, errno.EINVAL, errno.ESTALE, errno.EISDIR, errno.ESPIPE})


def wait_in_kernel(made: socket.socket, timeout: float) -> None:
    """Let calls wait there, and not in a poll before each: a MiB then costs one call and one fight for Python's lock,
    not ten. A call that got nothing for so long raises EAGAIN."""
    made.settimeout(None)
    seconds = struct.pack("@ll", int(timeout), int(timeout % 1 * 1e6))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)


def send_file(out: socket.socket, body: Range, timeout: float) -> None:
    """By sendfile(2). `timeout`: seconds that the engine may take nothing. StoreError for trouble with the file."""
    offset, end = body.offset, body.offset + body.length
    while offset < end:
        try:
            sent = os.sendfile(out.fileno(), body.fd, offset, min(end - offset, _AT_ONCE))
        except BlockingIOError:
            _wait_writable(out, timeout)
            continue
        except OSError as error:
            if error.errno in FILE_ERRORS:
                raise StoreError(error.errno, f"the cache file cannot be read: {error}") from error
            raise
        if not sent:
            raise StoreError(errno.EIO, "the file became shorter while it was sent")
        offset += sent


def _wait_writable(out: socket.socket, timeout: float) -> None:
    poll = select.poll()
    poll.register(out, select.POLLOUT)
    if not poll.poll(timeout * 1000):
        raise TimeoutError(f"the engine took no bytes for {timeout:g} s")


def send_read(out: socket.socket, body: Range) -> None:
    """Read and sent, for TLS."""
    buffer = memoryview(bytearray(min(TLS_PIECE, body.length)))
    offset, end = body.offset, body.offset + body.length
    while offset < end:
        got = read_file(body.fd, buffer[: end - offset], offset)
        out.sendall(buffer[:got])
        offset += got


def read_file(fd: int, buffer: memoryview, offset: int) -> int:
    """Bytes read, at least one. StoreError, which tells trouble with the file from trouble with the network."""
    try:
        got = os.preadv(fd, [buffer], offset)
    except OSError as error:
        raise StoreError(error.errno or errno.EIO, f"the cache file cannot be read: {error}") from error
    if not got:
        raise StoreError(errno.EIO, "the file became shorter while it was stored")
    return got
