"""Reserving: every block of an image is taken on the pool before anybody writes to it."""

import errno
import os
from pathlib import Path

from moorage.errors import NoCapacity, NotOffered
from moorage_operator.agent.command import CommandFailed, run

_DEADLINE = 600.0  # ext4 takes seconds per terabyte; this is for a busy disk


def allocate(image: Path, size: int, back_to: int | None) -> None:
    """Every block of the image's first `size` bytes: fallocate(2), never its emulation by writing.

    On failure the file is as before, `back_to` bytes long, or gone when that is None.
    """
    try:
        run(["fallocate", "-l", str(size), str(image)], _DEADLINE)
    except CommandFailed as error:
        _give_back(image, back_to)
        text = str(error)
        if "No space left" in text:
            raise NoCapacity(f"the pool ran full while {size} bytes were reserved: enlarge it") from error
        if "not supported" in text:
            raise NotOffered("the pool's file system cannot reserve space: use ext4 or xfs") from error
        raise
    except BaseException:
        _give_back(image, back_to)
        raise


def refill(image: Path) -> None:
    """Every block of an image that was reserved once; it may be in use. Never makes one: raises FileNotFoundError."""
    if not has_holes(image):
        return
    descriptor = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)  # its file system can: it reserved before
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoCapacity(f"no room to reserve {image} again: enlarge the pool") from error
        raise
    finally:
        os.close(descriptor)


def has_holes(image: Path) -> bool:
    """Whether it takes room as it is filled: an image that was reserved has all of its blocks."""
    figures = image.stat()
    return figures.st_blocks * 512 < figures.st_size


def _give_back(image: Path, size: int | None) -> None:
    if size is None:
        image.unlink(missing_ok=True)
        return
    os.truncate(image, size)
