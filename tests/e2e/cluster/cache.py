"""Where the bed keeps things: caches that survive, and one directory per running cluster that `down` removes."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from .progress import say


class Busy(RuntimeError):
    """Another process holds the lock and did not let go in time."""


def cache_dir() -> Path:
    """The user's cache directory for Moorage: `$XDG_CACHE_HOME/moorage`, by default `~/.cache/moorage`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).resolve() / "moorage"


def cluster_dir(name: str) -> Path:
    """Everything that the running cluster `name` writes lies under this directory."""
    return cache_dir() / "clusters" / name


def digest(parts: Iterable[str | bytes]) -> str:
    """Twelve hex digits that name a cache entry by what it was made from.

    Each part is counted with its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:12]


@contextmanager
def locked(path: Path, wait: float = 1800.0) -> Generator[None]:
    """Hold the file lock `path`; wait at most `wait` seconds for another holder (the kernel frees a dead one's)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _acquire(file.fileno(), path, wait)
        yield


def _acquire(descriptor: int, path: Path, wait: float) -> None:
    deadline, told = monotonic() + wait, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if monotonic() > deadline:
                raise Busy(f"{path} is held by another run for more than {wait:.0f} s; end that run first") from None
        if not told:
            say(f"waiting for another run that holds {path.name}")
            told = True
        sleep(0.2)
