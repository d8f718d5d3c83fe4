"""What is in a bucket, and what of it may not go yet: judged from its versions as they are listed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from moorage.model import LockMode, ObjectLock


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object (`id` None: of an engine without versions). `modified`: RFC 3339, `size` in bytes."""

    key: str
    id: str | None = None
    modified: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """Until when (RFC 3339) a version is held."""

    mode: LockMode
    until: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands in the way of a deletion. `objects`: so many versions were seen, delete markers not counted.

    `locked_until`: the latest moment (RFC 3339) until which one of them is held, "" when none is. `more`: not all were
    looked at.
    """

    objects: int = 0
    locked_until: str = ""
    more: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """What one walk through a whole bucket found, begun at `at` (RFC 3339). `objects`: versions, `size` in bytes.

    `stamped_to`: each version written until then bears a retention of its own, "" where none shall. `unstamped`: so
    many could not be given one in time; `trouble`: why.
    """

    objects: int
    size: int
    at: str
    stamped_to: str = ""
    unstamped: int = 0
    trouble: str = ""


def held_until(version: Version, lock: ObjectLock) -> datetime:
    """Until when the rule holds a version, whether that bears a retention of its own or not."""
    return moment(version.modified) + timedelta(days=lock.days)


def contents(versions: Iterable[Version], lock: ObjectLock | None, more: bool, now: datetime) -> Contents:
    """Of all versions that were listed."""
    found = tuple(versions)
    ends = [held_until(each, lock) for each in found] if lock else []
    latest = max((each for each in ends if each > now), default=None)
    return Contents(len(found), written(latest) if latest else "", more)


def stamp(version: Version, lock: ObjectLock, now: datetime) -> Retention | None:
    """What a version shall bear; None when its time is over: S3 takes no date in the past."""
    until = held_until(version, lock)
    return Retention(lock.mode, written(until)) if until > now + timedelta(seconds=5) else None


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
