"""A mount namespace of its own for a test that mounts."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x00020000
_CLONE_FS = 0x00000200
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def private_mounts() -> Iterator[None]:
    """Mounts made in the test are seen by nobody else and are gone afterwards. Needs root, as the driver does."""
    home, here = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), Path.cwd()
    assert _libc.unshare(_CLONE_NEWNS) == 0, "a private mount namespace needs root"
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    yield
    assert _libc.unshare(_CLONE_FS) == 0  # setns(2) wants a thread that shares its root directory with no other
    assert _libc.setns(home, _CLONE_NEWNS) == 0
    os.close(home)
    os.chdir(here)  # setns(2) leaves us in the root directory
