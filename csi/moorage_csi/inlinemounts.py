"""The shared mounts behind inline volumes: made by the first publication that needs one, taken away after the last."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from moorage import mount as plans
from moorage.errors import MoorageError
from moorage_csi import inline, mounts, reach
from moorage_csi.api import Api
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.publish import Publisher
from moorage_csi.stage import Stager
from moorage_csi.state import Publication, Store, Volume

log = logging.getLogger(__name__)


class InlineMounts:
    def __init__(
        self, node: str, root: Path, store: Store, stager: Stager, publisher: Publisher, api: Callable[[], Api]
    ) -> None:
        """`node`: this node's name; `root`: the directory of the shared mounts."""
        self._node = node
        self._root = root
        self._store = store
        self._stager = stager
        self._publisher = publisher
        self._api = api
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)  # one for each shared mount

    async def publish(
        self,
        volume_id: str,
        target: str,
        wanted: Publication,
        options: csi.VolumeCapability.MountVolume,
        asked: inline.Request,
    ) -> None:
        """`target` shows what the pod's author asked for."""
        found = await asked.find(self._api())
        await reach.check(self._api(), self._node, found.topology, f"the volume {asked.volume or asked.bucket}")
        plan, group = plans.parse(found.attributes), options.volume_mount_group
        view = asked.view.within(found.view)
        if isinstance(plan, plans.Local):
            plan.check(options.mount_flags, view.folder)
        inline.check_writable(asked, plan, wanted.readonly or view.readonly)
        path = inline.mount_path(self._root, found.handle.id, plan, group)
        async with self._locks[path]:
            secret = plan.secret if isinstance(plan, plans.ObjectMount) else ""
            fresh = Volume(volume_id, path, inline=True, secret=secret, handle=str(found.handle))
            known = self._store.load(volume_id) or fresh
            try:
                base = await self._stager.ensure(
                    str(found.handle), plan, path, options.mount_flags, group, found.secrets
                )
                await self._publisher.publish(known, base, target, wanted.of(view), group)
            except BaseException:
                if mounts.at(target) is None:  # else an earlier call published it, and its pod goes on
                    await self._drop(known.unpublished(target))
                raise

    async def drop(self, volume: Volume) -> None:
        """Save the volume without a target; the last one of a shared mount takes the mount away."""
        async with self._locks[volume.staging]:
            await self._drop(volume)

    async def _drop(self, volume: Volume) -> None:
        if volume.targets:
            self._store.save(volume)
            return
        # The mount goes first: if that fails, the file stays and the kubelet's next call tries again.
        others = [other for other in self._store.all() if other.volume_id != volume.volume_id]
        if not inline.in_use(others, volume.staging):
            await self._remove(volume.staging)
        self._store.delete(volume.volume_id)

    async def _remove(self, path: str) -> None:
        await self._stager.remove(path, keep_directory=False)
        with suppress(FileNotFoundError):
            Path(path).parent.rmdir()

    async def recover(self) -> None:
        """Take away the shared mounts that nobody needs."""
        for path in (str(path) for path in self._root.glob("*/mount")):
            if not inline.in_use(self._store.all(), path):
                try:
                    await self._remove(path)
                except MoorageError as error:  # not worth a start that fails: the next start tries again
                    log.warning("%s, which nobody uses, stays: %s", path, error)
