"""HEADs of many objects by one thread: each of a few connections carries one, and gets the next as soon as its answer
is read. Threads, one for each HEAD, fight for Python's lock and take three times as long.

Nothing is repeated here. What does not go well is left open, for the caller to ask by itself, with all the patience
that a single call has.
"""

import errno
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice

from moorfs.ports import Head, Missing
from moorfs.s3.call import Call, Caller
from moorfs.s3.connection import Connection, Lost
from moorfs.s3.objects import head_of
from moorfs.s3.pool import Distrusted, Pool

WIDTH = 16
BUCKET_KNOWN = 10.0
"""Seconds for which an answer shows that the bucket is there, so that a 404 is about the object."""


@dataclass(slots=True)
class _Sent:
    connection: Connection
    began: float


class Convoy:
    """One run. `broken`: a connection was lost, which says that the others are about to be, and that nothing more
    should be sent before somebody has found the engine there again."""

    def __init__(self, caller: Caller, pool: Pool, keys: Sequence[str], width: int = WIDTH) -> None:
        self._caller = caller
        self._pool = pool
        self._keys = keys
        self._width = width
        self._broken = False
        self._under_way: deque[_Sent | None] = deque()

    def run(self) -> Generator[tuple[float, Head | Missing | None]]:
        """For each key, in their order: when it was asked for (time.monotonic()), and what came, or None."""
        following = iter(self._keys)
        try:
            for key in islice(following, self._width):
                self._under_way.append(self._send(key, None))
            while self._under_way:
                sent = self._under_way.popleft()
                head = self._receive(sent) if sent else None
                free = sent.connection if sent and sent.connection.keep else None
                if (key := next(following, None)) is not None:
                    self._under_way.append(self._send(key, free))
                elif free:
                    self._pool.give(free)
                yield (sent.began if sent else time.monotonic()), head
        finally:
            for sent in filter(None, self._under_way):
                self._pool.give(sent.connection)  # which closes it, for its answer was not read

    def _send(self, key: str, free: Connection | None) -> _Sent | None:
        if self._broken or self._caller.closed:
            if free:
                self._pool.give(free)
            return None
        connection = free
        try:
            connection = connection or self._pool.take()
            connection.send(self._caller.signed(Call("head", "HEAD", key)))
        except (Lost, Distrusted):
            self._lost(connection)
            return None
        return _Sent(connection, time.monotonic())

    def _receive(self, sent: _Sent) -> Head | Missing | None:
        if self._broken:  # it may be as dead, and each would be waited for
            self._pool.give(sent.connection)
            return None
        try:
            reply = sent.connection.reply(bodiless=True)
        except Lost:
            self._lost(sent.connection)
            return None
        self._caller.counters.call("head", time.monotonic() - sent.began, 0, 0, again=False)
        self._caller.heard(reply)
        if not sent.connection.keep:
            self._pool.give(sent.connection)
        if reply.status == 404 and self._caller.fresh(BUCKET_KNOWN):
            return Missing(errno.ENOENT, "no such object", reply.status)
        return head_of(reply.headers) if reply.status < 300 else None

    def _lost(self, connection: Connection | None) -> None:
        self._broken = True
        if connection:
            connection.keep = False
            self._pool.give(connection)
