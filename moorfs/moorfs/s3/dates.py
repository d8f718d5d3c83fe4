"""Times as S3 writes them."""

import calendar
from datetime import UTC, datetime
from functools import lru_cache

NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTHS = {name: number for number, name in enumerate(NAMES, 1)}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def http_date(text: str) -> float | None:
    """Seconds since 1970 of `Sat, 21 Nov 2026 11:44:34 GMT`; None when it is no such date.

    email.utils knows more forms, but loads a package of 2 MiB for them; S3 writes this one (RFC 9110, 5.6.7).
    """
    words = text.split()
    try:
        day, month, year = int(words[1]), MONTHS[words[2]], int(words[3])
        hour, minute, second = (int(part) for part in words[4].split(":"))
    except (IndexError, KeyError, ValueError):
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))


@lru_cache(maxsize=256)
def http_date_ns(text: str) -> int:
    """Nanoseconds since 1970; 0 when it is no date. Objects that were stored together have few dates."""
    return int(http_date(text) or 0) * 1_000_000_000


def iso_date_ns(text: str) -> int:
    """Nanoseconds since 1970 of `2026-11-21T11:44:34.123Z`; 0 when it is no date."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return 0
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
