"""One fresh list for all who want one at the same time."""

import asyncio

from moorage import holders
from moorage_operator.cluster import Cluster


class Shown:
    """The PersistentVolumes that show volumes of ours, whoever made them, asked of the API server itself."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[dict[str, set[str]]] | None = None

    async def names(self, handle: str) -> set[str]:
        """Of those with this handle or of attachments of it, as a list that began after the call shows them."""
        if self._next is None:
            self._next = asyncio.create_task(self._list())
        found = await asyncio.shield(self._next)  # others wait for it too
        return found.get(handle, set())

    async def _list(self) -> dict[str, set[str]]:
        async with self._one_at_a_time:
            self._next = None  # who asks from now on wants a later list
            found: dict[str, set[str]] = {}
            async for page in self._cluster.pages("v1", "PersistentVolume"):
                for each in page:
                    handle = holders.claimed_volume(each)
                    if handle:
                        found.setdefault(str(handle.volume), set()).add(each["metadata"]["name"])
            return found
