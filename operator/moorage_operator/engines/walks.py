"""Through all that is in a bucket, page by page and bounded: what stands in the way of its deletion."""

from datetime import UTC, datetime

from moorage import contents as judged
from moorage.contents import Contents, Version
from moorage.model import ObjectLock
from moorage_operator.engines.protocol import ObjectEngine
from moorage_operator.s3 import EngineRefused, Query

PAGES = 50  # of 1,000 versions, in one look of a deletion


async def contents(engine: ObjectEngine, bucket: str, lock: ObjectLock | None) -> Contents:
    """All of it, up to a bound, when a lock may hold some; else one object or version is enough to know."""
    found: list[Version] = []
    after: Query | None = ()
    for _ in range(PAGES):
        try:
            page = await engine.versions(bucket, after or ())
        except EngineRefused as error:
            if error.s3_code == "NoSuchBucket":
                break
            raise
        found.extend(page.versions)
        after = page.after
        if after is None or (found and lock is None):
            break
    return judged.contents(found, lock, after is not None, datetime.now(UTC))
