"""The StorageVolumes behind volume ids: find one, wait for one, destroy one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from moorage import names
from moorage.errors import InUse, InvalidInput, NotFound, Pending
from moorage_csi import api, lookup
from moorage_csi.api import Api, Object

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between two looks at a StorageVolume


class Volumes:
    def __init__(self, client: Api, patience: float) -> None:
        """`patience`: seconds to wait for the operator before the caller is asked to call again."""
        self._api = client
        self._patience = patience

    async def find(self, path: str) -> Object | None:
        try:
            return await self._api.get(path)
        except NotFound:
            return None

    async def existing(self, volume_id: str) -> Object:
        """The StorageVolume of a volume id; raises NotFound, also when its name is another's now."""
        try:
            handle = lookup.handle(volume_id)
        except InvalidInput as error:
            raise NotFound(str(error)) from None
        volume = await self.find(api.volume_path(handle.namespace, handle.name))
        if volume is None or not _is(volume, handle):
            raise NotFound(f"volume {volume_id} does not exist")
        return volume

    async def wait(self, path: str, done: Callable[[Object], Awaitable[bool]], what: str, volume: Object) -> Object:
        """Look until `done`; raises Pending when the operator takes too long."""
        pauses = self._pauses(lambda: f"volume {what} is not ready yet: {lookup.explanation(volume)}")
        while not await done(volume):
            await asyncio.sleep(next(pauses))
            volume = await self._api.get(path)
        return volume

    async def delete(self, path: str, uid: str) -> None:
        try:
            await self._api.delete(path, uid)
        except NotFound:
            return

    async def destroy(self, handle: names.VolumeHandle) -> None:
        """Delete the incarnation that the handle means and wait until it has gone; raises InUse naming who holds it."""
        path = api.volume_path(handle.namespace, handle.name)
        volume = await self.find(path)
        if volume is not None and _is(volume, handle):
            await self.delete(path, volume["metadata"]["uid"])
        pauses = self._pauses(lambda: f"StorageVolume {handle.namespace}/{handle.name} is still being deleted")
        while (volume := await self.find(path)) is not None and _is(volume, handle):
            blocked = lookup.condition(volume, "DeletionBlocked")
            if blocked.get("status") == "True":
                raise InUse(blocked.get("message") or f"{handle} is still in use")
            await asyncio.sleep(next(pauses))

    def _pauses(self, why: Callable[[], str]) -> Iterator[float]:
        """Growing pauses in seconds; raises Pending with `why` when patience is at its end."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while time.monotonic() <= deadline:
            yield pause
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise Pending(why())


def _is(volume: Object, handle: names.VolumeHandle) -> bool:
    """Whether this is the incarnation that the handle means."""
    return bool(api.part(volume, "status").get("id") == handle.id)
