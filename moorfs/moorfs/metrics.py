"""What callers asked of a mount, counted: for `stats`, and in Prometheus' text format.

The names are those of `moorage.volumemetrics`; operations that the kernel does by itself (reads and writes of
passthrough, cached names) are not seen here.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from moorage import volumemetrics as names
from moorage.volumemetrics import Family, Labels, Page

# Upper bounds in seconds
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# What is told of S3 calls: the store's name for it, and the metric's
_S3 = {
    "calls": Family("moorage_volume_s3_requests_total", "Requests to the bucket that went out."),
    "errors": Family("moorage_volume_s3_errors_total", "Calls that failed for good."),
    "retries": Family("moorage_volume_s3_retries_total", "Requests that were repetitions."),
    "throttled": Family("moorage_volume_s3_throttled_total", "Requests that the engine wanted slower."),
    "seconds": Family("moorage_volume_s3_seconds_total", "Time that requests took."),
}  # fmt: skip
_NETWORK = {"received": "read", "sent": "write"}

Tallies = Mapping[str, Mapping[str, object]]


@dataclass(slots=True)
class Operation:
    """Of one kind: how many, how many of them failed, their time, and how many took up to each of BUCKETS."""

    count: int = 0
    errors: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))


@dataclass(slots=True)
class Metrics:
    """`volume`: namespace/name."""

    volume: str
    operations: dict[str, Operation] = field(default_factory=dict[str, Operation])
    read_bytes: int = 0
    written_bytes: int = 0
    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, name: str, seconds: float, failed: bool, read: int = 0, written: int = 0) -> None:
        with self._lock:
            found = self.operations.get(name)
            if found is None:
                found = self.operations[name] = Operation()
            found.count += 1
            found.errors += failed
            found.seconds += seconds
            self.read_bytes += read
            self.written_bytes += written
            slot = bisect_left(BUCKETS, seconds)
            if slot < len(BUCKETS):
                found.buckets[slot] += 1

    def figures(self) -> dict[str, Any]:
        """For `stats`: JSON values."""
        with self._lock:
            return {
                "uptime": round(time.monotonic() - self.started, 3),
                "readBytes": self.read_bytes,
                "writtenBytes": self.written_bytes,
                "operations": {
                    name: {"count": each.count, "errors": each.errors, "seconds": round(each.seconds, 6)}
                    for name, each in sorted(self.operations.items())
                },
            }

    def text(self, more: Mapping[str, float], s3: Tallies) -> str:
        """In Prometheus' format; `more` are figures by name: `*_total` are counters, the others gauges; `s3` as the
        store counts its calls."""
        page, labels = Page(), Labels.of(self.volume, names.OBJECT)
        with self._lock:
            self._operations(page, labels)
            page.add(names.BYTES, labels, self.read_bytes, direction="read")
            page.add(names.BYTES, labels, self.written_bytes, direction="write")
        _calls(page, labels, s3)
        names.figures(page, labels, more)
        return page.text()

    def _operations(self, page: Page, labels: Labels) -> None:
        for name, each in sorted(self.operations.items()):
            page.add(names.OPERATIONS, labels, each.count, operation=name)
            page.add(names.ERRORS, labels, each.errors, operation=name)
            page.add(names.SECONDS, labels, each.seconds, operation=name)
            below = 0
            for bound, count in zip((*BUCKETS, "+Inf"), (*each.buckets, each.count - sum(each.buckets)), strict=True):
                below += count
                page.add(names.DURATION, labels, below, "_bucket", operation=name, le=str(bound))
            page.add(names.DURATION, labels, each.seconds, "_sum", operation=name)
            page.add(names.DURATION, labels, each.count, "_count", operation=name)


def _calls(page: Page, labels: Labels, s3: Tallies) -> None:
    for key, direction in _NETWORK.items():
        page.add(names.NETWORK, labels, sum(_figure(tally, key) for tally in s3.values()), direction=direction)
    for operation, tally in s3.items():
        for key, family in _S3.items():
            page.add(family, labels, _figure(tally, key), operation=operation)


def _figure(tally: Mapping[str, object], key: str) -> float:
    return cast("float", tally[key])
