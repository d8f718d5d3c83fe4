"""The root folder of a new volume, as mkfs.xfs makes it: with the file system, so that no moment is before it.

Source: the prototype files of mkfs.xfs(8): type, set-user-id, set-group-id and three octal digits, owner, group.
"""

from moorage.model import RootFolder

_STICKY = 0o1000
_SET_GROUP_ID = 0o2000


def protofile(root: RootFolder | None) -> str:
    """For `mkfs.xfs -p`. Without `root`: 0777, since pods run as any user, and this is their disk."""
    root = root or RootFolder()
    mode = int(root.mode, 8)
    group = "g" if mode & _SET_GROUP_ID else "-"
    return f"/\n0 0\nd-{group}{mode & 0o777:03o} {root.uid} {root.gid}\n$\n"


def sticky_mode(root: RootFolder | None) -> str:
    """The inode's mode, in octal, when it has the sticky bit, which a prototype file cannot say; else ""."""
    mode = int(root.mode, 8) if root else 0
    return f"0{0o040000 | mode:o}" if mode & _STICKY else ""
