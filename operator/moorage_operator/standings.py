"""What backends and unhappy objects stand at, for Prometheus: counted when asked, from what the watches showed.

Local nodes and filers are many and come and go; this is where one place tells of all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from moorage import conditions
from moorage.actions import Manifest, part

_SERVER = {
    "moorage_server_bytes": ("totalBytes", "Size of a server's pool"),
    "moorage_server_free_bytes": ("freeBytes", "Room for new volumes on a server"),
    "moorage_server_promised_bytes": ("promisedBytes", "Sum of the sizes of a server's volumes"),
    "moorage_server_overfull": ("overfull", "1 when writes to the server's overcommitted volumes may soon fail"),
}


class Backends(Collector):
    """Whether each StorageBackend answers, and what its servers say of their room."""

    def __init__(self, backends: Callable[[], Iterable[Manifest]]) -> None:
        self._backends = backends

    def collect(self) -> Iterator[GaugeMetricFamily]:
        bodies = list(self._backends())
        ready = GaugeMetricFamily("moorage_backend_ready", "1 when the StorageBackend answers", labels=["backend"])
        for body in bodies:
            ready.add_metric([body["metadata"]["name"]], _status(body, conditions.READY)[0] == "True")
        yield ready
        for name, (field, text) in _SERVER.items():
            family = GaugeMetricFamily(name, text, labels=["backend", "server"])
            for body in bodies:
                for server in part(body, "status").get("servers", ()):
                    family.add_metric([body["metadata"]["name"], server["name"]], float(server.get(field, 0)))
            yield family


class Problems(Collector):
    """How many objects are not provisioned, by kind and the reason that their condition gives."""

    def __init__(self, objects: Callable[[], Iterable[Manifest]]) -> None:
        self._objects = objects

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts: Counter[tuple[str, str]] = Counter()
        for body in self._objects():
            status, reason = _status(body, conditions.PROVISIONED)
            if status == "False":
                counts[body["kind"], reason] += 1
        family = GaugeMetricFamily("moorage_problems", "Objects that are not provisioned", labels=["kind", "reason"])
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        yield family


def _status(body: Manifest, type: str) -> tuple[str, str]:
    """Status and reason of a condition; empty when it is not there."""
    found: list[dict[str, Any]] = part(body, "status").get("conditions", [])
    return next(((each["status"], each["reason"]) for each in found if each["type"] == type), ("", ""))
