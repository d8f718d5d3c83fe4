"""Publications: the volume bound to a pod's target and, for holder pods of attachments, to the node's own directory.

What is about to be done is remembered before it is done, so that a crash forgets nothing; the mount table stays the
truth about what is mounted.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from moorage.errors import AlreadyExists, InUse, NotFound
from moorage.mount import FOREIGN_PREFIXES, Local, Nfs
from moorage.objectmount import is_fuse
from moorage_csi import binds, capability, mounts
from moorage_csi.hostmounts import HostMounts
from moorage_csi.mounts import Mount
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.runner import Runner
from moorage_csi.state import Publication, Store, Volume


class Publisher:
    def __init__(self, runner: Runner, store: Store, hosts: HostMounts) -> None:
        self._runner = runner
        self._store = store
        self._hosts = hosts
        # One for each path on the node: of two attachments at once, the second must see the first one's mount.
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def publish(self, known: Volume, base: Mount, target: str, wanted: Publication, group: str = "") -> None:
        """`target` shows the folder of the volume mounted as `base`, and so does `wanted.host` when it is given.

        `group`: who shall be able to write into that folder, unless it is read-only; s3fs sees to that by itself.
        """
        _check_mode(known, target, wanted)
        wanted = replace(wanted, readonly=wanted.readonly or base.readonly)  # mounted so, by the mount option `ro`
        before = known.targets.get(target)
        bound = not await self._shown(known, base, target, wanted)
        if bound:
            await self._bind(known, base, target, wanted)
        if group and not wanted.readonly and not is_fuse(base.fstype):
            await self._grant(known, base, target, group, undo=bound)
        if not wanted.host:
            return self._store.save(known.published(target, wanted))
        try:
            await self._show_on_node(known, base, target, wanted, before)
        except BaseException:
            if bound:
                await mounts.ensure_absent(self._runner, target)
                self._store.save(known.unpublished(target))
            raise

    async def _shown(self, known: Volume, base: Mount, target: str, wanted: Publication) -> bool:
        """Whether the target shows what is wanted; takes away a dead mount there; raises AlreadyExists for another."""
        before, present = known.targets.get(target), mounts.at(target)
        if present is None:
            return False
        if before and before.differs(wanted):
            raise AlreadyExists(f"{known.volume_id} is published at {target} in another way ({before}): unpublish it")
        if binds.shows(present, base, wanted.folder, wanted.readonly):
            return True
        if present.device == base.device:
            raise AlreadyExists(f"{target} shows {known.volume_id} in another way: unpublish it first")
        refuse_foreign(self._store, known.volume_id, known, target)
        await mounts.ensure_unmounted(self._runner, target)  # an older life of the volume, dead by now
        return False

    async def _bind(self, known: Volume, base: Mount, target: str, wanted: Publication) -> None:
        self._store.save(known.published(target, replace(wanted, host="")))
        try:
            await binds.ensure_bound(self._runner, base, wanted.folder, target, wanted.readonly)
        except BaseException:
            self._store.save(known.unpublished(target))
            raise

    async def _grant(self, known: Volume, base: Mount, target: str, group: str, undo: bool) -> None:
        try:
            await binds.grant(self._runner, base, target, group)
        except BaseException:  # the server does not answer: the kubelet shall call again
            if undo:
                await mounts.ensure_absent(self._runner, target)
                self._store.save(known.unpublished(target))
            raise

    async def _show_on_node(
        self, known: Volume, base: Mount, target: str, wanted: Publication, before: Publication | None
    ) -> None:
        async with self._locks[wanted.host]:
            self._check_taken(known.volume_id, wanted.host)
            earlier = before or next((p for p in known.targets.values() if p.host == wanted.host), None)
            made = replace(wanted, device=base.device, fstype=base.fstype, source=base.source)
            self._store.save(known.published(target, made))
            await self._hosts.ensure(base, wanted, earlier)

    def _check_taken(self, volume_id: str, host: str) -> None:
        """Raises InUse when another attachment has its mount there, were it of the same volume."""
        if mounts.at(host) is None:
            return
        others = (volume for volume in self._store.all() if volume.volume_id != volume_id)
        taken = next((other.volume_id for other in others if _is_at(other, host)), "")
        if taken:
            raise InUse(f"{host} on this node is taken by {taken}: choose another mountAs")

    async def unpublish(self, volume_id: str, known: Volume | None, target: str) -> None:
        """Nothing is mounted at `target`, nor on the node for it; raises InUse while the node's own mount is used."""
        publication = known.targets.get(target) if known else None
        if known and publication and publication.host and not _others_at(known, target, publication.host):
            await self._hosts.remove(volume_id, publication)
        refuse_foreign(self._store, volume_id, known, target)
        await mounts.ensure_absent(self._runner, target)


def refuse_foreign(store: Store, volume_id: str, known: Volume | None, path: str) -> None:
    """Raises NotFound when `path` is another volume's, or a mount that no volume of this driver can be."""
    if known and path in (known.staging, *known.targets):
        return
    other = next((v.volume_id for v in store.all() if path in (v.staging, *v.targets)), "")
    if other:
        raise NotFound(f"{path} is of volume {other}, not of {volume_id}")
    present = mounts.at(path)
    if present and not (present.fstype in Nfs.fstypes or is_fuse(present.fstype)) and not _is_local(store, present):
        raise NotFound(f"{path} is a mount of type {present.fstype} ({present.source}), not of volume {volume_id}")


def _is_local(store: Store, mount: Mount) -> bool:
    """Whether it is a local volume's: other drivers have file systems of its type on the node, too."""
    disks = mounts.canonical(str(store.disks))
    return mount.fstype in Local.fstypes and any(
        each.device == mount.device and each.target.startswith(f"{disks}/") for each in mounts.table()
    )


def requested(given: csi.VolumeCapability, readonly: bool, context: Mapping[str, str]) -> str:
    """Stands for the arguments of a publish call but its paths and secrets, without what Kubernetes adds to them."""
    own = sorted((key, value) for key, value in context.items() if not key.startswith(FOREIGN_PREFIXES))
    text = repr((given.SerializeToString(deterministic=True), readonly, own))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def alive(volume: Volume, table: Collection[str]) -> dict[str, Publication]:
    """The publications of which something is still mounted, here or on the node."""
    return {
        target: how
        for target, how in volume.targets.items()
        if mounts.canonical(target) in table or (how.host and mounts.canonical(how.host) in table)
    }


def _check_mode(known: Volume, target: str, wanted: Publication) -> None:
    """CSI spec, NodePublishVolume: in most single-node modes a volume has one target on the node."""
    others = {path: other.access_mode for path, other in known.targets.items() if path != target}
    modes = sorted({wanted.access_mode, *others.values()} - capability.MANY_TARGETS)
    there = next((path for path in sorted(others) if modes and mounts.at(path)), "")
    if there:
        raise InUse(f"{known.volume_id} is published at {there} already, and {modes[0]} allows one target on a node")


def _is_at(volume: Volume, host: str) -> bool:
    return any(publication.host == host for publication in volume.targets.values())


def _others_at(known: Volume, target: str, host: str) -> bool:
    """Whether another pod of the same attachment, such as a holder's successor, still wants the node's mount."""
    return any(p.host == host and mounts.at(path) for path, p in known.targets.items() if path != target)
