"""What this node can say of a volume: figures and v1.12's condition, and v1.13's health.

Only what was seen: a path that does not answer, a mount that has gone, an attempt to mount that failed.
"""

from collections import OrderedDict
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from moorage.errors import AlreadyExists, InvalidInput, MoorageError, NotFound
from moorage.objectmount import is_fuse
from moorage_csi import mounts
from moorage_csi.hostmounts import HostMounts
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.stage import Mounter
from moorage_csi.state import Volume
from moorage_csi.stats import Watcher

_KEPT = 1000  # volumes whose last failure is remembered
Entry = csi.VolumeHealth.VolumeHealthEntry


class VolumeHealth:
    def __init__(self, watcher: Watcher, hosts: HostMounts, mounter: Mounter) -> None:
        self._watcher = watcher
        self._mounter = mounter
        self._hosts = hosts
        self._failures: OrderedDict[str, str] = OrderedDict()

    @contextmanager
    def attempt(self, volume_id: str) -> Generator[None]:
        """Remember that the volume could not be mounted for a reason outside of the request, until it can."""
        try:
            yield
        except (InvalidInput, AlreadyExists):
            raise
        except MoorageError as error:
            self._failures[volume_id] = str(error)
            if len(self._failures) > _KEPT:
                self._failures.popitem(last=False)
            raise
        self.forget(volume_id)

    def forget(self, volume_id: str) -> None:
        self._failures.pop(volume_id, None)

    async def stats(self, known: Volume, path: str) -> csi.NodeGetVolumeStatsResponse:
        """Bytes and inodes of the volume mounted at `path`, and its condition."""
        stats, health = await self._watcher.look(path)
        lost = self._lost(known, path) or await self._unsaved(known)
        abnormal, message = (True, lost) if lost and not health.abnormal else (health.abnormal, health.message)
        answer = csi.NodeGetVolumeStatsResponse(
            volume_condition=csi.VolumeCondition(abnormal=abnormal, message=message)
        )
        if stats:
            answer.usage.add(unit=csi.VolumeUsage.BYTES, total=stats.total, used=stats.used, available=stats.available)
            used = stats.inodes - stats.inodes_free
            answer.usage.add(unit=csi.VolumeUsage.INODES, total=stats.inodes, used=used, available=stats.inodes_free)
        return answer

    async def of(self, volume_id: str, known: Volume | None, paths: Iterable[str]) -> csi.VolumeHealth:
        """The volume's adverse conditions, at the paths given or wherever it is; raises NotFound for an unknown one."""
        failure = self._failures.get(volume_id)
        if known is None and failure is None:
            raise NotFound(f"volume {volume_id} is not on this node")
        found = csi.VolumeHealth(volume_id=volume_id)
        if failure:
            found.health_statuses.append(Entry(status=csi.INACCESSIBLE, reason="MountFailed", message=failure))
        if known:
            found.health_statuses.extend(await self._entries(known, paths))
        return found

    async def _entries(self, known: Volume, paths: Iterable[str]) -> list[Entry]:
        """At most one for each reason, as the spec wants it."""
        found: dict[str, Entry] = {}
        for path in tuple(paths) or (known.staging, *known.targets):
            if path not in (known.staging, *known.targets) or mounts.at(path) is None:
                message = f"the volume is not mounted at {path} (any more)"
                found.setdefault("NotMounted", Entry(status=csi.INACCESSIBLE, reason="NotMounted", message=message))
                continue
            _, health = await self._watcher.look(path)
            if health.abnormal:
                entry = Entry(status=csi.INACCESSIBLE, reason="NotAnswering", message=health.message)
                found.setdefault("NotAnswering", entry)
            if unsaved := await self._unsaved(known):
                found.setdefault("Unsaved", Entry(status=csi.DEGRADED, reason="Unsaved", message=unsaved))
            if lost := self._lost(known, path):
                found.setdefault("NodeMountLost", Entry(status=csi.DEGRADED, reason="NodeMountLost", message=lost))
        return list(found.values())

    async def _unsaved(self, known: Volume) -> str:
        """What the mounter says of a bucket's mount."""
        mount = mounts.at(known.staging)
        return await self._mounter.trouble(known.staging) if mount and is_fuse(mount.fstype) else ""

    def _lost(self, known: Volume, path: str) -> str:
        publication = known.targets.get(path)
        if publication is None or not self._hosts.lost(publication):
            return ""
        return f"the volume is not mounted at {publication.host} on this node any more: delete the pod that holds it"
