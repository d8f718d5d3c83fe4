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

from moorfs.ports import Head, Missing
from moorfs.s3.call import Caller
from moorfs.s3.connection import Connection
from moorfs.s3.objects import head_of
from moorfs.s3.pool import Distrusted, Pool
from moorfs.s3.reply import Lost, Reply

WIDTH, DEPTH = 8, 16
"""Connections, and requests that are sent to each at once. Each has up to twice as many under way, so that the engine
finds the next one there while we read what it answered (RFC 9112, 9.3.2)."""
BUCKET_KNOWN = 10.0
"""Seconds for which an answer shows that the bucket is there, so that a 404 is about the object."""


@dataclass(slots=True)
class _Lane:
    """A connection, and how many answers it owes. None: it has ended, and nobody can give these."""

    connection: Connection | None
    owed: int = 0
    proved: bool = False
    """It stayed open after an answer."""


@dataclass(slots=True)
class _Batch:
    """Requests sent at once."""

    lane: _Lane
    began: float
    count: int


class Convoy:
    """One run. `broken`: a connection was lost, which says that the others are about to be, and that nothing more
    should be sent before somebody has found the engine there again. A connection's first request is alone: engines that
    close after each answer say so in it."""

    def __init__(self, caller: Caller, pool: Pool, keys: Sequence[str], width: int = WIDTH, depth: int = DEPTH) -> None:
        self._caller = caller
        self._pool = pool
        self._keys = deque(keys)
        self._width = width
        self._depth = min(depth, -(-len(keys) // (2 * width)))  # few keys go to all connections too
        self._broken = False
        self._under_way: deque[_Batch] = deque()

    def run(self) -> Generator[tuple[float, Head | Missing | None]]:
        """For each key, in their order: when it was asked for (time.monotonic()), and what came, or None."""
        try:
            for _ in range(self._width):
                self._fill(_Lane(None))
            while self._under_way:
                batch = self._under_way[0]
                for _ in range(batch.count):
                    yield batch.began, self._receive(batch)
                self._under_way.popleft()
                self._fill(batch.lane)
            for _ in self._keys:
                yield time.monotonic(), None
        finally:
            for batch in self._under_way:
                self._end(batch.lane)

    def _fill(self, lane: _Lane) -> None:
        """As many requests as the lane may have under way; another connection for one that has ended."""
        if lane.connection is None and not lane.owed and self._goes_on:
            lane = self._taken()
        while lane.connection and self._goes_on and lane.owed <= (self._depth if lane.proved else 0):
            self._send(lane, lane.connection)
        if not lane.owed:
            self._end(lane)

    @property
    def _goes_on(self) -> bool:
        return bool(self._keys) and not self._broken and not self._caller.closed

    def _taken(self) -> _Lane:
        try:
            connection = self._pool.take()
        except (Lost, Distrusted):
            self._broken = True
            return _Lane(None)
        return _Lane(connection, proved=connection.used_before)

    def _send(self, lane: _Lane, connection: Connection) -> None:
        keys = [self._keys.popleft() for _ in range(min(len(self._keys), self._depth if lane.proved else 1))]
        lane.owed += len(keys)
        self._under_way.append(_Batch(lane, time.monotonic(), len(keys)))
        try:
            connection.send(self._caller.signed_heads(keys))
        except Lost:
            self._broken = True
            self._end(lane)

    def _receive(self, batch: _Batch) -> Head | Missing | None:
        lane = batch.lane
        lane.owed -= 1
        if lane.connection is None:
            return None
        try:
            reply = None if self._broken else lane.connection.brief()
        except Lost:
            reply = None
        if reply is None:  # when one is lost the others may be as dead, and each would be waited for
            self._broken = True
            self._end(lane)
            return None
        return self._heard(batch, lane.connection, reply)

    def _heard(self, batch: _Batch, connection: Connection, reply: Reply) -> Head | Missing | None:
        self._caller.counters.call("head", time.monotonic() - batch.began, 0, 0, again=False)
        self._caller.heard(reply.status)
        batch.lane.proved = True
        if batch.lane.owed and reply.headers.get("connection", "").lower() != "close":
            connection.keep = False  # for anybody else: there are answers to come
        elif not connection.keep:
            self._end(batch.lane)
        if reply.status == 404 and self._caller.fresh(BUCKET_KNOWN):
            return Missing(errno.ENOENT, "no such object", reply.status)
        return head_of(reply.headers) if reply.status < 300 else None

    def _end(self, lane: _Lane) -> None:
        """Its connection goes back to the pool, which closes it unless all it was asked was answered."""
        connection, lane.connection = lane.connection, None
        if connection:
            self._pool.give(connection)
