"""The thread that stores what nobody waits for: failed uploads again, writeback, mappings that outlived their file.

It also frees the cache's disk before it is full: a writer whose bytes go straight to the cache file cannot be helped
any more once the disk has no room.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorfs.means import log

if TYPE_CHECKING:
    from moorfs.content import Content

FIRST, MOST = 1.0, 60.0  # seconds between tries
WATCH = 0.25  # seconds between looks at a mapping
GROWTH, LAZY = 0.02, 0.2  # seconds between looks at files that grow; and at those that do not
STORE = 5.0  # seconds between uploads of a file that stays mapped
_SIDE_BY_SIDE = 8


@dataclass(slots=True)
class Due:
    at: float
    delay: float
    running: bool = False


class Every:
    """True once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = -seconds

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Keeper:
    """`tick` is called every second or so."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._due: dict[Content, Due] = {}
        self._watched: set[Content] = set()
        self._growing: set[Content] = set()
        self._growth = LAZY
        """Seconds until the next look at these."""
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE, "moorfs-keep")
        self._ended = False
        self._thread: threading.Thread | None = None

    def failed(self, file: "Content") -> None:
        """Try again, later each time."""
        with self._changed:
            known = self._due.get(file)
            delay = min(known.delay * 2, MOST) if known and known.delay else FIRST
            at = time.monotonic() + delay * (0.5 + time.monotonic() % 0.5)  # that not all come at once
            self._due[file] = Due(at, delay)
            self._wake()

    def soon(self, file: "Content") -> None:
        with self._changed:
            if file not in self._due:
                self._due[file] = Due(time.monotonic(), 0.0)
                self._wake()

    def watch(self, file: "Content") -> None:
        with self._changed:
            self._watched.add(file)
            self._wake()

    def follow(self, file: "Content") -> None:
        """The kernel writes it by itself: see whether it grows."""
        with self._changed:
            self._growth = GROWTH
            if not self._growing:  # else the next look is near: no waking for each of many small files
                self._wake()
            self._growing.add(file)

    def forget(self, file: "Content") -> None:
        """It is stored."""
        if file in self._due:
            with self._changed:
                self._due.pop(file, None)

    def run_all(self, files: "list[Content]", seconds: float) -> None:
        """Store these, side by side; returns when that is done or the time is over."""
        until = time.monotonic() + seconds
        running: list[Future[bool]] = [self._pool.submit(file.saving.save_quietly) for file in files]
        for future in running:
            with contextlib.suppress(TimeoutError):
                future.result(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="moorfs-keeper", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        self._changed.notify()

    def _loop(self) -> None:
        tick, look, store = Every(1.0), Every(WATCH), Every(STORE)
        while not self._ended:
            with self._changed:
                self._changed.wait(self._pause())
                ready = self._ready()
            for file in ready:
                with contextlib.suppress(RuntimeError):  # stopped
                    self._pool.submit(self._store, file)
            self._follow()
            if look.due():
                self._look(store.due())
            if tick.due():
                self._tick_safely()

    def _pause(self) -> float:
        now = time.monotonic()
        waits = [WATCH] if self._watched else []
        waits += [self._growth] if self._growing else []
        waits += [due.at - now for due in self._due.values() if not due.running]
        return max(0.01, min([1.0, *waits]))

    def _ready(self) -> "list[Content]":
        now = time.monotonic()
        ready = [file for file, due in self._due.items() if due.at <= now and not due.running]
        for file in ready:
            self._due[file].running = True
        return ready

    def _store(self, file: "Content") -> None:
        try:
            stored = file.saving.save_quietly()
        except Exception:
            log.exception("%s: storing it again", file.node.key)
            stored = False
        with self._changed:
            known = self._due.get(file)
            if stored:
                self._due.pop(file, None)
            elif known and known.running:
                self._due[file] = Due(time.monotonic() + MOST, MOST)

    def _follow(self) -> None:
        grown = [file for file in list(self._growing) if self._grew(file)]
        self._growth = GROWTH if grown else min(2 * self._growth, LAZY)

    def _grew(self, file: "Content") -> bool:
        if not file.handles.writers or not file.handles.direct:
            self._growing.discard(file)
            return False
        try:
            return file.growth.grew()
        except Exception:
            log.exception("%s: storing it while it grows", file.node.key)
            self._growing.discard(file)
            return False

    def _look(self, store: bool) -> None:
        for file in list(self._watched):
            try:
                file.saving.watch(store)
            except Exception:
                log.exception("%s: looking after a mapping", file.node.key)
            if not file.saving.watching:
                self._watched.discard(file)

    def _tick_safely(self) -> None:
        try:
            self._tick()
        except Exception:
            log.exception("freeing the cache")
