"""docs/posix.md and docs/posix-object.md, written from the results of a run and the reasons."""

from __future__ import annotations

from collections.abc import Sequence

from posixsuite.outcome import Case, Reason, State, reason_for
from posixsuite.programs import CRATES

STATES: tuple[State, ...] = ("passed", "failed", "skipped")
UNKNOWN = "**no reason is known**"
VOLUMES, OBJECT = "volumes", "object"
_HEADS = {
    VOLUMES: """# POSIX

Written by `make posix` (`tests/e2e/posixsuite`); the reasons are those of `tests/e2e/posixsuite/reasons.yaml`. A case
that fails or is skipped without a reason there fails the target. *shared* is a pod that runs as root on a node with the
kernel's NFS client, on a shared volume as Moorage makes it; *local* the same on a local volume; *plain XFS* is the same
program on a new XFS of the machine itself, which shows what the suite expects of a disk. Object volumes have a
[page of their own](posix-object.md).
""",
    OBJECT: """# POSIX on object volumes

Written by `make posix`, or by this part alone, which needs no cluster (the root of the repository, as root):

    PYTHONPATH=core:moorfs:tests/e2e:tests/unit/moorfs python -m posixsuite --part object

The reasons are those of `tests/e2e/posixsuite/reasons.yaml`. Each row is a mount of an empty bucket of the embedded
engine: *moorfs*; *moorfs before 6.9*, as it is on older kernels (no FUSE passthrough, no requests sent again); *s3fs*
as the mounter starts it. *plain XFS* is a disk. What else a bucket cannot do is in
[object-volumes.md](object-volumes.md#what-holds-and-what-does-not).
""",
}
_ABOUT = {
    "pjdfstest": f"""
## pjdfstest {CRATES["pjdfstest"]}

chmod, chown, ftruncate, link, mkdir, mkfifo, mknod, open, posix_fallocate, rename, rmdir, symlink, truncate, unlink and
utimensat: what they change, whom they refuse, and with which error. The Rust edition of the suite, from crates.io.
""",
    "fsx": f"""
## fsx {CRATES["fsx"]}

Reads, writes, truncations and memory-mapped accesses at random; every byte that is read is compared with what was
written. A case is one run.
""",
}


def page(part: str, cases: Sequence[Case], reasons: Sequence[Reason]) -> str:
    """The whole page of a part: VOLUMES or OBJECT."""
    parts = [_HEADS[part]]
    for suite, about in _ABOUT.items():
        own = [case for case in cases if case.suite == suite]
        parts += [about, _table(["where", *STATES], _counts(own))]
        for state, title in (("failed", "Failing"), ("skipped", "Skipped")):
            if rows := _explained([case for case in own if case.state == state], reasons):
                parts += [f"\n{title}:\n", _table(["where", "cases", "why"], rows)]
    return "\n".join(parts).rstrip() + "\n"


def _counts(cases: Sequence[Case]) -> list[list[str]]:
    places = dict.fromkeys(case.place for case in cases)
    return [[place, *(str(sum(c.place == place and c.state == s for c in cases)) for s in STATES)] for place in places]


def _explained(cases: Sequence[Case], reasons: Sequence[Reason]) -> list[list[str]]:
    """A row for each reason and place: how many cases, or which one, and why."""
    groups: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        reason = reason_for(case, reasons)
        groups.setdefault((case.place, reason.why if reason else f"{UNKNOWN}: {case.message}"), []).append(case.name)
    return [
        [place, f"`{names[0]}`" if len(names) == 1 else f"{len(names)}, as `{names[0]}`", why]
        for (place, why), names in groups.items()
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()).replace('|', '/') for cell in line)} |" for line in lines)
