"""A call to the engine: signed, sent, answered, and repeated while that makes sense."""

import errno
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from moorfs.ports import Range, StoreError
from moorfs.s3.connection import Connection
from moorfs.s3.counters import Counters
from moorfs.s3.dates import http_date
from moorfs.s3.endpoint import Endpoint
from moorfs.s3.errors import SKEWED, Refusal, refusal
from moorfs.s3.keys import KeyFile
from moorfs.s3.patience import MOST_BROKEN, MOST_KEYS, MOST_SKEWS, Trouble, backoff
from moorfs.s3.pool import Distrusted, Pool
from moorfs.s3.reply import Lost, Reply
from moorfs.s3.signing import Signing

T = TypeVar("T")
Query = tuple[tuple[str, str], ...]
Consume = Callable[[Connection, Reply], T]

SMALL = 1 << 13  # bytes: with its headers it goes into any socket's buffer
NOTICED_SKEW = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """`operation` is its name in the counters. `key` None: the bucket itself."""

    operation: str
    method: str
    key: str | None
    query: Query = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | Range = b""

    @property
    def what(self) -> str:
        return f"S3 {self.operation} {self.key if self.key is not None else ''}".rstrip()

    @property
    def size(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


class Caller:
    """Speaks to one bucket from any number of threads. `on_wait` is called before each wait for the network."""

    def __init__(
        self,
        endpoint: Endpoint,
        pool: Pool,
        keys: KeyFile,
        region: str,
        patience: float | None = None,
        on_wait: Callable[[], None] = lambda: None,
        on_reply: Callable[[int], None] | None = None,
    ) -> None:
        self.counters = Counters()
        self.down_since: float | None = None
        """time.time() since when the engine does not answer; None: it does."""
        self.answered = 0.0
        """time.monotonic() of the last answer that shows that the bucket is there."""
        self._pool = pool
        self._keys = keys
        self._signing = Signing(endpoint, region)
        self._patience = patience
        self.on_wait = on_wait
        self._on_reply: Callable[[int], None] = on_reply or (lambda _: on_wait())
        self._closed = threading.Event()

    def close(self) -> None:
        """Calls under way and all later ones raise StoreError ESHUTDOWN, soon."""
        self._closed.set()
        self._pool.close()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def fresh(self, seconds: float) -> bool:
        """Whether some call succeeded that lately: the bucket is there."""
        return bool(self.answered) and time.monotonic() - self.answered < seconds

    def trouble(self) -> Trouble:
        return Trouble(self._patience)

    def run(self, make: Callable[[], Call], consume: "Consume[T]", trouble: Trouble | None = None) -> T:
        """What `consume` makes of the answer. Both may be called several times; StoreError at the end of patience."""
        trouble = trouble or self.trouble()
        again = False
        while True:
            call = make()
            try:
                return self._attempt(call, consume, trouble, again)
            except Lost as lost:
                trouble.lost |= lost.sent
                pause = self._after_loss(call, lost, trouble)
            except Refusal as refused:
                pause = self._after_refusal(call, refused, trouble)
            except Distrusted as distrust:
                pause = self._after_distrust(call, distrust, trouble)
            again = True
            self._wait(call, pause)

    def _attempt(self, call: Call, consume: "Consume[T]", trouble: Trouble, again: bool) -> T:
        if self._closed.is_set():
            raise StoreError(errno.ESHUTDOWN, f"{call.what}: the store is being closed")
        began = time.monotonic()
        connection = self._taken(call)
        got = connection.got
        try:
            trouble.key = self._keys.key
            connection.send(self._signing.head(call, trouble.key), call.body)
            connection.until_reply(self._on_reply, self.on_wait)
            reply = connection.reply(call.method == "HEAD", self.on_wait)
            if reply.length != 0:
                self.on_wait()
            self.heard(reply.status)
            if reply.status >= 300:
                raise refusal(reply.status, reply.headers, connection.body(reply))
            return consume(connection, reply)
        except Lost as lost:
            if connection.used_before and not connection.got - got and not trouble.failures:
                self._pool.forget_idle()
                trouble.lost |= lost.sent
                return self._attempt_anew(call, consume, trouble)
            raise
        finally:
            self.counters.call(call.operation, time.monotonic() - began, call.size, connection.got - got, again)
            self._pool.give(connection)

    def _taken(self, call: Call) -> Connection:
        """Small requests are out before `on_wait`: they wait for nothing (an idle connection has room for them), and
        the engine works already while another thread wakes up."""
        connection = self._pool.idle() if isinstance(call.body, bytes) and call.size <= SMALL else None
        if connection is None:
            self.on_wait()
            connection = self._pool.take()
        return connection

    def _attempt_anew(self, call: Call, consume: "Consume[T]", trouble: Trouble) -> T:
        """A kept connection was dead, which says nothing of the engine: again at once, on a connection of now."""
        trouble.failures += 1
        try:
            return self._attempt(call, consume, trouble, again=True)
        finally:
            trouble.failures -= 1

    def signed_heads(self, keys: Sequence[str]) -> bytes:
        """HEAD requests, one after the other."""
        return self._signing.heads(keys, self._keys.key)

    def heard(self, status: int) -> None:
        """The engine answered."""
        if status < 500 or status == 501:
            self.down_since = None
        if status < 300:
            self.answered = time.monotonic()

    # What follows a failure: seconds to wait before the next attempt, or the error for the caller.

    def _after_loss(self, call: Call, lost: Lost, trouble: Trouble) -> float:
        self.down_since = self.down_since or time.time()
        return self._pause(call, lost, trouble)

    def _after_distrust(self, call: Call, distrust: Distrusted, trouble: Trouble) -> float:
        self._pool.trust_again()
        trouble.broken += 1
        if trouble.broken > 2:
            self.counters.error(call.operation)
            raise StoreError(errno.EIO, f"{call.what}: {distrust}: the CA file does not fit the engine's certificate")
        return backoff(trouble.broken)

    def _after_refusal(self, call: Call, refused: Refusal, trouble: Trouble) -> float:
        if refused.busy:
            self.counters.throttled(call.operation)
            self.down_since = self.down_since or time.time()
            return self._pause(call, f"{refused.status} {refused.code}", trouble, _wish(refused.headers))
        if refused.broken and trouble.broken < MOST_BROKEN:
            trouble.broken += 1
            return backoff(trouble.broken)
        if self._skewed(refused) and trouble.skews < MOST_SKEWS:
            trouble.skews += 1
            return 0.0
        if refused.about_key or refused.status in (401, 403):
            if self._keys.reread() or self._keys.key != trouble.key:
                return 0.0
            if refused.about_key and trouble.keys < MOST_KEYS:
                trouble.keys += 1
                return backoff(trouble.keys + 2)
        self.counters.error(call.operation)
        raise refused.error(call.what)

    def _skewed(self, refused: Refusal) -> bool:
        """Whether our clock was wrong, as the Date of the answer shows, and is corrected now."""
        if refused.status != 403 or refused.code not in (SKEWED, ""):
            return False
        theirs = http_date(refused.headers.get("date", ""))
        if theirs is None:
            return False
        skew = timedelta(seconds=theirs - time.time())
        if abs((skew - self._signing.skew).total_seconds()) < NOTICED_SKEW:
            return False
        self._signing.skew = skew
        return True

    def _pause(self, call: Call, why: object, trouble: Trouble, wish: float = 0.0) -> float:
        try:
            return trouble.pause(call.what, why, wish)
        except StoreError:
            self.counters.error(call.operation)
            raise

    def _wait(self, call: Call, seconds: float) -> None:
        self.on_wait()
        if self._closed.wait(seconds):
            self.counters.error(call.operation)
            raise StoreError(errno.ESHUTDOWN, f"{call.what}: the store is being closed")


def _wish(headers: Mapping[str, str]) -> float:
    """Retry-After, in seconds (a date is not worth the trouble: our own backoff is near enough)."""
    return float(text) if (text := headers.get("retry-after", "")).isdecimal() else 0.0
