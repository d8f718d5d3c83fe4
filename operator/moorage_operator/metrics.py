"""What the operator counts, in the words of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One registry per operator, so that two can live in one process (tests)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.duration = Histogram(
            "moorage_reconcile_seconds", "Time of one reconcile", ["kind"], buckets=_BUCKETS, registry=self.registry
        )
        self.errors = Counter(
            "moorage_reconcile_errors_total", "Reconciles that failed", ["kind", "reason"], registry=self.registry
        )
        self.transitions = Counter(
            "moorage_phase_transitions_total", "Phases entered", ["kind", "phase"], registry=self.registry
        )
        self.status_writes = Counter("moorage_status_writes_total", "Status writes", ["kind"], registry=self.registry)
        self.leader = Gauge("moorage_leader", "1 when this replica is the active one", registry=self.registry)
        self.last_event = Gauge(
            "moorage_last_watch_event_timestamp_seconds", "When a watch showed something last", registry=self.registry
        )
        self._phases = Gauge("moorage_objects", "Objects by phase", ["kind", "phase"], registry=self.registry)

    def watch_depth(self, depth: Callable[[], float]) -> None:
        gauge = Gauge("moorage_queue_depth", "Keys that wait for a worker", registry=self.registry)
        gauge.set_function(depth)

    def show_phases(self, counts: dict[tuple[str, str], int]) -> None:
        """Objects by (kind, phase); phases that nothing is in any more go."""
        self._phases.clear()
        for (kind, phase), count in counts.items():
            self._phases.labels(kind, phase).set(count)

    def text(self) -> bytes:
        return generate_latest(self.registry)
