"""Mounts of a deleted folder, which the kubelet cannot take away by itself.

For a pod's `subPath` the kubelet binds a folder of the volume. When somebody deletes that folder, a FUSE file system
answers ENOENT for it even where it is mounted; the kubelet's clean-up (k8s.io/mount-utils, CleanupMountPoint) takes the
path for gone, never unmounts it, and the pod stays Terminating for good. The kernel marks such a mount `//deleted`.
Containers keep their own copies of the mount, so taking away the node's disturbs nobody.
"""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from moorage.errors import MoorageError
from moorage.objectmount import is_fuse
from moorage_csi import mounts
from moorage_csi.mounts import Mount
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

PAUSE = 10.0  # seconds; the kubelet tries again after at most two minutes
_SUBPATHS = "volume-subpaths"  # <kubelet>/pods/<uid>/volume-subpaths/<volume>/<container>/<number>


def dead(table: Iterable[Mount], kubelet: Path) -> list[str]:
    """Where in pods' directories a deleted folder of a FUSE volume is mounted as a subPath."""
    pods = Path(mounts.canonical(str(kubelet / "pods")))
    return [
        mount.target
        for mount in table
        if is_fuse(mount.fstype)
        and mount.root.endswith("//deleted")
        and Path(mount.target).is_relative_to(pods)
        and _SUBPATHS in Path(mount.target).relative_to(pods).parts[1:2]
    ]


async def sweep(runner: Runner, kubelet: Path) -> None:
    """Unmount them; what cannot be unmounted is left for the next time."""
    for target in dead(mounts.table(), kubelet):
        try:
            await mounts.ensure_unmounted(runner, target)
            log.info("%s showed a deleted folder and is unmounted", target)
        except MoorageError as error:
            log.warning("%s shows a deleted folder and stays: %s", target, error)


async def keep(runner: Runner, kubelet: Path) -> None:
    """Sweep for ever. Reading the mount table costs less than a millisecond."""
    while True:
        await asyncio.sleep(PAUSE)
        await sweep(runner, kubelet)
