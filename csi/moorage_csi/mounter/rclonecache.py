"""The cache of an rclone that nobody runs any more: which of its files the bucket has not, and how one is given up.

Beneath `vfs` and `vfsMeta` lie the bytes and the record of each file, by the remote's name, the bucket's and the key.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from moorage import rclonemount
from moorage.unsaved import Unsaved
from moorage_csi.mounter.recipe import digest

SUFFIX = ".rclone"
_META, _BYTES = "vfsMeta", "vfs"
_ABOVE = 2  # the remote's name and the bucket's
_WHY = "the bucket had not taken it when rclone ended"


def of(home: Path) -> Path:
    """Of a mount whose own folder in the cache would be `home`: another program's beside it would be no use to it."""
    return home.with_name(f"{home.name}{SUFFIX}")


def paths(cache: Path) -> Iterator[Path]:
    """rclone's records, one for each cached file."""
    for folder, _, names in os.walk(cache / _META):
        yield from (Path(folder, name) for name in names)


def bytes_of(cache: Path, record: Path) -> Path:
    return cache / _BYTES / record.relative_to(cache / _META)


def is_dirty(record: Path) -> bool:
    """A record is written anew in place: one that is empty now is asked again a moment later."""
    try:
        return rclonemount.is_dirty(record.read_text(errors="replace"))
    except OSError:  # it has gone meanwhile, and with it the file
        return False


def unsaved(cache: Path) -> tuple[Unsaved, ...]:
    """The oldest first."""
    found = (_told(cache, record) for record in paths(cache) if is_dirty(record))
    return tuple(sorted(found, key=lambda record: record.since))


def discard(cache: Path, name: str) -> None:
    """Give the bytes of the record of that name up."""
    for record in list(paths(cache)):
        if _name(cache, record) == name and is_dirty(record):
            bytes_of(cache, record).unlink(missing_ok=True)
            record.unlink(missing_ok=True)


def _told(cache: Path, record: Path) -> Unsaved:
    key = "/".join(record.relative_to(cache / _META).parts[_ABOVE:])
    try:
        found = bytes_of(cache, record).stat()
        size, mtime = found.st_size, found.st_mtime_ns
    except OSError:
        size, mtime = 0, 0
    return Unsaved(_name(cache, record), key, 0, "", {}, size, mtime, mtime / 1e9, _WHY)


def _name(cache: Path, record: Path) -> str:
    return digest(str(record.relative_to(cache)))[:16]
