"""A pool whose images are logical volumes of an LVM volume group. Records stay in the pool's folder.

Nobody waits for udev, which a container has not: LVM makes the device nodes itself, here in the container's own /dev.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from moorage import imagesize
from moorage.errors import MoorageError, NoCapacity
from moorage.share import Wanted
from moorage_operator.agent.command import CommandFailed, run
from moorage_operator.agent.format import make_file_system
from moorage_operator.local.localpool import LocalPool

_DEADLINE = 120.0
_CONFIG = (
    "activation{udev_sync=0 udev_rules=0} devices{obtain_device_list_from_udev=0} "
    "backup{backup=0 archive=0}"  # the container's root is read-only; the group's own metadata areas stay
)
_PREFIX = "moorage-"
_FRESH = "moorage.new-"  # not formatted yet: never taken for a volume


class VolumeGroup(LocalPool):
    """Blocking; as the pool."""

    def __init__(self, root: Path, group: str, devices: Path = Path("/dev")) -> None:
        super().__init__(root)
        self.group = group
        self._devices = devices

    def open(self) -> None:
        """Also makes all of the group's volumes known to this container; raises MoorageError without the group."""
        super().open()
        try:
            self.lvm("vgchange", "--activate", "y", self.group)
            self.lvm("vgmknodes", self.group)
        except CommandFailed as error:
            raise MoorageError(
                f"LVM volume group {self.group} cannot be used on this node ({error}): make it with vgcreate, or leave "
                "the node out by the nodeSelector of the backend and of the agent"
            ) from error

    def lvm(self, command: str, *arguments: str) -> str:
        return run(["lvm", command, "--config", _CONFIG, *arguments], _DEADLINE).strip()

    def image(self, volume_id: str) -> Path:
        return self._device(f"{_PREFIX}{volume_id}")

    def image_bytes(self, volume_id: str) -> int:
        try:
            handle = os.open(self.image(volume_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        except OSError as error:
            if error.errno == errno.ENXIO:  # a node that is left of a volume that is not active
                return 0
            raise
        try:
            return os.lseek(handle, 0, os.SEEK_END)
        finally:
            os.close(handle)

    def unfinished(self, volume_id: str) -> bool:
        return self._device(f"{_FRESH}{volume_id}").exists()

    @contextmanager
    def attached(self, volume_id: str) -> Generator[Path]:
        yield self.image(volume_id)

    def in_use(self, volume_id: str) -> bool:
        """Whether anybody has its device open, by a mount or otherwise."""
        name = f"{self.group}/{_PREFIX}{volume_id}"
        return self.image(volume_id).exists() and self._told("lvs", "lv_device_open", name) == "open"

    def resized(self, device_number: int) -> None:
        """A logical volume grows where it stands."""

    def growth(self, size: int) -> tuple[str, ...]:
        """Not to the end of the device: LVM rounds up to whole extents, and the size asked is the size."""
        return ("-D", str(size // imagesize.BLOCK))

    def space(self) -> tuple[int, int]:
        """Bytes of the volume group, and those of them that are in no volume."""
        total, free = self._told("vgs", "vg_size,vg_free", self.group).split()
        return int(total), int(free)

    def allocated_bytes(self, volume_id: str) -> int:
        return self.image_bytes(volume_id)

    def enlarge(self, volume_id: str, size: int) -> None:
        self.reserve(volume_id, size)

    def reserve(self, volume_id: str, size: int) -> None:
        if self.image_bytes(volume_id) < size:
            self._taking_room("lvextend", "--size", f"{size}b", f"{self.group}/{_PREFIX}{volume_id}")

    def _make_image(self, image: Path, wanted: Wanted) -> None:
        """The name comes last, so that what has it is formatted."""
        target, volume_id = imagesize.image_bytes(wanted.size), wanted.id
        (self.volumes / volume_id).mkdir(exist_ok=True)
        fresh = f"{_FRESH}{volume_id}"
        if self._device(fresh).exists():
            self._remove(fresh)
        # What the blocks held before is another's: nothing of it is read through a new file system.
        self._taking_room(
            "lvcreate",
            "--yes",
            "--wipesignatures",
            "y",
            "--zero",
            "y",
            "--size",
            f"{target}b",
            "--name",
            fresh,
            self.group,
        )
        make_file_system(self._device(fresh), wanted.root, self.volumes / volume_id, target)
        self.lvm("lvrename", self.group, fresh, image.name)

    def _is_sparse(self, wanted: Wanted) -> bool:
        return False

    def _remove_image(self, volume_id: str) -> None:
        for name in (f"{_PREFIX}{volume_id}", f"{_FRESH}{volume_id}"):
            if self._device(name).exists():
                self._remove(name)

    def _remove(self, name: str) -> None:
        self.lvm("lvremove", "--yes", f"{self.group}/{name}")
        with suppress(OSError):  # LVM takes its link away, if it made it
            self._device(name).unlink()

    def _device(self, name: str) -> Path:
        return self._devices / self.group / name

    def _told(self, command: str, columns: str, name: str) -> str:
        figures = ("--noheadings", "--units", "b", "--nosuffix", "--options", columns)
        return self.lvm(command, *figures, name)

    def _taking_room(self, command: str, *arguments: str) -> None:
        try:
            self.lvm(command, *arguments)
        except CommandFailed as error:
            if "insufficient free space" in str(error).lower():
                raise NoCapacity(f"volume group {self.group} has not enough room: {error}") from error
            raise
