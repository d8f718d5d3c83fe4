"""Counters of the driver, in Prometheus' text format. By hand: the client library would cost the node megabytes."""

import resource
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

# Upper bounds in seconds. NodePublish of a staged volume should stay under 0.02 (design, section 9).
BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PAGE = resource.getpagesize()


@dataclass(slots=True)
class Metrics:
    """Calls by method and code, their durations by method, and gauges that are asked for when scraped.

    `others` gives what other processes have to tell, in the same format.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))
    buckets: Counter[tuple[str, float]] = field(default_factory=Counter[tuple[str, float]])
    gauges: dict[str, Callable[[], float]] = field(default_factory=dict[str, Callable[[], float]])
    others: Callable[[], Awaitable[str]] = field(default=lambda: _nothing())

    def observe(self, method: str, code: str, seconds: float) -> None:
        self.calls[method, code] += 1
        self.seconds[method] += seconds
        for bound in BUCKETS:
            if seconds <= bound:
                self.buckets[method, bound] += 1

    def text(self) -> str:
        return "\n".join((*self._operations(), *self._durations(), *self._gauges(), ""))

    def _operations(self) -> Iterator[str]:
        yield "# HELP moorage_csi_operations_total CSI calls answered, by gRPC code."
        yield "# TYPE moorage_csi_operations_total counter"
        for (method, code), count in sorted(self.calls.items()):
            yield f'moorage_csi_operations_total{{method="{method}",code="{code}"}} {count}'

    def _durations(self) -> Iterator[str]:
        yield "# HELP moorage_csi_operation_seconds How long CSI calls took."
        yield "# TYPE moorage_csi_operation_seconds histogram"
        totals = Counter[str]()
        for (method, _), count in self.calls.items():
            totals[method] += count
        for method, total in sorted(totals.items()):
            for bound in BUCKETS:
                count = self.buckets[method, bound]
                yield f'moorage_csi_operation_seconds_bucket{{method="{method}",le="{bound}"}} {count}'
            yield f'moorage_csi_operation_seconds_bucket{{method="{method}",le="+Inf"}} {total}'
            yield f'moorage_csi_operation_seconds_sum{{method="{method}"}} {self.seconds[method]:.6f}'
            yield f'moorage_csi_operation_seconds_count{{method="{method}"}} {total}'

    def _gauges(self) -> Iterator[str]:
        for name, value in sorted({**self.gauges, "process_resident_memory_bytes": resident}.items()):
            yield f"# TYPE {name} gauge"
            yield f"{name} {value():g}"


async def _nothing() -> str:
    return ""


def resident() -> float:
    """Resident memory of this process in bytes (proc(5), statm)."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return float(int(statm.read().split()[1]) * _PAGE)
