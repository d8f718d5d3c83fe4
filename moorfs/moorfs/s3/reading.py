"""One ranged read into a file, that goes on where a broken answer stopped and never mixes two states of an object."""

import errno
import os

from moorfs.ports import Changed, Head, Range, StoreError
from moorfs.s3.call import Call
from moorfs.s3.connection import Connection
from moorfs.s3.integrity import bare, quoted
from moorfs.s3.objects import head_of
from moorfs.s3.patience import Trouble
from moorfs.s3.reply import Reply


class Reading:
    """`sink.length` bytes of an object from `start` into the sink. Made for one run of `Caller.run`."""

    def __init__(self, key: str, sink: Range, start: int, match: str | None, trouble: Trouble) -> None:
        self._key = key
        self._sink = sink
        self._start = start
        self._match = match
        self._trouble = trouble
        self._done = 0

    def call(self) -> Call:
        first, last = self._start + self._done, self._start + self._sink.length - 1
        headers = {"range": f"bytes={first}-{last}"}
        if self._match is not None:
            headers["if-match"] = quoted(self._match)
        return Call("get", "GET", self._key, headers=headers)

    def take(self, connection: Connection, reply: Reply) -> Head:
        head = head_of(reply.headers)
        if self._match is not None and bare(self._match) != head.etag:  # engines that ignore If-Match
            raise Changed(errno.ESTALE, f"S3 get {self._key}: it is another object now ({head.etag})")
        self._match = head.etag
        skip = self._skip(reply)
        for piece in connection.pieces(reply):
            view = memoryview(piece)
            if skip:
                view, skip = view[skip:], max(0, skip - len(view))
            self._write(view[: self._sink.length - self._done])
            if self._done == self._sink.length and reply.status != 206:  # of a whole object the rest is not wanted
                break
        if self._done < self._sink.length:
            raise Changed(errno.ESTALE, f"S3 get {self._key}: it has only {head.size} bytes now")
        return head

    def _skip(self, reply: Reply) -> int:
        """Bytes before those that were asked: an engine may ignore Range and send the whole."""
        if reply.status == 200:
            return self._start + self._done
        first = reply.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        if first.strip() != str(self._start + self._done):
            raise StoreError(errno.EIO, f"S3 get {self._key}: the engine sent another range ({first}) than was asked")
        return 0

    def _write(self, view: memoryview) -> None:
        while view:
            written = os.pwrite(self._sink.fd, view, self._sink.offset + self._done)
            self._done += written
            view = view[written:]
            self._trouble.progress()
