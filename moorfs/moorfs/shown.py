"""Owners and modes as a mount shows them, where its settings say so; what is kept with the objects stays as it is."""

import stat
from collections.abc import Callable
from dataclasses import dataclass, replace

from moorfs.ports import Attributes
from moorfs.settings import Settings

Show = Callable[[Attributes], Attributes]


@dataclass(frozen=True, slots=True)
class Shown:
    """`group` is what Kubernetes' fsGroup does to a disk: its group, group bits like the owner's, set-group-id."""

    uid: int | None
    gid: int | None
    group: int | None
    file_mode: int | None
    folder_mode: int | None

    def __call__(self, kept: Attributes) -> Attributes:
        return replace(
            kept,
            mode=self._mode(kept.mode),
            uid=kept.uid if self.uid is None else self.uid,
            gid=self.group if self.group is not None else kept.gid if self.gid is None else self.gid,
        )

    def _mode(self, mode: int) -> int:
        if stat.S_ISLNK(mode):
            return mode
        given = self.folder_mode if stat.S_ISDIR(mode) else self.file_mode
        if given is not None:
            mode = stat.S_IFMT(mode) | given
        if self.group is not None:
            mode |= 0o2770 if stat.S_ISDIR(mode) else 0o660 | (mode & 0o100) >> 3
        return mode


def shown(settings: Settings) -> Show:
    """What to do with the attributes of every node."""
    found = Shown(settings.uid, settings.gid, settings.group, settings.file_mode, settings.folder_mode)
    return (lambda kept: kept) if found == Shown(None, None, None, None, None) else found
