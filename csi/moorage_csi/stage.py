"""The real mount of a volume on this node: NFS by mount.nfs4 in a killable child, buckets by the mounter.

Local volumes are mounted by the node's agent already, and bound from there.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from moorage import names
from moorage.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidInput,
    MoorageError,
    NotFound,
    NotReady,
    Pending,
    Retry,
)
from moorage.mount import Local, MountPlan, Nfs
from moorage.objectmount import ObjectMount, is_fuse
from moorage_csi import mounts, stats
from moorage_csi.mounts import Mount
from moorage_csi.runner import Runner
from moorage_csi.stuck import Kernel

log = logging.getLogger(__name__)

_MOUNT_SECONDS = 40.0  # the kubelet calls again; a shorter wait tells the user sooner what is wrong
_RESOLVE_SECONDS = 15.0
_PROBE_SECONDS = 15.0
_BIND_SECONDS = 15.0
_NO_EXPORT = "No such file or directory"  # mount.nfs4, when the server says ENOENT; "No such device" is another matter


class Mounter(Protocol):
    """The daemon that owns the FUSE processes."""

    async def mount(
        self, volume_id: str, target: str, kind: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None: ...
    async def unmount(self, target: str) -> None: ...
    async def rekey(self, target: str, secrets: Mapping[str, str]) -> None: ...
    async def trouble(self, target: str) -> str: ...


class Stager:
    """Mounts volumes where they are staged, and takes the mounts away again. Both can be repeated."""

    def __init__(self, runner: Runner, mounter: Mounter, disks: Path, kernel: Kernel) -> None:
        """`disks`: where the node's agent has mounted the local volumes, each at its id."""
        self._kernel = kernel
        self._runner = runner
        self._mounter = mounter
        self._disks = disks

    async def ensure(
        self, volume_id: str, plan: MountPlan, path: str, flags: Sequence[str], group: str, secrets: Mapping[str, str]
    ) -> Mount:
        """The volume is mounted at `path` and has answered; raises AlreadyExists when something else is there."""
        if isinstance(plan, Nfs):
            await self._ensure_nfs(plan, path, plan.with_flags(flags))
        elif isinstance(plan, Local):
            plan.check(flags)
            await self._ensure_local(plan, path)
        else:
            await self._ensure_object(volume_id, plan, path, plan.parameters(flags, group), secrets)
        mount = mounts.at(path)
        if mount is None or mount.fstype not in plan.fstypes:
            raise MoorageError(f"the volume was mounted at {path}, but the mount table does not show it")
        return mount

    async def remove(self, path: str, keep_directory: bool) -> None:
        """Nothing is mounted at `path`; what FUSE held back is stored first.

        The mounter is told even if nothing is mounted: it may be about to mount a dead FUSE volume again.
        """
        mount = mounts.at(path)
        if mount is None or is_fuse(mount.fstype):
            try:
                await self._mounter.unmount(path)
            except Pending:  # it is there, and busy
                raise
            except Retry as error:  # no mounter, no process to wait for: what was closed is stored, or stays in a cache
                log.warning("%s is unmounted without the mounter: %s", path, error)
        await mounts.ensure_absent(self._runner, path, keep_directory)

    async def _ensure_nfs(self, plan: Nfs, path: str, options: Sequence[str]) -> None:
        present = mounts.at(path)
        if present and same_export(present, plan) and self._kernel.is_shut(present):
            await mounts.ensure_unmounted(self._runner, path)
        elif present and same_export(present, plan):
            return await self._probe(path)
        elif present:
            raise AlreadyExists(
                f"{present.source} ({present.fstype}) is mounted at {path}, not {plan.server}:{plan.path}"
            )
        mounts.make_directory(path)
        try:
            await self._mount_nfs(plan, path, options)
            await self._probe(path)
        except BaseException:
            await mounts.ensure_absent(self._runner, path, keep_directory=True)
            raise

    async def _mount_nfs(self, plan: Nfs, path: str, options: Sequence[str]) -> None:
        source = plan.source(await self._resolve(plan.server))
        argv = ("mount", "-t", "nfs4", "-o", ",".join(options), source, path)
        try:
            output = await self._runner.run(argv, _MOUNT_SECONDS)
        except DeadlineExceeded:
            raise NotReady(f"the NFS server {plan.server} ({source}) does not answer: is its pod running?") from None
        if output.status and _NO_EXPORT in output.complaint:
            raise NotFound(f"{plan.server} exports no {plan.path} (any more): does the StorageVolume still exist?")
        if output.status:
            raise NotReady(f"cannot mount {source} of {plan.server}: {output.complaint}")

    async def _resolve(self, server: str) -> str:
        """An address of `server`, looked up when it is needed: a Service may get another one."""
        output = await self._runner.run(("getent", "ahosts", server), _RESOLVE_SECONDS)
        addresses = [line.split()[0] for line in output.stdout.splitlines() if line.strip()]
        if not addresses:
            raise NotReady(
                f"the name {server} of the NFS server does not resolve on this node: check DNS and its Service"
            )
        return addresses[0]

    async def _probe(self, path: str) -> None:
        argv = ("stat", "--file-system", "--format=%T", path)
        output = await self._runner.run(argv, _PROBE_SECONDS, about=stats.name(path))
        if output.status:
            raise NotReady(f"the volume mounted at {path} does not answer: {output.complaint}")

    async def _ensure_local(self, plan: Local, path: str) -> None:
        disk, present = self.disk(plan), mounts.at(path)
        if present and present.device != disk.device:
            raise AlreadyExists(f"{present.source} ({present.fstype}) is mounted at {path}, not volume {plan.share}")
        await self._probe(disk.target)
        if present:
            return
        mounts.make_directory(path)
        try:
            output = await self._runner.run(("mount", "-c", "-n", "--bind", disk.target, path), _BIND_SECONDS)
            bound = mounts.at(path)
            if bound is None or bound.device != disk.device:  # never the bare folder beneath it
                raise NotReady(f"volume {plan.share} is not seen at {path} after the bind mount: {output.complaint}")
        except BaseException:
            await mounts.ensure_absent(self._runner, path, keep_directory=True)
            raise

    def disk(self, plan: Local) -> Mount:
        """Where this node's agent has mounted the volume; raises NotReady until it has."""
        disk = mounts.at(str(self._disks / plan.share))
        if disk is None or disk.fstype not in plan.fstypes:
            raise NotReady(
                f"local volume {plan.share} is not mounted on this node (yet): its agent does that; is the pod of "
                "DaemonSet moorage-local running here?"
            )
        return disk

    async def _ensure_object(
        self, volume_id: str, plan: ObjectMount, path: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        present = mounts.at(path)
        if present and present.fstype not in plan.fstypes:
            raise AlreadyExists(f"{present.source} ({present.fstype}) is mounted at {path}, not bucket {plan.bucket}")
        for key in (names.SECRET_ACCESS_KEY_ID, names.SECRET_SECRET_ACCESS_KEY):
            if not secrets.get(key):
                raise InvalidInput(f"the Secret of bucket {plan.bucket} has no {key}")
        await self._mounter.mount(volume_id, path, plan.mounter, parameters, secrets)


def same_export(mount: Mount, plan: Nfs) -> bool:
    """By the export's path, which is unique to a volume: the server's address may have changed since."""
    return mount.fstype in plan.fstypes and mount.source.endswith(f":{plan.path}")


def fingerprint(plan: MountPlan, flags: Sequence[str], group: str) -> str:
    """What must not differ when a volume is staged again at the same path. NFS knows no group."""
    wanted = repr((plan, tuple(flags), group if isinstance(plan, ObjectMount) else ""))
    return hashlib.sha256(wanted.encode()).hexdigest()[:16]
