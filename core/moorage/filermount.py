"""How a filer's worker mounts the export, and what mount.nfs4's words mean."""

from collections.abc import Iterable

from moorage.actions import Problem
from moorage.model import NfsEngine

UNREACHABLE, NOT_FOUND, REFUSED = "FilerUnreachable", "ExportNotFound", "FilerRefused"
REASONS = frozenset({UNREACHABLE, NOT_FOUND, REFUSED})

# The worker gives up rather than hang: another one goes on. What it saw long ago must not stand in for what is there.
_OURS = (
    "soft", "timeo=30", "retrans=2", "retry=0", "actimeo=1", "lookupcache=positive", "nosuid", "nodev", "noexec", "rw",
)  # fmt: skip
_DEFAULTS = ("vers=4.1",)
# Of a backend's mountOptions, what says how the filer is reached; the rest is about volumes.
_THEIRS = frozenset({"vers", "nfsvers", "minorversion", "proto", "sec", "port", "resvport", "noresvport"})
_VERSIONS = frozenset({"vers", "nfsvers", "minorversion"})

_NOT_FOUND = ("no such file or directory", "not a directory")
_UNREACHABLE = (
    "timed out", "connection refused", "no route to host", "unreachable", "failed to resolve",
    "name or service not known", "host is down", "connection reset", "temporary failure in name resolution",
    "temporarily unavailable",
)  # fmt: skip


def options(mount_options: Iterable[str]) -> str:
    """For `mount.nfs4 -o`."""
    theirs = [each for each in mount_options if _key(each) in _THEIRS]
    defaults = () if any(_key(each) in _VERSIONS for each in theirs) else _DEFAULTS
    return ",".join((*defaults, *theirs, *_OURS))


def source(engine: NfsEngine) -> str:
    """What is mounted; an IPv6 address in brackets."""
    host = f"[{engine.server}]" if ":" in engine.server else engine.server
    return f"{host}:{engine.path}"


def problem(engine: NfsEngine, words: str) -> Problem:
    """What is wrong with the filer, by what mount.nfs4 said on stderr."""
    said = " ".join(line.removeprefix("mount.nfs4: ").strip() for line in words.splitlines() if line.strip())
    low, where = said.lower(), source(engine)
    if any(each in low for each in _NOT_FOUND):
        return Problem(
            NOT_FOUND, f"{where} does not exist on the filer ({said}): export it, or correct engine.nfs.path"
        )
    if any(each in low for each in _UNREACHABLE):
        return unreachable(engine, said)
    return Problem(REFUSED, f"{where}: {said}. Export it, read-write, to the cluster's nodes and pods")


def unreachable(engine: NfsEngine, words: str) -> Problem:
    text = f"{source(engine)}: {words}. Is engine.nfs.server right, and does NFS 4.1 answer there?"
    return Problem(UNREACHABLE, text)


def silent(engine: NfsEngine, seconds: float) -> Problem:
    return unreachable(engine, f"timed out, no answer within {seconds:.0f} s")


def lost(engine: NfsEngine, words: str) -> Problem:
    """It was mounted, and answers no more."""
    return Problem(UNREACHABLE, f"{source(engine)} answers no more: {words}")


def unwritable(engine: NfsEngine, words: str) -> Problem:
    """The export is mounted, and nothing can be made there."""
    text = f"{source(engine)} cannot be written ({words})"
    return Problem(REFUSED, f"{text}: export it read-write and with no_root_squash to the cluster's nodes and pods")


def _key(option: str) -> str:
    return option.partition("=")[0]
