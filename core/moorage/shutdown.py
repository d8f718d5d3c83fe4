"""A share whose file system has shut down: what is said of it, and how often it is mounted again.

XFS shuts down when its log cannot be written, and answers every call with EIO until it is mounted anew. On a mount its
log is replayed: everything that was synced is there. The cause lies below: a failing disk, or one that promised more
than it holds. While that lasts, it shuts down again.
"""

from dataclasses import dataclass

REASON = "FileSystemDown"
_WHAT = "its file system has shut down after an I/O error of the pool's disk"
TEXT = f"{_WHAT}, and is being mounted again"
_ADVICE = "see the kernel's log of the node, and whether the disk under the pool is full or failing"

_FIRST = 5.0
_MOST = 60.0
_STEADY = 600.0  # seconds without a shutdown, after which the next one is the first again


@dataclass(frozen=True, slots=True)
class Attempts:
    """To bring one share back: how many since it was steady, and when the last was (seconds of some clock)."""

    count: int = 0
    last: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next attempt is due: none for the first, then ever more."""
        if not self.count or now - self.last >= _STEADY:
            return 0.0
        pause = min(_MOST, _FIRST * 2.0 ** min(self.count - 1, 10))
        return max(0.0, self.last + pause - now)

    def another(self, now: float) -> "Attempts":
        """With one that is made now."""
        return Attempts(1 if now - self.last >= _STEADY else self.count + 1, now)


def failed(trouble: str) -> str:
    """What is said when it did not come back; `trouble` is what the attempt met."""
    return f"{_WHAT} and does not come back ({trouble}): {_ADVICE}"
