"""The cache folder of a mount: one process at a time has it, by a lock that ends with the process."""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress

_LOCK = "lock"
_PAUSE = 0.02


def taken(home: str, seconds: float) -> bool:
    """Whether nobody else has the folder; then it is ours until we end. Who is dying is waited for."""
    end = time.monotonic() + seconds
    while True:
        os.makedirs(home, mode=0o700, exist_ok=True)
        if _locked(home, os.O_CREAT) >= 0:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)


def held(home: str) -> AbstractContextManager[None] | None:
    """The folder of another mount for a while; None when somebody has it, or it is no such folder."""
    lock = _locked(home, 0)
    return None if lock < 0 else _closing(lock)


def _locked(home: str, flags: int) -> int:
    """A descriptor with the lock, or -1. One that was removed while we waited for it (`mounter.leftovers`) is none."""
    path = os.path.join(home, _LOCK)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except FileNotFoundError:
        return -1
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    os.close(lock)
    return -1


@contextmanager
def _closing(lock: int) -> Generator[None]:
    try:
        yield
    finally:
        os.close(lock)
