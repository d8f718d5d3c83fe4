"""What the operator counts, in the words of Prometheus."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from moorage.actions import Manifest, part
from moorage.model import Phase
from moorage_operator.standings import Backends, Problems

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_STAYS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Stay:
    """A phase, and since when (RFC 3339); empty where unknown."""

    phase: str = ""
    since: str = ""

    @classmethod
    def of(cls, status: object) -> Self:
        """Of any status; one of a kind without phases has an empty stay."""
        return cls(getattr(status, "phase", None) or "", getattr(status, "phase_since", None) or "")

    def seconds(self, until: datetime) -> float:
        return max(0.0, (until - datetime.fromisoformat(self.since)).total_seconds())


class Stays(Collector):
    """Objects by phase, and how long the one that is longest in it has been there; counted when asked."""

    def __init__(self, objects: Callable[[], Iterable[Manifest]]) -> None:
        self._objects = objects

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts: dict[tuple[str, str], int] = {}
        oldest: dict[tuple[str, str], str] = {}
        for body in self._objects():
            status = part(body, "status")
            key = (body["kind"], status.get("phase") or Phase.PENDING.value)
            counts[key] = counts.get(key, 0) + 1
            since = status.get("phaseSince") or body["metadata"].get("creationTimestamp", "")
            oldest[key] = min(since, oldest.get(key, since))
        yield _gauge("moorage_objects", "Objects by phase", counts)
        now = datetime.now(UTC)
        ages = {key: Stay(key[1], since).seconds(now) for key, since in oldest.items() if since}
        yield _gauge("moorage_phase_oldest_seconds", "How long the object that is longest in the phase is in it", ages)


def _gauge(
    name: str, text: str, values: dict[tuple[str, str], int] | dict[tuple[str, str], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=["kind", "phase"])
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


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
        self.stays = Histogram(
            "moorage_phase_seconds",
            "How long objects were in a phase, told when they leave it",
            ["kind", "phase"],
            buckets=_STAYS,
            registry=self.registry,
        )
        self.status_writes = Counter("moorage_status_writes_total", "Status writes", ["kind"], registry=self.registry)
        self.leader = Gauge("moorage_leader", "1 when this replica is the active one", registry=self.registry)
        self.last_event = Gauge(
            "moorage_last_watch_event_timestamp_seconds", "When a watch showed something last", registry=self.registry
        )

    def watch_depth(self, depth: Callable[[], float]) -> None:
        gauge = Gauge("moorage_queue_depth", "Keys that wait for a worker", registry=self.registry)
        gauge.set_function(depth)

    def watch_objects(self, objects: Callable[[], Iterable[Manifest]]) -> None:
        """What has phases."""
        self.registry.register(Stays(objects))
        self.registry.register(Problems(objects))

    def watch_backends(self, backends: Callable[[], Iterable[Manifest]]) -> None:
        self.registry.register(Backends(backends))

    def moved(self, kind: str, old: Stay, new: Stay) -> None:
        """An object of the kind went from one phase to the next."""
        self.transitions.labels(kind, new.phase).inc()
        if old.since and new.since:
            self.stays.labels(kind, old.phase).observe(old.seconds(datetime.fromisoformat(new.since)))

    def text(self) -> bytes:
        return generate_latest(self.registry)
