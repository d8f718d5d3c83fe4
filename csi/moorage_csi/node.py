"""The node service: Stage does the real mount, once per volume; Publish is a bind of milliseconds (CSI spec, Node)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from moorage import mount as plans
from moorage import names
from moorage.errors import AlreadyExists, InUse, NotFound, NotReady
from moorage.view import View
from moorage_csi import capability, consent, inline, lookup, mounts, rpc, topology
from moorage_csi.api import Api
from moorage_csi.hostmounts import HostMounts
from moorage_csi.inlinemounts import InlineMounts
from moorage_csi.metrics import Metrics
from moorage_csi.mounts import Mount
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.publish import Publisher, alive, refuse_foreign, requested
from moorage_csi.rekey import KeyWatch
from moorage_csi.runner import Runner
from moorage_csi.stage import Mounter, Stager, fingerprint, same_export
from moorage_csi.state import Publication, Store, Volume
from moorage_csi.stats import Watcher
from moorage_csi.stuck import Kernel
from moorage_csi.telemetry import Telemetry
from moorage_csi.volumehealth import VolumeHealth

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
    max_volumes: int = 0  # 0: not told
    mount_root: str = names.MOUNT_ROOT  # directory of the node for the mounts of StorageAttachments
    volume_health: bool = False  # whether NodeGetVolumeHealth is advertised
    kernel: Kernel = field(default_factory=Kernel)


class Node(rpc.Servicer):
    service = csi.DESCRIPTOR.services_by_name["Node"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "NodeStageVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodeUnstageVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodePublishVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodeUnpublishVolume": rpc.Operation(lock="volume_id", deadline=110),
        "NodeGetVolumeStats": rpc.Operation(quiet=True),
        "NodeGetVolumeHealth": rpc.Operation(quiet=True),
        "NodeGetCapabilities": rpc.Operation(quiet=True),
    }

    def __init__(self, metrics: Metrics, tools: Tools) -> None:
        super().__init__(metrics)
        self._tools = tools
        self._runner = tools.runner
        self._store = Store(tools.directory / "state")
        self._stager = Stager(tools.runner, tools.mounter, self._store.disks, tools.kernel)
        self.watcher = self._watcher = Watcher(tools.runner)
        self._kernel = tools.kernel
        self._hosts = HostMounts(tools.runner, tools.mount_root, tools.api)
        self._publisher = Publisher(tools.runner, self._store, self._hosts)
        self._inline = InlineMounts(
            tools.node_id, tools.directory / "inline", self._store, self._stager, self._publisher, tools.api
        )
        self._health = VolumeHealth(self._watcher, self._hosts, tools.mounter)
        self.keys = KeyWatch(self._store, tools.mounter, tools.api)
        self.telemetry = Telemetry(self._store)

    async def NodeGetInfo(self) -> csi.NodeGetInfoResponse:
        node = self._tools.node_id
        return csi.NodeGetInfoResponse(
            node_id=node, max_volumes_per_node=self._tools.max_volumes, accessible_topology=topology.of(node)
        )

    async def NodeGetCapabilities(self) -> csi.NodeGetCapabilitiesResponse:
        kinds = (*_CAPABILITIES, *((_RPC.GET_VOLUME_HEALTH,) if self._tools.volume_health else ()))
        offered = [csi.NodeServiceCapability(rpc=_RPC(type=kind)) for kind in kinds]
        return csi.NodeGetCapabilitiesResponse(capabilities=offered)

    async def NodeStageVolume(
        self,
        volume_id: str,
        staging_target_path: str,
        volume_capability: csi.VolumeCapability,
        secrets: Mapping[str, str] = {},
        volume_context: Mapping[str, str] = {},
    ) -> csi.NodeStageVolumeResponse:
        capability.check(volume_capability, unsupported=InUse)
        path = mounts.absolute(staging_target_path, "staging_target_path")
        plan = plans.parse(volume_context)
        capability.check_reach(plan.kind, volume_capability, unsupported=InUse)
        flags, group = volume_capability.mount.mount_flags, volume_capability.mount.volume_mount_group
        wanted = fingerprint(plan, flags, group)
        known = self._staged_otherwise(volume_id, path, wanted)
        if known is None:
            await consent.check(self._tools.api, volume_id, plan)
        if isinstance(plan, plans.ObjectMount) and not secrets:
            secrets = await lookup.secrets_for(self._tools.api(), volume_id)
        with self._health.attempt(volume_id):
            await self._stager.ensure(volume_id, plan, path, flags, group, secrets)
        before = self._store.load(volume_id)  # of a staging mount that has vanished: its targets may be there still
        targets = before.targets if before else {}
        secret = plan.secret if isinstance(plan, plans.ObjectMount) else ""
        self._store.save(known or Volume(volume_id, path, fingerprint=wanted, targets=targets, secret=secret))
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
        known = self._store.load(volume_id)
        refuse_foreign(self._store, volume_id, known, path)
        await self._stager.remove(path, keep_directory=True)
        self._health.forget(volume_id)
        if known and known.staging == path and not alive(known, mounts.targets()):
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
        capability.check(volume_capability, unsupported=InUse)
        target = mounts.absolute(target_path, "target_path")
        wanted = Publication(
            readonly or capability.reads_only(volume_capability), capability.mode(volume_capability),
            fingerprint=requested(volume_capability, readonly, volume_context),
        )  # fmt: skip
        if inline.is_inline(volume_context):
            asked = inline.Request.parse(volume_context)
            await self._inline.publish(volume_id, target, wanted, volume_capability.mount, asked)
            return csi.NodePublishVolumeResponse()
        plan, view = plans.parse(volume_context), View.parse(volume_context)
        capability.check_reach(plan.kind, volume_capability, unsupported=InUse)
        if isinstance(plan, plans.Local):
            plan.check(volume_capability.mount.mount_flags, view.folder)
        before = self._store.load(volume_id)
        if before is None or target not in before.targets:
            await consent.check(self._tools.api, volume_id, plan)
        host = await self._hosts.wanted(volume_id, view, volume_context, before.targets.get(target) if before else None)
        base = await self._staged(volume_id, staging_target_path, plan, volume_capability.mount)
        known = self._store.load(volume_id) or Volume(volume_id, base.target)
        wanted = replace(wanted.of(view), host=host, attachment=view.attachment if host else "")
        await self._publisher.publish(known, base, target, wanted, volume_capability.mount.volume_mount_group)
        return csi.NodePublishVolumeResponse()

    async def _staged(
        self, volume_id: str, staging: str, plan: plans.MountPlan, options: csi.VolumeCapability.MountVolume
    ) -> Mount:
        """The mount that a claim is published from; without one raises InUse: the spec asks for FAILED_PRECONDITION."""
        staging = mounts.absolute(staging, "staging_target_path") if staging else ""
        base = mounts.at(staging) if staging else None
        known = self._store.load(volume_id)
        ours = known is not None and known.staging == staging
        if base is not None:
            refuse_foreign(self._store, volume_id, known, staging)
        answers = base is not None and await self._watcher.answers(staging)
        if isinstance(plan, plans.ObjectMount) and ours and not answers:
            # The mounter was replaced and its processes with it; the kubelet does not stage a volume again by itself.
            secrets = await lookup.secrets_for(self._tools.api(), volume_id)
            flags, group = options.mount_flags, options.volume_mount_group
            return await self._stager.ensure(volume_id, plan, staging, flags, group, secrets)
        if isinstance(plan, plans.Nfs) and ours and (base is None or self._kernel.is_shut(base)):
            # Given up when its pods were killed and stuck, and perhaps not mounted again since, for want of its server.
            flags, group = options.mount_flags, options.volume_mount_group
            return await self._stager.ensure(volume_id, plan, staging, flags, group, {})
        if base is None or base.fstype not in plan.fstypes:
            raise InUse(f"{volume_id} is not staged at {staging or 'any path'}: call NodeStageVolume first")
        if isinstance(plan, plans.Local) and base.device != self._stager.disk(plan).device:
            raise InUse(f"{staging} shows {base.source}, not local volume {plan.share}: unstage that first")
        if isinstance(plan, plans.Nfs) and not same_export(base, plan):
            raise InUse(f"{staging} shows {base.source}, not {plan.path} of {volume_id}: unstage that first")
        if not answers:
            raise NotReady(f"{volume_id} is mounted on this node but does not answer: is its server running?")
        return base

    async def NodeUnpublishVolume(self, volume_id: str, target_path: str) -> csi.NodeUnpublishVolumeResponse:
        target = mounts.absolute(target_path, "target_path")
        known = self._store.load(volume_id)
        await self._publisher.unpublish(volume_id, known, target)
        if known and known.inline:
            await self._inline.drop(known.unpublished(target))
        elif known:
            self._store.save(known.unpublished(target))
        return csi.NodeUnpublishVolumeResponse()

    async def recover(self) -> None:
        """At start: forget what a reboot or a crash took away, and take away shared mounts that nobody needs."""
        table = mounts.targets()
        for volume in list(self._store.all()):
            targets = alive(volume, table)
            if targets or (not volume.inline and mounts.canonical(volume.staging) in table):
                self._store.save(replace(volume, targets=targets))
            else:
                self._store.delete(volume.volume_id)
        await self._inline.recover()

    async def NodeGetVolumeStats(
        self, volume_id: str, volume_path: str, staging_target_path: str = ""
    ) -> csi.NodeGetVolumeStatsResponse:
        known, path = self._store.load(volume_id), mounts.normal(volume_path)
        if known is None or path not in (known.staging, *known.targets) or mounts.at(path) is None:
            raise NotFound(f"{volume_id} is not mounted at {path}")
        return await self._health.stats(known, path)

    async def NodeGetVolumeHealth(
        self, volume_id: str, volume_publish_path: str = "", staging_target_path: str = ""
    ) -> csi.NodeGetVolumeHealthResponse:
        """Served to whoever calls it; advertised only when told to (docs/adr/0011)."""
        given = {"volume_publish_path": volume_publish_path, "staging_target_path": staging_target_path}
        paths = [mounts.absolute(path, field) for field, path in given.items() if path]
        found = await self._health.of(volume_id, self._store.load(volume_id), paths)
        return csi.NodeGetVolumeHealthResponse(volume_health=found)
