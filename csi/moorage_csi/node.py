"""The node service: Stage does the real mount, once per volume; Publish is a bind of milliseconds (CSI spec, Node)."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from moorage import mount as plans
from moorage.errors import AlreadyExists, InUse, MoorageError, NotFound, NotReady
from moorage_csi import capability, inline, lookup, mounts, rpc
from moorage_csi.api import Api
from moorage_csi.metrics import Metrics
from moorage_csi.mounts import Mount
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.runner import Runner
from moorage_csi.stage import Mounter, Stager, fingerprint
from moorage_csi.state import Publication, Store, Volume
from moorage_csi.stats import Watcher

log = logging.getLogger(__name__)

_RPC = csi.NodeServiceCapability.RPC
_CAPABILITIES = (
    _RPC.STAGE_UNSTAGE_VOLUME, _RPC.GET_VOLUME_STATS, _RPC.VOLUME_CONDITION, _RPC.VOLUME_MOUNT_GROUP,
    _RPC.SINGLE_NODE_MULTI_WRITER,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside world of the node service."""

    node_id: str
    directory: Path  # <kubelet>/plugins/csi.moorage.dev
    runner: Runner
    mounter: Mounter
    api: Callable[[], Api]  # made on first use: most nodes never need it
    shared: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict[str, asyncio.Lock](asyncio.Lock))


class Node(rpc.Servicer):
    service = csi.DESCRIPTOR.services_by_name["Node"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "NodeStageVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodeUnstageVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodePublishVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodeUnpublishVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodeGetVolumeStats": rpc.Operation(quiet=True),
        "NodeGetCapabilities": rpc.Operation(quiet=True),
    }

    def __init__(self, metrics: Metrics, tools: Tools) -> None:
        super().__init__(metrics)
        self._tools = tools
        self._runner = tools.runner
        self._store = Store(tools.directory / "state")
        self._stager = Stager(tools.runner, tools.mounter)
        self._watcher = Watcher(tools.runner)
        self._inline = tools.directory / "inline"

    async def NodeGetInfo(self) -> csi.NodeGetInfoResponse:
        return csi.NodeGetInfoResponse(node_id=self._tools.node_id)

    async def NodeGetCapabilities(self) -> csi.NodeGetCapabilitiesResponse:
        offered = [csi.NodeServiceCapability(rpc=_RPC(type=kind)) for kind in _CAPABILITIES]
        return csi.NodeGetCapabilitiesResponse(capabilities=offered)

    async def NodeStageVolume(
        self,
        volume_id: str,
        staging_target_path: str,
        volume_capability: csi.VolumeCapability,
        secrets: Mapping[str, str] = {},
        volume_context: Mapping[str, str] = {},
    ) -> csi.NodeStageVolumeResponse:
        capability.check(volume_capability)
        path = mounts.absolute(staging_target_path, "staging_target_path")
        plan = plans.parse(volume_context)
        flags, group = volume_capability.mount.mount_flags, volume_capability.mount.volume_mount_group
        wanted = fingerprint(plan, flags, group)
        known = self._staged_otherwise(volume_id, path, wanted)
        if isinstance(plan, plans.S3fs) and not secrets:
            secrets = await lookup.secrets_for(self._tools.api(), volume_id)
        await self._stager.ensure(volume_id, plan, path, flags, group, secrets)
        self._store.save(known or Volume(volume_id, path, fingerprint=wanted))
        return csi.NodeStageVolumeResponse()

    def _staged_otherwise(self, volume_id: str, path: str, wanted: str) -> Volume | None:
        """What is known of the volume at this path; raises AlreadyExists when it is staged in another way."""
        known = self._store.load(volume_id)
        if known is None or mounts.at(known.staging) is None:
            return None
        if known.staging != path:
            raise AlreadyExists(f"{volume_id} is staged at {known.staging}: unstage it there first")
        if known.fingerprint != wanted:
            raise AlreadyExists(f"{volume_id} is staged at {path} with other options: unstage it first")
        return known

    async def NodeUnstageVolume(self, volume_id: str, staging_target_path: str) -> csi.NodeUnstageVolumeResponse:
        path = mounts.absolute(staging_target_path, "staging_target_path")
        await self._stager.remove(path, keep_directory=True)
        known = self._store.load(volume_id)
        if known and known.staging == path:
            self._store.delete(volume_id)
        return csi.NodeUnstageVolumeResponse()

    async def NodePublishVolume(
        self,
        volume_id: str,
        target_path: str,
        volume_capability: csi.VolumeCapability,
        staging_target_path: str = "",
        readonly: bool = False,
        volume_context: Mapping[str, str] = {},
    ) -> csi.NodePublishVolumeResponse:
        capability.check(volume_capability)
        target = mounts.absolute(target_path, "target_path")
        wanted = Publication(readonly or capability.reads_only(volume_capability), capability.mode(volume_capability))
        if inline.is_inline(volume_context):
            await self._publish_inline(volume_id, target, wanted, volume_capability.mount, volume_context)
        else:
            plan = plans.parse(volume_context)
            base = await self._staged(volume_id, staging_target_path, plan, volume_capability.mount)
            known = self._store.load(volume_id) or Volume(volume_id, staging_target_path)
            await self._publish(known, base, "/", target, wanted)
        return csi.NodePublishVolumeResponse()

    async def _staged(
        self, volume_id: str, staging: str, plan: plans.MountPlan, options: csi.VolumeCapability.MountVolume
    ) -> Mount:
        """The mount that a claim is published from; without one raises InUse: the spec asks for FAILED_PRECONDITION."""
        base = mounts.at(mounts.absolute(staging, "staging_target_path")) if staging else None
        known = self._store.load(volume_id)
        ours = known is not None and known.staging == staging
        answers = base is not None and await self._watcher.answers(staging)
        if isinstance(plan, plans.S3fs) and ours and not answers:
            # The mounter was replaced and its processes with it; the kubelet does not stage a volume again by itself.
            secrets = await lookup.secrets_for(self._tools.api(), volume_id)
            flags, group = options.mount_flags, options.volume_mount_group
            return await self._stager.ensure(volume_id, plan, staging, flags, group, secrets)
        if base is None or base.fstype not in plan.fstypes:
            raise InUse(f"{volume_id} is not staged at {staging or 'any path'}: call NodeStageVolume first")
        if not answers:
            raise NotReady(f"{volume_id} is mounted on this node but does not answer: is its server running?")
        return base

    async def _publish(self, known: Volume, base: Mount, folder: str, target: str, wanted: Publication) -> None:
        """Bind, unless the target shows the volume. Remembered before it is done, so that a crash forgets nothing."""
        self._check_single_writer(known, target, wanted)
        before = known.targets.get(target)
        present = mounts.at(target)
        if present and before and before != wanted:
            raise AlreadyExists(
                f"{known.volume_id} is published at {target} in another way (it is {before}): unpublish it"
            )
        if present and mounts.shows(present, base, folder, wanted.readonly):
            self._store.save(known.published(target, wanted))
            return
        if present and present.device == base.device:
            raise AlreadyExists(f"{target} shows {known.volume_id} in another way: unpublish it first")
        if present:  # an older life of the volume, dead by now
            await mounts.ensure_unmounted(self._runner, target)
        self._store.save(known.published(target, wanted))
        try:
            await mounts.ensure_bound(self._runner, base, folder, target, wanted.readonly)
        except BaseException:
            self._store.save(known.unpublished(target))
            raise

    def _check_single_writer(self, known: Volume, target: str, wanted: Publication) -> None:
        """CSI spec, NodePublishVolume: a SINGLE_NODE_SINGLE_WRITER volume has one target on the node."""
        others = {path: other for path, other in known.targets.items() if path != target and mounts.at(path)}
        modes = {wanted.access_mode, *(other.access_mode for other in others.values())}
        if others and capability.SINGLE_WRITER in modes:
            raise InUse(f"{known.volume_id} allows one writer and is published at {min(others)} already")

    async def _publish_inline(
        self,
        volume_id: str,
        target: str,
        wanted: Publication,
        options: csi.VolumeCapability.MountVolume,
        context: Mapping[str, str],
    ) -> None:
        asked = inline.Request.parse(context)
        found = await lookup.ready_volume(self._tools.api(), asked.namespace, asked.volume)
        plan, group = plans.parse(found.attributes), options.volume_mount_group
        path = inline.mount_path(self._inline, found.handle.id, plan, group)
        async with self._tools.shared[path]:
            known = self._store.load(volume_id) or Volume(volume_id, path, inline=True)
            try:
                base = await self._stager.ensure(
                    str(found.handle), plan, path, options.mount_flags, group, found.secrets
                )
                await self._publish(known, base, asked.folder, target, wanted)
            except BaseException:
                if mounts.at(target) is None:  # else an earlier call published it, and its pod goes on
                    await self._drop_inline(known.unpublished(target))
                raise

    async def NodeUnpublishVolume(self, volume_id: str, target_path: str) -> csi.NodeUnpublishVolumeResponse:
        target = mounts.absolute(target_path, "target_path")
        self._watcher.forget(target)
        await mounts.ensure_absent(self._runner, target)
        known = self._store.load(volume_id)
        if known and known.inline:
            async with self._tools.shared[known.staging]:
                await self._drop_inline(known.unpublished(target))
        elif known:
            self._store.save(known.unpublished(target))
        return csi.NodeUnpublishVolumeResponse()

    async def _drop_inline(self, volume: Volume) -> None:
        """Save the volume without a target; the last one of a shared mount takes the mount away."""
        if volume.targets:
            self._store.save(volume)
            return
        # The mount goes first: if that fails, the file stays and the kubelet's next call tries again.
        others = [other for other in self._store.all() if other.volume_id != volume.volume_id]
        if not inline.in_use(others, volume.staging):
            await self._remove_shared(volume.staging)
        self._store.delete(volume.volume_id)

    async def _remove_shared(self, path: str) -> None:
        await self._stager.remove(path, keep_directory=False)
        with suppress(FileNotFoundError):
            Path(path).parent.rmdir()

    async def recover(self) -> None:
        """At start: forget what a reboot or a crash took away, and take away shared mounts that nobody needs."""
        table = {mount.target for mount in mounts.table()}
        for volume in list(self._store.all()):
            alive = {target: how for target, how in volume.targets.items() if mounts.canonical(target) in table}
            if alive or (not volume.inline and mounts.canonical(volume.staging) in table):
                self._store.save(replace(volume, targets=alive))
            else:
                self._store.delete(volume.volume_id)
        for path in (str(path) for path in self._inline.glob("*/mount")):
            if not inline.in_use(self._store.all(), path):
                await self._remove_left(path)

    async def _remove_left(self, path: str) -> None:
        try:
            await self._remove_shared(path)
        except MoorageError as error:  # not worth a start that fails: the next start tries again
            log.warning("%s, which nobody uses, stays: %s", path, error)

    async def NodeGetVolumeStats(self, volume_id: str, volume_path: str) -> csi.NodeGetVolumeStatsResponse:
        known = self._store.load(volume_id)
        if known is None or volume_path not in (known.staging, *known.targets) or mounts.at(volume_path) is None:
            raise NotFound(f"{volume_id} is not mounted at {volume_path}")
        stats, health = await self._watcher.look(volume_path)
        answer = csi.NodeGetVolumeStatsResponse(
            volume_condition=csi.VolumeCondition(abnormal=health.abnormal, message=health.message)
        )
        if stats:
            answer.usage.add(unit=csi.VolumeUsage.BYTES, total=stats.total, used=stats.used, available=stats.available)
            used = stats.inodes - stats.inodes_free
            answer.usage.add(unit=csi.VolumeUsage.INODES, total=stats.inodes, used=used, available=stats.inodes_free)
        return answer
