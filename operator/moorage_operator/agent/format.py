"""The file system of a new image."""

from pathlib import Path

from moorage import imagesize, rootfolder
from moorage.model import RootFolder
from moorage_operator.agent.command import run

_DEADLINE = 300.0
_STICKY_DEADLINE = 60.0
_OPTIONS = Path("/usr/share/xfsprogs/mkfs/lts_5.15.conf")


def make_file_system(image: Path, root: RootFolder | None, folder: Path, size: int = 0) -> None:
    """XFS, with its root folder as asked. Blocks that are reserved stay so, those that are not are not taken.

    `folder` is for a passing file; `size` in bytes where the file system shall not fill the whole image.
    """
    proto = folder / "root.proto"
    proto.write_text(rootfolder.protofile(root))
    options = ["-c", f"options={_OPTIONS}"] if _OPTIONS.exists() else []
    # -K: no discard, which would give the reserved blocks back.
    command = ["mkfs.xfs", "-q", "-f", "-K", *options, "-l", f"size={imagesize.LOG_BYTES}", "-p", str(proto)]
    run([*command, *(("-d", f"size={size}") if size else ()), str(image)], _DEADLINE)
    proto.unlink()
    if mode := rootfolder.sticky_mode(root):
        words = ("sb 0", "addr rootino", f"write core.mode {mode}")
        run(["xfs_db", "-x", *(part for word in words for part in ("-c", word)), str(image)], _STICKY_DEADLINE)
