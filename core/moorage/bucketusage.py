"""What a status tells of how full a bucket is: news at once, the same again once an hour."""

from datetime import timedelta
from typing import Any

from moorage.bucketfacts import BucketFacts
from moorage.contents import Count, moment
from moorage.model import BucketStatus

AGAIN = timedelta(hours=1)


def told(facts: BucketFacts) -> dict[str, Any]:
    """The fields of the status that the last walk changes; none when it says nothing new."""
    count, before = facts.count, facts.bucket.status
    if count is None or not is_news(count, before):
        return {}
    counted = {"objects": count.objects, "bytes": count.size, "usage_at": count.at}
    return counted | ({"stamped_to": count.stamped_to} if count.stamped_to else {})


def is_news(count: Count, before: BucketStatus) -> bool:
    if before.usage_at is None or (count.objects, count.size) != (before.objects, before.bytes):
        return True
    if moment(count.at) < moment(before.usage_at):
        return False
    return count.stamped_to > (before.stamped_to or "") or moment(count.at) - moment(before.usage_at) >= AGAIN
