"""Mounts of StorageAttachments on the node itself, as /mnt/<name>, for whoever works there.

They follow the attachment's holder pods: publish of a holder's claim makes the mount, unpublish takes it away. What is
in use is not torn away, unless the attachment asks for that (spec.detach: Force) or is gone.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from moorage import names
from moorage.errors import DeadlineExceeded, InUse, InvalidInput
from moorage.objectmount import is_fuse
from moorage.view import View, check_mount_as
from moorage_csi import binds, lookup, mounts
from moorage_csi.api import Api
from moorage_csi.mounts import Mount
from moorage_csi.runner import Runner
from moorage_csi.state import Publication

log = logging.getLogger(__name__)

_UMOUNT_SECONDS = 10.0


class HostMounts:
    def __init__(self, runner: Runner, root: str, api: Callable[[], Api]) -> None:
        """`root`: the node's directory for such mounts, at the same path here and propagated to the node."""
        self._runner = runner
        self._root = root
        self._api = api

    async def wanted(self, volume_id: str, view: View, context: Mapping[str, str], before: Publication | None) -> str:
        """Where on the node this publication shall be seen too; empty unless it is for a holder pod.

        The pod's name alone says nothing, for anybody may choose it: the attachment must ask for mounts on nodes.
        `before` is what the target is published as already; a mount that was made is not forgotten.
        """
        if not view.mount_as:
            return ""
        attachment = lookup.handle(volume_id).attachment
        namespace, _, name = view.attachment.partition("/")
        if not attachment or not name:
            raise InvalidInput(f"{names.ATTR_MOUNT_AS} is for the claim of a StorageAttachment only: leave it out")
        pod = context.get(names.POD_NAME, "")
        if context.get(names.POD_NAMESPACE) != namespace or not pod.startswith(f"{names.holder(attachment)}-"):
            return ""
        check_mount_as(view.mount_as, self._root)
        made = before is not None and before.host == view.mount_as
        asked = made or await lookup.shows_on_nodes(self._api(), view.attachment, attachment)
        return view.mount_as if asked else ""

    async def ensure(self, base: Mount, wanted: Publication, before: Publication | None) -> None:
        """The volume is mounted at `wanted.host`; raises InUse when something else is there."""
        present = mounts.at(wanted.host)
        if present and binds.shows(present, base, wanted.folder, wanted.readonly):
            return
        if present and before and _is_of(before, present):  # an older life of the volume, dead by now
            await mounts.ensure_unmounted(self._runner, wanted.host)
        elif present:
            raise InUse(
                f"{wanted.host} on this node is taken: {present.source} ({present.fstype}) is mounted there; unmount "
                "it or choose another mountAs"
            )
        await binds.ensure_bound_new(self._runner, base, wanted.folder, wanted.host, wanted.readonly)

    def lost(self, known: Publication) -> bool:
        """Whether the mount on the node that there should be is not there."""
        if not known.host:
            return False
        present = mounts.at(known.host)
        return present is None or not _is_of(known, present)

    async def remove(self, volume_id: str, known: Publication) -> None:
        """Nothing of ours is mounted at `known.host`; raises InUse while somebody uses it and may go on using it."""
        if self.lost(known):
            return self._remove_directory(known.host)
        complaint = await self._umount(known.host)
        if not self.lost(known):
            if not await lookup.must_let_go(self._api(), known.attachment, lookup.handle(volume_id).attachment):
                raise InUse(
                    f"{known.host} on this node is in use ({complaint}): end what uses it, or set spec.detach: Force "
                    f"in StorageAttachment {known.attachment}"
                )
            log.warning("%s is taken away lazily: %s", known.host, complaint)
            await mounts.ensure_unmounted(self._runner, known.host)
        self._remove_directory(known.host)

    async def _umount(self, path: str) -> str:
        try:
            return (await self._runner.run(("umount", "-c", "-i", path), _UMOUNT_SECONDS)).complaint
        except DeadlineExceeded as error:
            return str(error)

    def _remove_directory(self, path: str) -> None:
        if mounts.at(path) is None:
            with suppress(OSError):  # somebody has put something there, or it is gone
                os.rmdir(path)


def _is_of(known: Publication, present: Mount) -> bool:
    """Whether a mount is the one that was made for the publication. Device numbers are used again, and a bucket whose
    mount was replaced has another one than it had. Of a folder, NFS tells the source with the folder's path."""
    beneath = f"{present.source}/".startswith(f"{known.source.rstrip('/')}/")
    if known.fstype and not (known.fstype == present.fstype and beneath):
        return False
    return known.device == present.device or (bool(known.fstype) and is_fuse(known.fstype))
