"""What is counted of a volume on a node, in Prometheus' text format: one set of names for every type of volume.

The node plugin tells of shared and local volumes, moorfs of object volumes; what only one of them knows has a name of
its own beside these. docs/metrics.md explains all of them to those who read dashboards.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

# Imported by moorfs, once for each volume on a node: nothing heavy (pydantic) may come in by here.

SHARED = "shared"
LOCAL = "local"
OBJECT = "object"
"""Of label `type`: as spec.type says it."""

PREFIX = "moorage_volume_"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_SAMPLE = re.compile(r"^(?P<series>(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{.*\})?) (?P<value>\S+)$")
_SUFFIXES = ("_bucket", "_sum", "_count")  # of a histogram's samples


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its whole name, what HELP says, and its type where the name does not tell."""

    name: str
    help: str = ""
    kind: str = ""

    @property
    def head(self) -> Iterator[str]:
        if self.help:
            yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind or ('counter' if self.name.endswith('_total') else 'gauge')}"


# Of every type of volume.
OPERATIONS = Family("moorage_volume_operations_total", "Operations that were answered, by what was asked.")
ERRORS = Family("moorage_volume_operation_errors_total", "Operations that were answered with an error, ENOENT too.")
SECONDS = Family("moorage_volume_operation_seconds_total", "Time that operations took, until their answer.")
BYTES = Family("moorage_volume_bytes_total", "Bytes that were read and written.")

# Of volumes behind a network.
NETWORK = Family("moorage_volume_network_bytes_total", "Bytes of files that came from the server and went to it.")

# Of NFS.
SERVER_SECONDS = Family("moorage_volume_server_seconds_total", "Time between requests and the server's answers.")
RETRANSMISSIONS = Family("moorage_volume_retransmissions_total", "Requests that were sent once more.")
TIMEOUTS = Family("moorage_volume_timeouts_total", "Requests that the server did not answer in time.")

# Of moorfs.
DURATION = Family("moorage_volume_operation_duration_seconds", "How long callers waited.", "histogram")

FLAGS = frozenset({"moorage_volume_passthrough", "moorage_volume_engine_down"})
"""Gauges of 0 and 1: of two mounts of a volume the larger one counts, of all others the sum."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Whose a sample is."""

    namespace: str
    volume: str
    type: str

    @classmethod
    def of(cls, full_name: str, type: str) -> "Labels":
        """`full_name`: <namespace>/<name>, of the StorageVolume, or of the Bucket that a pod mounts without one."""
        namespace, _, name = full_name.partition("/")
        return cls(namespace, name, type)

    def text(self, **more: str) -> str:
        return f"{_whose(self)},{_pairs(more)}" if more else _whose(self)


@lru_cache(maxsize=1024)  # a page has hundreds of samples of each volume
def _whose(labels: Labels) -> str:
    return _pairs({"namespace": labels.namespace, "volume": labels.volume, "type": labels.type})


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items())


@dataclass(slots=True)
class Page:
    """Samples, put together by metric. What is added twice is added up: a volume may be mounted in two ways."""

    samples: dict[Family, dict[str, float]] = field(default_factory=dict[Family, dict[str, float]])

    def add(self, family: Family, labels: Labels, value: float, suffix: str = "", **more: str) -> None:
        """`suffix`: of a histogram's samples; `more`: further labels."""
        found = self.samples.setdefault(family, {})
        series = f"{family.name}{suffix}{{{labels.text(**more)}}}"
        found[series] = found.get(series, 0.0) + value

    def text(self) -> str:
        lines = (line for family, found in self.samples.items() for line in (*family.head, *_lines(found)))
        return "".join(f"{line}\n" for line in lines)


def figures(page: Page, labels: Labels, found: Mapping[str, float]) -> None:
    """Add what is known by short names: `<name>_total` counts, all others are as they are now."""
    for name, value in sorted(found.items()):
        page.add(Family(PREFIX + name), labels, value)


def number(value: float) -> str:
    """Whole numbers as such: counters of bytes outgrow the digits of a float's short form."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6f}"


def merged(texts: Iterable[str]) -> str:
    """One text out of several: the samples of a metric stand together after one HELP and one TYPE, as the format
    demands. A series comes once: two mounts of a volume on a node (a claim and an inline volume) are added up."""
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, dict[str, float]] = {}
    for line in (line for text in texts for line in text.splitlines() if line):
        if line.startswith("# "):
            _, word, name, *_ = line.split(" ", 3)
            heads.setdefault(name, {}).setdefault(word, line)
        elif found := _SAMPLE.match(line):
            _put(samples.setdefault(_family(found["name"], heads), {}), found)
    lines = (line for name, series in samples.items() for line in (*heads.get(name, {}).values(), *_lines(series)))
    return "".join(f"{line}\n" for line in lines)


def _lines(series: Mapping[str, float]) -> Iterator[str]:
    return (f"{each} {number(value)}" for each, value in series.items())


def _put(series: dict[str, float], found: re.Match[str]) -> None:
    key, value = found["series"], float(found["value"])
    known = series.get(key, 0.0)
    series[key] = max(known, value) if found["name"] in FLAGS else known + value


def _family(sample: str, known: Iterable[str]) -> str:
    stem = next((sample.removesuffix(each) for each in _SUFFIXES if sample.endswith(each)), sample)
    return stem if stem in known and sample not in known else sample
