"""The mounts that are compared: name to how it is mounted. Ours has the settings of a volume that says nothing."""

import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import fusemount
import s3engine

from bench.object.peers import PROGRAMS, Mounted, peer

Mounting = Callable[[str, str], AbstractContextManager[Mounted]]  # bucket and endpoint to a mount
OURS = "moorfs"


@contextmanager
def moorfs(engine: s3engine.Engine, home: Path, bucket: str, endpoint: str) -> Generator[fusemount.Mount]:
    """Our mount; an empty endpoint is the engine's."""
    more = {"endpoint": endpoint} if endpoint else {}
    mount = fusemount.Mount(home, fusemount.make(home, engine, bucket, log_level="WARNING", **more))
    mount.mount()
    try:
        mount.start()
        yield mount
    finally:
        mount.close()
        shutil.rmtree(home, ignore_errors=True)


def mountings(engine: s3engine.Engine, home: Path) -> Mapping[str, Mounting]:
    """All by name, ours first."""

    @contextmanager
    def ours(bucket: str, endpoint: str) -> Generator[Mounted]:
        with moorfs(engine, home / OURS, bucket, endpoint) as mount:
            yield Served(mount)

    def theirs(command: str) -> Mounting:
        return lambda bucket, endpoint: peer(command, engine, bucket, endpoint)

    return {OURS: ours, **{name: theirs(command) for name, command in PROGRAMS.items()}}


class Served(Mounted):
    """Our mount: the namespace is its keeper's, the costs are those of the server."""

    def __init__(self, mount: fusemount.Mount) -> None:
        super().__init__(mount.namespace, str(mount.home / "mnt"))
        self.__dict__["_mount"] = mount

    def cost(self) -> dict[str, float]:
        server = self.__dict__["_mount"].server
        return Mounted(server.pid, "").cost()
