"""How often each kind of call was made, how it went and how long it took."""

import threading
from bisect import bisect_left
from dataclasses import asdict, dataclass, field

BOUNDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
"""Upper bounds of the latency buckets, in seconds; a last one has no bound."""


@dataclass(slots=True)
class Tally:
    """Of one operation. `calls` counts every request that went out, `retries` those that were repetitions, `errors`
    what the caller got; `seconds` is the sum over calls; bytes are those of bodies."""

    calls: int = 0
    errors: int = 0
    retries: int = 0
    throttled: int = 0
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


class Counters:
    """Any thread counts; `snapshot` is plain JSON."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, Tally] = {}

    def call(self, operation: str, seconds: float, sent: int, received: int, again: bool) -> None:
        slot = bisect_left(BOUNDS, seconds)
        with self._lock:
            tally = self._of.get(operation) or self._of.setdefault(operation, Tally())
            tally.calls += 1
            tally.retries += again
            tally.seconds += seconds
            tally.sent += sent
            tally.received += received
            tally.buckets[slot] += 1

    def error(self, operation: str) -> None:
        with self._lock:
            self._of.setdefault(operation, Tally()).errors += 1

    def throttled(self, operation: str) -> None:
        with self._lock:
            self._of.setdefault(operation, Tally()).throttled += 1

    def snapshot(self) -> dict[str, dict[str, object]]:
        with self._lock:
            return {operation: asdict(tally) for operation, tally in sorted(self._of.items())}
