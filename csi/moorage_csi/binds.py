"""A folder of a mounted volume at another path: bound there by way of no link, and seen to be there."""

import logging
import sys

from moorage.errors import InUse, InvalidInput, MoorageError, NotFound
from moorage_csi import hand, mounts
from moorage_csi.mounts import Mount
from moorage_csi.runner import Output, Runner

log = logging.getLogger(__name__)

_SECONDS = 15.0
_HAND = (sys.executable, "-I", "-S", hand.__file__)


def shows(mount: Mount, base: Mount, folder: str, readonly: bool) -> bool:
    """Whether `mount` is `folder` of what is mounted as `base`, with this read-only flag."""
    wanted = f"{base.folder}{folder}".replace("//", "/").rstrip("/")
    seen = mount.folder.removesuffix("//deleted").rstrip("/")
    return (mount.device, seen, mount.readonly) == (base.device, wanted, readonly)


async def ensure_bound(runner: Runner, base: Mount, folder: str, target: str, readonly: bool) -> None:
    """Bind `folder` of the volume mounted as `base` to `target`, and see that it is there.

    Never leaves a bare directory: when anything fails the target is taken away again and the error raised.
    """
    mounts.make_directory(target)
    try:
        await _bind(runner, base, folder, target, readonly)
        if not _is_shown(target, base, folder, readonly):
            raise MoorageError(
                f"{target} does not show {folder} of the volume after the bind mount; nothing was left there"
            )
    except BaseException:
        await mounts.ensure_absent(runner, target)
        raise


async def _bind(runner: Runner, base: Mount, folder: str, target: str, readonly: bool) -> None:
    mode = "ro" if readonly else "rw"
    argv = (*_HAND, "bind", base.target, folder, target, mode)
    if folder == "/":  # nothing to resolve, and mount(8) starts in a tenth of the time
        # Read-only takes a remount, which would drop every flag that is not named again.
        given = ",".join((mode, *base.flags)) if readonly else mode
        argv = ("mount", "-c", "-n", "--bind", "-o", given, base.target, target)
    _check_bound(await runner.run(argv, _SECONDS, about=base.name), folder)


async def ensure_bound_new(runner: Runner, base: Mount, folder: str, target: str, readonly: bool) -> None:
    """As `ensure_bound`, to a directory of its own that is made, or was empty; raises InUse when it is neither."""
    mode = "ro" if readonly else "rw"
    argv = (*_HAND, "bind", base.target, folder, target, mode, "new")
    output = await runner.run(argv, _SECONDS, about=base.name)
    if output.status == hand.OCCUPIED:
        raise InUse(f"{target} on this node is taken: {output.complaint}; empty it there or choose another mountAs")
    _check_bound(output, folder)
    if not _is_shown(target, base, folder, readonly):
        raise MoorageError(f"{target} does not show {folder} of the volume after the bind mount")


def _is_shown(target: str, base: Mount, folder: str, readonly: bool) -> bool:
    mount = mounts.at(target)
    return mount is not None and shows(mount, base, folder, readonly)


async def grant(runner: Runner, base: Mount, target: str, group: str) -> None:
    """The group can write into the folder of volume `base` mounted at `target`, and what is made there belongs to it.

    No walk: what is in the folder stays as it is. That the server refuses (root squash) is told in the log only.
    """
    output = await runner.run((*_HAND, "grant", target, group), _SECONDS, about=base.name)
    if output.status:
        log.warning(
            "group %s (fsGroup) could not be given %s (%s): its pods can write there only as the folder's mode allows",
            group, target, output.complaint,
        )  # fmt: skip


def _check_bound(output: Output, folder: str) -> None:
    if output.status == hand.MISSING:
        raise NotFound(f"folder {folder} does not exist in the volume: make it first, or correct mountFrom")
    if output.status == hand.REFUSED:
        raise InvalidInput(
            f"mountFrom {folder} is not a plain folder of the volume ({output.complaint}): no part of it may be a "
            "symbolic link, a file or another mount"
        )
    if output.status:
        raise MoorageError(f"bind mount of {folder} failed: {output.complaint}")
