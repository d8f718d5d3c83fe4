"""The time, as statuses carry it, and what is done only now and then."""

import time
from datetime import UTC, datetime


def now() -> str:
    """RFC 3339 with fractions of a second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Seldom:
    """For each object, by its uid: whether something is due again, `every` seconds after it was last due."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._last: dict[str, float] = {}

    def is_due(self, uid: str) -> bool:
        """When it is, the next time counts from now."""
        due = time.monotonic() - self._last.get(uid, float("-inf")) > self._every
        if due:
            self._last[uid] = time.monotonic()
        return due

    def forget(self, uid: str) -> None:
        """It is due at once."""
        self._last.pop(uid, None)
