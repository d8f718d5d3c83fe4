"""Removing a tree in pieces: by descriptors, following no link, entering no other file system, however deep it is.

A folder within a folder is first renamed up to the top of the tree. So nothing is ever open but the top and one folder
in it, a tree of any depth takes no more, and what was interrupted is simply called again.
"""

import errno
import os
import secrets
import time
from contextlib import suppress

from moorage.errors import InUse
from moorage_operator.filer.beneath import opened

_BATCH = 256  # names read at a time


def remove(above: int, name: str, deadline: float) -> bool:
    """Remove `name` from the directory `above`; False when `deadline` (time.monotonic) comes first: call again.

    Raises InUse when another file system is mounted in it.
    """
    try:
        with opened(above, name) as top:
            if not _empty(top, deadline):
                return False
        return _gone(above, name)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):  # a file, or a link that somebody put in its place
            os.unlink(name, dir_fd=above)
            return True
        if error.errno in (errno.EXDEV, errno.EBUSY):
            raise InUse("another file system is mounted in the folder on the filer: unmount it there") from error
        raise


def _empty(top: int, deadline: float) -> bool:
    while names := _some(top):
        for name in names:
            if time.monotonic() > deadline:
                return False
            if not _removed(top, name):
                _hollow(top, name, deadline)
    return True


def _hollow(top: int, name: str, deadline: float) -> None:
    """Remove the files of a folder, and lift its folders up to the top; itself too if there is time."""
    with opened(top, name) as folder:
        while names := _some(folder):
            for each in names:
                if time.monotonic() > deadline:
                    return
                if not _removed(folder, each):
                    os.rename(each, f".{secrets.token_hex(8)}", src_dir_fd=folder, dst_dir_fd=top)
    _gone(top, name)


def _removed(folder: int, name: str) -> bool:
    """Whether it is gone; a folder with something in it is not."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return _gone(folder, name)
    return True


def _gone(folder: int, name: str) -> bool:
    try:
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _some(folder: int) -> list[str]:
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            found.append(entry.name)
            if len(found) == _BATCH:
                break
    return found
