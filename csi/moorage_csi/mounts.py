"""The mount table as values, paths to mount on, and verbs that take mounts away. All can be repeated.

Only /proc/self/mountinfo is read to know what is mounted: it never hangs, on a dead server or a dead FUSE process
neither. Paths are never stat()ed here.
"""

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from moorage.errors import DeadlineExceeded, InUse, InvalidInput, MoorageError
from moorage_csi.runner import Runner

log = logging.getLogger(__name__)

_OCTAL = re.compile(r"\\([0-7]{3})")
_STACKED = 32  # mounts on top of each other that one call takes away
# Each step with its time limit in seconds. An unreachable server makes a plain umount hang; -f aborts what waits for
# the server; -l always works. A pod's target (a bind) and then the staging path take 25 s together at most: a pod whose
# server is gone goes within its grace period and 30 s. -c and -i: no look at the path and no helper program, both of
# which could hang.
# -f aborts the whole file system (FUSE: its connection, NFS: its requests), not this mount of it: never while another
# mount shows it, because that one's users would lose theirs.
_UMOUNT_LADDER = (
    (("umount", "-c", "-i"), 5.0),
    (("umount", "-c", "-i", "-f"), 5.0),
    (("umount", "-c", "-i", "-l"), 5.0),
)
_NAME_MAX = 255  # bytes of one part of a path (Linux)
_KEPT = frozenset({"nosuid", "nodev", "noexec", "noatime", "nodiratime"})  # flags of a mount that a bind of it keeps


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc(5))."""

    device: str  # major:minor
    root: str
    target: str
    readonly: bool  # of this mount, not of the file system
    fstype: str
    source: str
    flags: tuple[str, ...] = field(default=(), compare=False)  # those of `_KEPT` that it has

    @property
    def name(self) -> str:
        """Stands for the file system, which may be mounted at other paths too."""
        return f"{self.source} ({self.device})"

    @property
    def folder(self) -> str:
        """Which folder of its file system it shows; NFS says so in the source, and gives "/" as its root."""
        return self.source if self.fstype.startswith("nfs") else self.root


def parse(text: str) -> tuple[Mount, ...]:
    """Read mountinfo; the topmost mount of a path comes last."""
    return tuple(_parse_line(line) for line in text.splitlines() if line)


def _parse_line(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    _, _, device, root, target, options, *_ = left.split(" ")
    fstype, source, *_ = right.split(" ")
    given = options.split(",")
    flags = tuple(each for each in given if each in _KEPT)
    return Mount(device, _unescaped(root), _unescaped(target), "ro" in given, fstype, _unescaped(source), flags)


def _unescaped(text: str) -> str:
    return (
        _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text).encode("latin-1").decode(errors="surrogateescape")
    )


def _mountinfo() -> str:
    return Path("/proc/self/mountinfo").read_bytes().decode("latin-1")


def table() -> tuple[Mount, ...]:
    return parse(_mountinfo())


def targets() -> frozenset[str]:
    """Every path on which something is mounted."""
    return frozenset(mount.target for mount in table())


def at(path: str, text: str | None = None) -> Mount | None:
    """What is mounted on exactly this path, the topmost one; `text` is mountinfo, by default as it is now."""
    found = stacked(path, text)
    return found[-1] if found else None


def stacked(path: str, text: str | None = None) -> tuple[Mount, ...]:
    """All that is mounted on exactly this path, the topmost one last. Reads the other lines no further than it must."""
    wanted = canonical(path)
    field = f" {os.fsencode(escaped(wanted)).decode('latin-1')} "
    lines = (line for line in (_mountinfo() if text is None else text).splitlines() if field in line)
    return tuple(mount for mount in map(_parse_line, lines) if mount.target == wanted)


def escaped(path: str) -> str:
    """As the kernel writes a path in its tables of mounts, which are separated by blanks."""
    return re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match.group()):03o}", path)


def canonical(path: str) -> str:
    """As the kernel writes it: links in the parents resolved. The last part is not looked at: a mount may be dead."""
    parent, name = os.path.split(path.rstrip("/"))
    return os.path.join(os.path.realpath(parent), name)


def absolute(path: str, field: str) -> str:
    """A path that a caller gave, with single slashes, if it is absolute and clean; raises InvalidInput."""
    parts = [part for part in path.split("/") if part]
    if not path.startswith("/") or {".", ".."} & set(parts) or "\0" in path or not parts:
        raise InvalidInput(f"{field} {path!r} must be an absolute path without '.' and '..'")
    if max(len(part.encode()) for part in parts) > _NAME_MAX:
        raise InvalidInput(f"{field} has a part of more than {_NAME_MAX} bytes, which no file system takes")
    return "/" + "/".join(parts)


def normal(path: str) -> str:
    """With single slashes, as `absolute` gives it, but of anything: for comparing only."""
    return os.path.normpath(path)


def make_directory(path: str) -> None:
    """The directory to mount on; it is there already when the call is repeated, perhaps with a dead mount on it."""
    try:
        os.makedirs(path, mode=0o750)
    except FileExistsError:
        if at(path) is None and (os.path.islink(path) or not os.path.isdir(path)):
            raise InvalidInput(f"{path} is a file or a symbolic link, not a directory to mount on") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be made: {error.strerror}") from None


async def ensure_absent(runner: Runner, target: str, keep_directory: bool = False) -> None:
    """Nothing mounted at `target` and, unless `keep_directory`, no directory there. Nothing in it is ever deleted."""
    await ensure_unmounted(runner, target)
    if keep_directory:
        return
    try:
        os.rmdir(target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InUse(f"{target} is not mounted but cannot be removed: {error.strerror}") from None


async def ensure_unmounted(runner: Runner, target: str) -> None:
    """Take away every mount on exactly this path; works on dead servers and dead FUSE processes."""
    for _ in range(_STACKED):
        if at(target) is None:
            return
        await _unmount_once(runner, target)
    raise MoorageError(f"{target} is still mounted after {_STACKED} unmounts")


def shown_elsewhere(target: str) -> bool:
    """Whether the file system mounted at `target` is mounted at another path too."""
    text = _mountinfo()
    here = at(target, text)
    return here is not None and any(
        other.device == here.device and other.target != here.target for other in parse(text)
    )


async def _unmount_once(runner: Runner, target: str) -> None:
    complaint = ""
    before = len(stacked(target))
    for argv, seconds in _UMOUNT_LADDER:
        if "-f" in argv and shown_elsewhere(target):
            continue
        try:
            output = await runner.run((*argv, canonical(target)), seconds)
            complaint = output.complaint
        except DeadlineExceeded as error:
            complaint = str(error)
        if len(stacked(target)) < before:
            return
        log.warning("%s %s: %s", " ".join(argv), target, complaint)
    raise MoorageError(f"{target} could not be unmounted: {complaint}")
