"""The export of the filer, mounted for as long as the worker lives, by children that can be killed."""

import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from moorage import filermount
from moorage.actions import Problem
from moorage.errors import MoorageError
from moorage.model import NfsEngine

_LAST_WORDS = 5.0  # seconds that a killed child has to go
_DETACH = 2  # MNT_DETACH of umount2(2)


class FilerFailed(MoorageError):
    """The worker cannot go on; `problem` becomes the backend's condition."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem

    @property
    def reason(self) -> str:
        return self.problem.reason


def mount(engine: NfsEngine, mount_options: Iterable[str], point: Path, deadline: float) -> None:
    """Raises FilerFailed with mount.nfs4's own words, or after `deadline` seconds without any."""
    point.mkdir(parents=True, exist_ok=True)
    argv = ["mount.nfs4", filermount.source(engine), str(point), "-o", filermount.options(mount_options)]
    with tempfile.TemporaryFile() as words:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
        )  # fmt: skip
        try:
            code = child.wait(deadline)
        except subprocess.TimeoutExpired as error:
            _kill(child)
            raise FilerFailed(filermount.silent(engine, deadline)) from error
        words.seek(0)
        said = words.read().decode(errors="replace")
    if code:
        raise FilerFailed(filermount.problem(engine, said or f"mount.nfs4 ended with exit code {code}"))


def unmount(point: Path) -> None:
    """Lazily: a filer that is gone must not keep the worker."""
    ctypes.CDLL(None).umount2(os.fsencode(point), _DETACH)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """With all that it started. What does not go even so is left behind."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_LAST_WORDS)
