"""Callers that are being killed while their request waits, for an engine that is down, say, get EINTR.

The kernel lets nobody go, not even by SIGKILL, whose request we have read: a pod could not be deleted. It tells us by
INTERRUPT, but at any signal, also at those that Go's runtime sends all the time; and close(2) must not fail for these.
So the caller's state is looked at: SIGKILL is pending (any deadly signal becomes one: kernel/signal.c,
complete_signal), or it is gone. A caller in a process namespace that we do not see has pid 0; it gets EINTR some time
after its first signal. What it had asked goes on without it.

A caller that ends by itself closes its files as it goes. No signal reaches it any more (kernel/signal.c,
prepare_signal), and none is told to us. While the engine answers it waits until all is stored: a Job whose program
closes nothing has ended only then. While the engine is down it waits for some time.
"""

import threading
import time
from collections.abc import Callable

_LOOK_EVERY = 0.2  # seconds
_ENDED_EVERY = 5.0
_SIGKILL_BIT = 1 << 8  # of SigPnd and ShdPnd in proc(5), status
_EXITING_BIT = 0x4  # PF_EXITING of a thread's flags in proc(5), stat


class Interrupts:
    """Requests under way by their number. `give_up(unique)` answers one with EINTR.

    `is_down`: whether the engine does not answer; `ended_seconds`: for which one that has ended waits for it.
    """

    def __init__(
        self, give_up: Callable[[int], None], unseen_seconds: float, is_down: Callable[[], bool], ended_seconds: float
    ) -> None:
        self._give_up = give_up
        self._unseen_seconds = unseen_seconds
        self._is_down = is_down
        self._ended_seconds = ended_seconds
        self._running: dict[int, tuple[int, float]] = {}
        self._watched: dict[int, float] = {}
        self._wake = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="interrupts", daemon=True).start()

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
            self._wake.wait(min(_ENDED_EVERY, self._ended_seconds))
            self._wake.clear()
            self._look_at_ended()
            while self._watched:
                self._look()
                self._look_at_ended()
                time.sleep(_LOOK_EVERY)

    def _look(self) -> None:
        for unique, since in self._watched.copy().items():
            pid, _ = self._running.get(unique, (-1, 0.0))
            unseen = pid == 0 and time.monotonic() - since > self._unseen_seconds
            if (pid > 0 and _dying(pid)) or unseen:
                self._let_go(unique)
                pid = -1
            if pid < 0:
                self._watched.pop(unique, None)

    def _look_at_ended(self) -> None:
        before = time.monotonic() - self._ended_seconds
        old = [(unique, pid) for unique, (pid, since) in self._running.copy().items() if pid > 0 and since < before]
        if old and self._is_down():
            for unique, pid in old:
                if _exiting(pid):
                    self._let_go(unique)

    def _let_go(self, unique: int) -> None:
        if self.end(unique):
            self._give_up(unique)


def _exiting(thread: int) -> bool:
    try:
        with open(f"/proc/{thread}/stat", encoding="ascii", errors="replace") as stat:
            words = stat.read().rpartition(") ")[2].split()
    except OSError:  # it has gone, and waits for nothing
        return False
    return bool(int(words[6]) & _EXITING_BIT)


def _dying(thread: int) -> bool:
    try:
        with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as status:
            lines = [line.split() for line in status]
    except OSError:
        return True
    pending = (int(words[1], 16) for words in lines if words and words[0] in ("SigPnd:", "ShdPnd:"))
    return any(each & _SIGKILL_BIT for each in pending)
