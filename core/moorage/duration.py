"""Lengths of time as an API says them: hours, minutes and seconds, such as 720h, 1h30m or 90s."""

import re
from datetime import UTC, datetime, timedelta

from moorage.errors import InvalidInput

PATTERN = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"


def parse(text: str) -> timedelta:
    """Raises InvalidInput for what is no length of time."""
    found = re.fullmatch(PATTERN, text)
    if not text or not found:
        raise InvalidInput(f"{text!r} is no length of time: write hours, minutes or seconds, such as 720h or 90s")
    hours, minutes, seconds = (int(each[:-1]) if each else 0 for each in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def moment(text: str) -> datetime:
    """An RFC 3339 time."""
    return datetime.fromisoformat(text)


def stamp(at: datetime) -> str:
    """RFC 3339 with fractions of a second, as statuses carry it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def until(at: str, now: str) -> float:
    """Seconds from `now` to `at`, both RFC 3339; 0 when it has passed."""
    return max(0.0, (moment(at) - moment(now)).total_seconds())
