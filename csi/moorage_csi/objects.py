"""Objects of the API server by path: find one, wait for one, see one go. What is waited for is the operator's work."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from moorage.errors import InUse, NotFound, Pending
from moorage_csi import lookup
from moorage_csi.api import Api, Object

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between two looks at an object


class Objects:
    def __init__(self, client: Api, patience: float) -> None:
        """`patience`: seconds to wait for the operator before the caller is asked to call again."""
        self._api = client
        self._patience = patience

    async def find(self, path: str) -> Object | None:
        try:
            return await self._api.get(path)
        except NotFound:
            return None

    async def wait(self, path: str, done: Callable[[Object], Awaitable[bool]], what: str, found: Object) -> Object:
        """Look until `done`; raises Pending when the operator takes too long."""
        pauses = self._pauses(lambda: f"{what} is not ready yet: {lookup.explanation(found)}")
        while not await done(found):
            await asyncio.sleep(next(pauses))
            found = await self._api.get(path)
        return found

    async def delete(self, path: str, uid: str) -> None:
        try:
            await self._api.delete(path, uid)
        except NotFound:
            return

    async def destroy(self, path: str, meant: Callable[[Object], bool], what: str) -> None:
        """Delete the object if it is the one `meant`, and wait until it has gone; raises InUse naming who holds it."""
        found = await self.find(path)
        if found is not None and meant(found):
            await self.delete(path, found["metadata"]["uid"])
        pauses = self._pauses(lambda: f"{what} is still being deleted")
        while (found := await self.find(path)) is not None and meant(found):
            blocked = lookup.condition(found, "DeletionBlocked")
            if blocked.get("status") == "True":
                raise InUse(blocked.get("message") or f"{what} is still in use")
            await asyncio.sleep(next(pauses))

    def _pauses(self, why: Callable[[], str]) -> Iterator[float]:
        """Growing pauses in seconds; raises Pending with `why` when patience is at its end."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while time.monotonic() <= deadline:
            yield pause
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise Pending(why())
