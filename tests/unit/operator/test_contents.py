"""What stands in the way of a deletion, and what a version shall bear."""

from datetime import UTC, datetime

import pytest

from moorage.bucketusage import is_news
from moorage.contents import Contents, Count, Retention, Version, contents, stamp
from moorage.model import BucketStatus, LockMode, ObjectLock

NOW = datetime(2026, 1, 10, tzinfo=UTC)
LOCK = ObjectLock(mode=LockMode.Compliance, days=3)
OLD = Version("a", "1", "2026-01-01T00:00:00Z", 5)
NEW = Version("b", "2", "2026-01-09T12:00:00.123Z", 7)


@pytest.mark.parametrize(
    ("versions", "lock", "found"),
    [
        ((), LOCK, Contents()),
        ((OLD,), LOCK, Contents(1)),
        ((OLD, NEW), LOCK, Contents(2, "2026-01-12T12:00:00Z")),
        ((OLD, NEW), None, Contents(2)),
    ],
)
def test_the_last_lock_to_end_is_told(versions: tuple[Version, ...], lock: ObjectLock | None, found: Contents) -> None:
    assert contents(versions, lock, False, NOW) == found


def test_a_version_bears_the_days_of_the_rule_from_its_writing() -> None:
    assert stamp(NEW, LOCK, NOW) == Retention(LockMode.Compliance, "2026-01-12T12:00:00Z")


def test_a_version_whose_time_is_over_bears_nothing() -> None:
    assert stamp(OLD, LOCK, NOW) is None


@pytest.mark.parametrize(
    ("count", "news"),
    [
        (Count(2, 10, "2026-01-10T00:05:00Z"), False),
        (Count(3, 10, "2026-01-10T00:05:00Z"), True),
        (Count(2, 11, "2026-01-10T00:05:00Z"), True),
        (Count(2, 10, "2026-01-10T01:00:00Z"), True),  # an hour later
        (Count(2, 10, "2026-01-10T00:05:00Z", stamped_to="2026-01-10T00:04:00Z"), True),
        (Count(2, 10, "2026-01-09T00:00:00Z"), False),
    ],
)
def test_a_count_is_told_when_it_is_news_and_once_an_hour(count: Count, news: bool) -> None:
    status = BucketStatus.model_validate({"objects": 2, "bytes": 10, "usageAt": "2026-01-10T00:00:00Z"})

    assert is_news(count, status) is news


def test_a_first_count_is_news_though_the_bucket_is_empty() -> None:
    assert is_news(Count(0, 0, "2026-01-10T00:00:00Z"), BucketStatus())
