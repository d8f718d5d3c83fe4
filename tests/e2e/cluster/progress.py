"""Progress lines on stderr, each with the seconds since the command began."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

_START = monotonic()


def say(text: str) -> None:
    """One line for whoever waits."""
    print(f"[{monotonic() - _START:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def slow(what: str, every: float = 15.0, detail: Callable[[], str] = lambda: "") -> Generator[None]:
    """Say that `what` began, every `every` seconds that it still runs (and `detail()`), and how long it took."""
    begin, done = monotonic(), Event()

    def remind() -> None:
        while not done.wait(every):
            say(f"{what}: still at it after {monotonic() - begin:.0f} s{detail()}")

    say(f"{what} ...")
    reminder = Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()
    say(f"{what}: done in {monotonic() - begin:.1f} s")
