"""The time, as statuses carry it."""

from datetime import UTC, datetime


def now() -> str:
    """RFC 3339 with fractions of a second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
