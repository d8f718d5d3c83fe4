"""What callers asked of a mount, counted: for `stats`, and in Prometheus' text format.

The names are those of all volumes: moorage_volume_*{volume="namespace/name"}; operations that the kernel does by
itself (reads and writes of passthrough, cached names) are not seen here.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Upper bounds in seconds
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# What is told of S3 calls: the store's name for it, and the metric's
_S3 = {
    "calls": "requests", "errors": "errors", "retries": "retries", "throttled": "throttled", "seconds": "seconds",
    "sent": "sent_bytes", "received": "received_bytes",
}  # fmt: skip

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
            for number, bound in enumerate(BUCKETS):
                if seconds <= bound:
                    found.buckets[number] += 1
                    break

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
        volume = self.volume.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        with self._lock:
            return "\n".join(
                (*self._operations(volume), *_calls(volume, s3), *_figures(volume, {**self._bytes(), **more}), "")
            )

    def _bytes(self) -> dict[str, float]:
        return {"read_bytes_total": self.read_bytes, "written_bytes_total": self.written_bytes}

    def _operations(self, volume: str) -> Iterator[str]:
        yield "# TYPE moorage_volume_operation_errors_total counter"
        for name, each in sorted(self.operations.items()):
            yield f'moorage_volume_operation_errors_total{{volume="{volume}",op="{name}"}} {each.errors}'
        yield "# HELP moorage_volume_operation_seconds How long callers waited; its count is the number of operations."
        yield "# TYPE moorage_volume_operation_seconds histogram"
        for name, each in sorted(self.operations.items()):
            labels, below = f'volume="{volume}",op="{name}"', 0
            for bound, count in zip(BUCKETS, each.buckets, strict=True):
                below += count
                yield f'moorage_volume_operation_seconds_bucket{{{labels},le="{bound}"}} {below}'
            yield f'moorage_volume_operation_seconds_bucket{{{labels},le="+Inf"}} {each.count}'
            yield f"moorage_volume_operation_seconds_sum{{{labels}}} {each.seconds:.6f}"
            yield f"moorage_volume_operation_seconds_count{{{labels}}} {each.count}"


def _calls(volume: str, s3: Tallies) -> Iterator[str]:
    for field_name, name in _S3.items():
        yield f"# TYPE moorage_volume_s3_{name}_total counter"
        for operation, tally in s3.items():
            yield f'moorage_volume_s3_{name}_total{{volume="{volume}",op="{operation}"}} {tally[field_name]}'


def _figures(volume: str, figures: Mapping[str, float]) -> Iterator[str]:
    for name, value in sorted(figures.items()):
        yield f"# TYPE moorage_volume_{name} {'counter' if name.endswith('_total') else 'gauge'}"
        yield (
            f'moorage_volume_{name}{{volume="{volume}"}} {value:g}'
            if value % 1
            else (f'moorage_volume_{name}{{volume="{volume}"}} {value:.0f}')
        )
