"""Metrics of the object volumes of a node: what each moorfs or rclone tells of its own, put together.
s3fs counts nothing.
"""

import asyncio
from collections.abc import Iterable

from moorage.volumemetrics import merged
from moorage_csi.mounter.kept import Kept

_SECONDS = 2.0  # one that is busy is left out of this scrape


async def collect(mounts: Iterable[Kept], more: str = "") -> str:
    """In Prometheus' text format; of those that answer in time. `more`: what others tell of volumes."""
    return merged((*await asyncio.gather(*(kept.metrics(_SECONDS) for kept in mounts)), more))
