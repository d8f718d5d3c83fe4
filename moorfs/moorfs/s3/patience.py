"""When a call that went wrong is worth repeating, and after which pause."""

import errno
import random
import time
from dataclasses import dataclass, field

from moorage.sigv4 import Key
from moorfs.ports import StoreError

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
LONGEST_WISH = 30.0
MOST_BROKEN = 8  # answers of 500: an object that the engine cannot handle must not hang its reader for ever
MOST_KEYS = 2
MOST_SKEWS = 2


@dataclass(slots=True)
class Trouble:
    """What went wrong with one call so far. `patience`: seconds to wait for the engine, None: for ever.

    `lost`: an attempt may have been done though its answer never came.
    """

    patience: float | None
    lost: bool = False
    failures: int = 0
    broken: int = 0
    keys: int = 0
    skews: int = 0
    key: Key | None = None
    """With which the last attempt was signed."""
    _since: float = field(default=0.0)

    def progress(self) -> None:
        """Bytes came: the engine is there, and patience starts anew."""
        self.failures = 0

    def pause(self, what: str, why: object, wish: float = 0.0) -> float:
        """Seconds to wait before the next attempt; StoreError ETIMEDOUT when patience is at its end."""
        now = time.monotonic()
        if not self.failures:
            self._since = now
        self.failures += 1
        waited = now - self._since
        if self.patience is not None and waited >= self.patience:
            raise StoreError(errno.ETIMEDOUT, f"{what}: no answer from the engine for {waited:.0f} s: {why}")
        pause = max(backoff(self.failures), min(wish, LONGEST_WISH))
        return pause if self.patience is None else min(pause, self.patience - waited + 0.01)


def backoff(failures: int) -> float:
    """Doubling, with jitter, so that a thousand mounts do not come back at one moment."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 20))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret hangs on it
