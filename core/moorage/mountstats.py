"""What the kernel counts of NFS mounts: /proc/self/mountstats, as text. Reading that file asks no server.

The format is that of the kernel's nfs_show_stats (fs/nfs/super.c) and rpc_clnt_show_stats (net/sunrpc/stats.c): a line
`device SOURCE mounted on TARGET with fstype nfs4 statvers=1.1` for each mount, then indented lines, of which we read

    bytes:  by read(2), by write(2), by direct reads, by direct writes, from the server, to the server, pages, pages
    NAME:   requests, transmissions, timeouts, bytes out, bytes in, milliseconds in the queue, at the server, in all,
            and errors (since Linux 5.3); one line for each kind of request, after `per-op statistics`
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from moorage import volumemetrics as metrics
from moorage.volumemetrics import Labels, Page

_PER_OPERATION = "\tper-op statistics"
_BYTES = "\tbytes:"
_MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Request:
    """Of one kind. Seconds: `server` between the last transmission and its answer, `seconds` from beginning to end."""

    count: int
    transmissions: int
    timeouts: int
    server: float
    seconds: float
    errors: int


@dataclass(slots=True)
class NfsStats:
    """Of one file system: each mount of it on the node shows the same. Bytes: `read` and `written` by callers, from the
    page cache too; `received` and `sent` between node and server."""

    read: int = 0
    written: int = 0
    received: int = 0
    sent: int = 0
    requests: dict[str, Request] = field(default_factory=dict[str, Request])


def parse(lines: Iterable[str], wanted: Container[str]) -> dict[str, NfsStats]:
    """By target as the kernel writes it (a space is \\040), the NFS mounts that are wanted; of mounts on top of each
    other the topmost. What cannot be read is left out."""
    found: dict[str, NfsStats] = {}
    stats: NfsStats | None = None
    requests = False
    for line in lines:
        if not line.startswith("\t"):
            target, requests = _target(line), False
            stats = NfsStats() if target in wanted else None
            if stats:
                found[target] = stats
        elif stats is None:
            continue
        elif requests:
            _take_request(stats, line)
        elif line.startswith(_BYTES):
            _take_bytes(stats, line)
        else:
            requests = line.startswith(_PER_OPERATION)
    return found


def tell(page: Page, labels: Labels, stats: NfsStats) -> None:
    """Add the samples of one volume. Kinds of requests that were never made are left out: they have dozens."""
    for family, read, written in (
        (metrics.BYTES, stats.read, stats.written),
        (metrics.NETWORK, stats.received, stats.sent),
    ):
        page.add(family, labels, read, direction="read")
        page.add(family, labels, written, direction="write")
    for name, each in stats.requests.items():
        for family, value in (
            (metrics.OPERATIONS, each.count),
            (metrics.ERRORS, each.errors),
            (metrics.SECONDS, each.seconds),
            (metrics.SERVER_SECONDS, each.server),
            (metrics.RETRANSMISSIONS, each.transmissions - each.count),
            (metrics.TIMEOUTS, each.timeouts),
        ):
            page.add(family, labels, value, operation=name)


def _target(line: str) -> str:
    """Where an NFS file system is mounted; empty for all others, which tell nothing."""
    match line.split():
        case ["device", _, "mounted", "on", target, "with", "fstype", ("nfs" | "nfs4"), *_]:
            return target
        case _:
            return ""


def _take_bytes(stats: NfsStats, line: str) -> None:
    numbers = _numbers(line.removeprefix(_BYTES))
    if len(numbers) >= 6:
        read, written, direct_read, direct_written, stats.received, stats.sent = numbers[:6]
        stats.read, stats.written = read + direct_read, written + direct_written


def _take_request(stats: NfsStats, line: str) -> None:
    name, _, rest = line.strip().partition(":")
    numbers = _numbers(rest)
    if len(numbers) < 8 or not numbers[0]:
        return
    count, transmissions, timeouts, _, _, _, server, total = numbers[:8]
    stats.requests[name.lower()] = Request(
        count,
        max(transmissions, count),
        timeouts,
        server / _MILLISECONDS,
        total / _MILLISECONDS,
        numbers[8] if len(numbers) > 8 else 0,
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split()]
    except ValueError:
        return []
