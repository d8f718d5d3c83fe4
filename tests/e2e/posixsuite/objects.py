"""Buckets as places: mounts of moorfs and, to compare, of s3fs on this machine, of a real versitygw; without a cluster.

What starts them is tests/unit/moorfs, which has to be in PYTHONPATH.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from fusemount import Mount, make
from s3engine import Engine, running

from bench.object.peers import PROGRAMS, peer
from cluster.command import run
from posixsuite.places import Folder, Place


@contextmanager
def buckets(programs: Path) -> Generator[list[Callable[[], AbstractContextManager[Place]]]]:
    """The places, each to be opened when its turn has come. The engine is there while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="moorage-posix-") as name, running(Path(name) / "engine") as engine:
        home = Path(name)
        home.chmod(0o755)  # the suite acts as other users too
        places: list[Callable[[], AbstractContextManager[Place]]] = [
            partial(by_moorfs, "moorfs", programs, home / "new", engine),
            partial(by_moorfs, "moorfs before 6.9", programs, home / "old", engine, passthrough=False, resend=False),
            lambda: nullcontext(S3fs(programs, home / "s3fs", engine)),
        ]
        yield places


@contextmanager
def by_moorfs(name: str, programs: Path, home: Path, engine: Engine, **more: bool) -> Generator[Folder]:
    """`more`: settings of moorfs. What it logged of its own mistakes fails the run."""
    mount = Mount(home, make(home, engine, engine.bucket(), log_level="INFO", **more))
    try:
        mount.mount()
        mount.start()
        yield _place(name, programs, home, mount.namespace)
        if "Traceback" in mount.log:
            raise RuntimeError(f"moorfs met a mistake of its own:\n{mount.log[-3000:]}")
    finally:
        mount.close()


class S3fs:
    """A Place: each program gets a mount of its own, because s3fs may end within one."""

    name = "s3fs"

    def __init__(self, programs: Path, home: Path, engine: Engine) -> None:
        self._programs = programs
        self._home = home
        self._engine = engine
        self._count = 0

    def run(self, program: str, arguments: Sequence[str]) -> str:
        self._count += 1
        with by_s3fs(self._programs, self._home / str(self._count), self._engine) as folder:
            return folder.run(program, arguments)


@contextmanager
def by_s3fs(programs: Path, home: Path, engine: Engine) -> Generator[Folder]:
    """The one of the mounter's image, with the mounter's options, as `make bench` starts it."""
    seen = home / "mnt"
    seen.mkdir(parents=True)
    with peer(PROGRAMS["s3fs"], engine, engine.bucket()) as mounted:
        # where it is mounted only root can get to
        run(
            ["nsenter", f"--mount=/proc/{mounted.pid}/ns/mnt", "mount", "--bind", mounted.folder, str(seen)], timeout=30
        )
        yield _place("s3fs", programs, home, mounted.pid)


def _place(name: str, programs: Path, home: Path, process: int) -> Folder:
    """Seen from the mount namespace of that process."""
    other = home / "other"
    other.mkdir(exist_ok=True)
    enter = ["nsenter", f"--mount=/proc/{process}/ns/mnt", f"--wd={os.path.abspath(other)}", "--"]
    return Folder(name, programs, home / "mnt", other, enter)
