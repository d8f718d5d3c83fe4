"""Volumes mounted on the node itself, where the CSI node plugin finds them.

A mount made here propagates to the node and stays when this process ends: it is the node's, and pods go on.
"""

from pathlib import Path

from moorage.errors import InUse, MoorageError
from moorage_operator.agent.mounts import Mounts
from moorage_operator.local.localpool import LocalPool


class Disks(Mounts):
    # exec, unlike an NFS server's mounts: pods see this very mount, and run programs from their disk. Not suid and no
    # devices: what a pod writes as root must give no rights to anybody on the node, where the mount can be seen.
    options = "nosuid,nodev"

    def __init__(self, root: Path, pool: LocalPool) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(root, pool)
        self._disks = pool

    def ensure_free(self, volume_id: str) -> None:
        if not self.mounted(volume_id) and self._disks.in_use(volume_id):
            raise InUse(
                f"volume {volume_id} is still mounted by somebody on this node: its data goes when they let go of it"
            )

    def _still_down(self, volume_id: str) -> MoorageError:
        """The kernel mounts what somebody else has mounted as it is: dead, as long as that one has it."""
        if self._disks.in_use(volume_id):
            return InUse(
                f"pods on this node still have volume {volume_id} mounted: delete them, so that it can be mounted anew"
            )
        return super()._still_down(volume_id)
