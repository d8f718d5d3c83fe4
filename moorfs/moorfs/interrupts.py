"""Callers that are being killed while their request waits, for an engine that is down, say, get EINTR.

The kernel lets nobody go, not even by SIGKILL, whose request we have read: a pod could not be deleted. It tells us by
INTERRUPT, but at any signal, also at those that Go's runtime sends all the time; and close(2) must not fail for these.
So the caller's state is looked at: SIGKILL is pending (any deadly signal becomes one: kernel/signal.c,
complete_signal), or it is gone. A caller in a process namespace that we do not see has pid 0; it gets EINTR some time
after its first signal. What it had asked goes on without it.
"""

import threading
import time
from collections.abc import Callable

_LOOK_EVERY = 0.2  # seconds
_SIGKILL_BIT = 1 << 8  # of SigPnd and ShdPnd in proc(5), status


class Interrupts:
    """Requests under way by their number. `give_up(unique)` answers one with EINTR."""

    def __init__(self, give_up: Callable[[int], None], unseen_seconds: float) -> None:
        self._give_up = give_up
        self._unseen_seconds = unseen_seconds
        self._running: dict[int, tuple[int, float]] = {}
        self._watched: dict[int, float] = {}
        self._wake = threading.Event()
        self._started = False

    def begin(self, unique: int, pid: int) -> None:
        """A request was read and has no answer yet."""
        self._running[unique] = (pid, time.monotonic())

    def end(self, unique: int) -> bool:
        """Whether the request is ours to answer: False when its caller has got EINTR already."""
        return self._running.pop(unique, None) is not None

    def interrupted(self, unique: int) -> None:
        """The kernel says that the request's caller got a signal."""
        if unique not in self._running:
            return
        self._watched.setdefault(unique, time.monotonic())
        self._wake.set()
        if not self._started:
            self._started = True
            threading.Thread(target=self._watch, name="interrupts", daemon=True).start()

    @property
    def under_way(self) -> int:
        return len(self._running)

    @property
    def oldest(self) -> float:
        """Seconds that the oldest request under way has taken."""
        begun = [since for _, since in self._running.copy().values()]
        return time.monotonic() - min(begun) if begun else 0.0

    def _watch(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._watched:
                self._look()
                time.sleep(_LOOK_EVERY)

    def _look(self) -> None:
        for unique, since in self._watched.copy().items():
            pid, _ = self._running.get(unique, (-1, 0.0))
            unseen = pid == 0 and time.monotonic() - since > self._unseen_seconds
            if (pid > 0 and _dying(pid)) or unseen:
                if self.end(unique):
                    self._give_up(unique)
                pid = -1
            if pid < 0:
                self._watched.pop(unique, None)


def _dying(thread: int) -> bool:
    try:
        with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as status:
            lines = [line.split() for line in status]
    except OSError:
        return True
    pending = (int(words[1], 16) for words in lines if words and words[0] in ("SigPnd:", "ShdPnd:"))
    return any(each & _SIGKILL_BIT for each in pending)
