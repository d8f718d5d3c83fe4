"""The cache's disk: what was made or renamed in a folder outlives a power loss only once the folder is synced."""

import os


def sync_folder(path: str | os.PathLike[str]) -> None:
    """fsync(2) of the folder; raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
