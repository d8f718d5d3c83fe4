"""Modes, owners and times in an object's metadata, as s3fs keeps them, and what other tools write in their place.

s3fs: `mode` is the decimal st_mode with the bits of the type (octal with a leading 0 is read too), `uid`, `gid`
decimal; `mtime`, `ctime`, `atime` seconds with an optional fraction. s3sync writes `permissions`, `owner`, `group`; AWS
File Gateway `file-permissions` (octal), `file-owner`, `file-group`, `file-mtime` in nanoseconds ("...ns").
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass

SECOND = 1_000_000_000
OURS = frozenset({"mode", "uid", "gid", "mtime", "ctime", "atime", "rdev"})
STALE = frozenset({"moorfs-writer"})
"""It is put anew at each store of bytes (saving.py)."""
ID_MAX = (1 << 32) - 2
SPECIAL = frozenset({stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK})


@dataclass(frozen=True, slots=True)
class Defaults:
    """Of objects without metadata. A volume with an fsGroup: gid=<group>, 0o664 and 0o2775."""

    uid: int = 0
    gid: int = 0
    file_mode: int = 0o644
    folder_mode: int = 0o755


@dataclass(slots=True)  # a frozen one takes four times as long to make
class Known:
    """What an object's metadata tells; `mode` with the bits of the type. Never changed once made."""

    mode: int
    uid: int
    gid: int
    mtime: int
    device: int
    extra: Mapping[str, str] | None
    ctime: int = 0
    """0: not later than mtime."""
    atime: int = 0
    """0: the same as mtime."""


def stored_mtime(nanoseconds: int) -> str:
    """As s3fs writes it: "sec" or "sec.nnnnnnnnn"."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{seconds}.{rest:09d}" if rest else str(seconds)


def known(metadata: Mapping[str, str], modified: int, folder: bool, defaults: Defaults) -> Known:
    """The attributes of an object with this metadata; `modified`: its Last-Modified in nanoseconds.

    Values that nobody can read (another tool's, or broken ones) count as absent.
    """
    if not metadata:
        mode = defaults.folder_mode | stat.S_IFDIR if folder else defaults.file_mode | stat.S_IFREG
        return Known(mode, defaults.uid, defaults.gid, modified, 0, None)
    mtime = _time(metadata.get("mtime", ""))
    if mtime is None:
        mtime = _gateway_time(metadata.get("file-mtime", ""))
    mtime = modified if mtime is None else mtime
    ctime, atime = _time(metadata.get("ctime", "")) or 0, _time(metadata.get("atime", "")) or 0
    return Known(
        mode=_mode(metadata, folder, defaults),
        uid=_first(metadata, ("uid", "owner", "file-owner"), defaults.uid),
        gid=_first(metadata, ("gid", "group", "file-group"), defaults.gid),
        mtime=mtime,
        device=_whole(metadata.get("rdev", "")) or 0,
        extra={k: v for k, v in metadata.items() if _kept(k, v)} or None,
        ctime=ctime if ctime > mtime else 0,
        atime=0 if atime == mtime else atime,
    )


def _kept(name: str, value: str) -> bool:
    """What others wrote is written again with the object; what no header can hold cannot be."""
    return name not in OURS and name not in STALE and value.isascii() and value.isprintable()


def _mode(metadata: Mapping[str, str], folder: bool, defaults: Defaults) -> int:
    mode = _number(metadata.get("mode", ""))
    if mode is None:
        mode = _number(metadata.get("permissions", ""))
    if mode is None:
        mode = _octal(metadata.get("file-permissions", ""))
    if mode is None:
        mode = defaults.folder_mode if folder else defaults.file_mode
    return _kind(mode, folder) | stat.S_IMODE(mode)


def _kind(mode: int, folder: bool) -> int:
    """The key decides whether it is a folder: a file cannot hold others, whatever its metadata says."""
    if folder:
        return stat.S_IFDIR
    kind = stat.S_IFMT(mode)
    return kind if kind in SPECIAL else stat.S_IFREG


def _first(metadata: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        value = _whole(metadata.get(name, ""))
        if value is not None and value <= ID_MAX:
            return value
    return default


def _number(text: str) -> int | None:
    """As s3fs reads a mode: octal after a leading 0, else decimal."""
    return _octal(text) if text.startswith("0") else _whole(text)


def _octal(text: str) -> int | None:
    small = len(text) <= 12 and text.isascii() and text.isdigit() and not set(text) & {"8", "9"}
    return int(text, 8) if small else None


def _whole(text: str) -> int | None:
    return int(text) if len(text) <= 20 and text.isascii() and text.isdigit() else None


def _time(text: str) -> int | None:
    """ "sec" or "sec.fraction"; before 1970 with a minus."""
    if not text:
        return None
    sign = -1 if text.startswith("-") else 1
    whole, _, fraction = text.removeprefix("-").partition(".")
    seconds, part = _whole(whole), _whole((fraction + "000000000")[:9])
    if seconds is None or part is None or seconds > 1 << 34:
        return None
    return sign * (seconds * SECOND + part)


def _gateway_time(text: str) -> int | None:
    return _whole(text.removesuffix("ns")) if text.endswith("ns") else None
