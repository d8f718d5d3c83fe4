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
from moorfs.s3.connection import Connection, Lost, Reply
from moorfs.s3.objects import head_of
from moorfs.s3.pool import Distrusted, Pool

WIDTH, DEPTH = 8, 4
"""Connections, and requests on each: the engine finds the next one there when it has answered one (RFC 9112, 9.3.2)."""
BUCKET_KNOWN = 10.0
"""Seconds for which an answer shows that the bucket is there, so that a 404 is about the object."""


@dataclass(slots=True)
class _Batch:
    """Requests on one connection; `left` of them have no answer yet. None: nobody can answer them."""

    connection: Connection | None
    began: float
    left: int


class Convoy:
    """One run. `broken`: a connection was lost, which says that the others are about to be, and that nothing more
    should be sent before somebody has found the engine there again. A connection's first request is alone: engines that
    close after each answer say so in it."""

    def __init__(self, caller: Caller, pool: Pool, keys: Sequence[str], width: int = WIDTH, depth: int = DEPTH) -> None:
        self._caller = caller
        self._pool = pool
        self._keys = iter(keys)
        self._width = width
        self._depth = depth
        self._broken = False
        self._under_way: deque[_Batch] = deque()

    def run(self) -> Generator[tuple[float, Head | Missing | None]]:
        """For each key, in their order: when it was asked for (time.monotonic()), and what came, or None."""
        try:
            for _ in range(self._width):
                self._send(None)
            while self._under_way:
                batch = self._under_way[0]
                for _ in range(batch.left):
                    yield batch.began, self._receive(batch)
                self._under_way.popleft()
                self._send(batch.connection)
        finally:
            for batch in self._under_way:
                self._let_go(batch.connection)

    def _send(self, free: Connection | None) -> None:
        """The next few, by the connection that is free, or by another."""
        if free and not free.keep:
            self._let_go(free)
            free = None
        keys = list(islice(self._keys, self._depth if free else 1))
        if not keys or self._broken or self._caller.closed:
            self._let_go(free)
            free = None
        elif free is None:
            free = self._taken()
        if free and not self._sent(free, keys):
            free = None
        if keys:
            self._under_way.append(_Batch(free, time.monotonic(), len(keys)))

    def _taken(self) -> Connection | None:
        try:
            return self._pool.take()
        except (Lost, Distrusted):
            self._broken = True
            return None

    def _sent(self, connection: Connection, keys: Sequence[str]) -> bool:
        try:
            connection.send(b"".join(self._caller.signed(Call("head", "HEAD", key)) for key in keys))
        except Lost:
            self._broken = True
            self._let_go(connection)
            return False
        return True

    def _receive(self, batch: _Batch) -> Head | Missing | None:
        if batch.connection is None:
            return None
        try:
            reply = None if self._broken else batch.connection.reply(bodiless=True)
        except Lost:
            reply = None
        if reply is None:  # when one is lost the others may be as dead, and each would be waited for
            self._broken = True
            self._end(batch)
            return None
        return self._heard(batch, batch.connection, reply)

    def _heard(self, batch: _Batch, connection: Connection, reply: Reply) -> Head | Missing | None:
        batch.left -= 1
        if batch.left:
            connection.keep = False  # for anybody else: there are answers to come
        self._caller.counters.call("head", time.monotonic() - batch.began, 0, 0, again=False)
        self._caller.heard(reply)
        if reply.headers.get("connection", "").lower() == "close":
            self._end(batch)
        if reply.status == 404 and self._caller.fresh(BUCKET_KNOWN):
            return Missing(errno.ENOENT, "no such object", reply.status)
        return head_of(reply.headers) if reply.status < 300 else None

    def _end(self, batch: _Batch) -> None:
        self._let_go(batch.connection)
        batch.connection = None

    def _let_go(self, connection: Connection | None) -> None:
        """Back to the pool, which closes it unless all it was asked was answered."""
        if connection:
            self._pool.give(connection)
