"""Does a backend answer? Bounded, and never through a mount."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable

from moorage import filermount
from moorage.actions import Problem
from moorage.backendplan import Probed
from moorage.errors import MoorageError
from moorage.model import GaneshaEngine, LocalEngine, NfsEngine, S3Engine, StorageBackend
from moorage_operator.engines.desk import Engines

DEADLINE = 4.0  # seconds
FILER_DEADLINE = 3.0
NFS_PORT = 2049

Probe = Callable[[StorageBackend], Awaitable[Probed | Problem | None]]


class Prober:
    """Calls one kind of probe per engine; gives what is wrong, with all of it or with some servers, or None."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def __call__(self, backend: StorageBackend) -> Probed | Problem | None:
        engine = backend.spec.engine
        if engine.ganesha:
            return await _probe_ganesha(engine.ganesha, backend)
        try:
            async with asyncio.timeout(DEADLINE):
                if engine.nfs:
                    return await _probe_filer(engine.nfs, backend.spec.mount_options)
                if engine.s3:
                    return await self._probe_s3(engine.s3)
                if engine.local:
                    return _probe_local(engine.local, backend)
        except TimeoutError:
            return Problem("Unreachable", f"no answer within {DEADLINE:.0f} s")
        return Problem("NoEngine", "spec.engine names no engine that this version knows: update the operator")

    async def _probe_s3(self, engine: S3Engine) -> Problem | None:
        try:
            async with self._engines.open(engine) as opened:
                return await opened.probe()
        except MoorageError as error:
            return Problem("Unreachable", str(error))


def _probe_local(engine: LocalEngine, backend: StorageBackend) -> Problem | None:
    """Its agents are on the nodes, and nothing calls them: they have told what room they have."""
    if backend.status.servers:
        return None
    agents = f"DaemonSet {engine.namespace}/{engine.daemon_set}"
    return Problem("NoNodes", f"no node has reported its disk yet: are pods of {agents} running?")


async def _probe_ganesha(engine: GaneshaEngine, backend: StorageBackend) -> Probed:
    """Each server that has reported, or the first one while none has."""
    servers = [each.name for each in backend.status.servers] or [f"{engine.stateful_set}-0"]
    found = await asyncio.gather(*(_probe_nfs(f"{each}.{engine.namespace}.svc") for each in servers))
    silent = {name: why for name, why in zip(servers, found, strict=True) if why}
    if len(silent) < len(servers):
        return Probed(silent=silent)
    first, more = servers[0], f" (and {len(servers) - 1} more)" if len(servers) > 1 else ""
    return Probed(Problem("Unreachable", f"{first}.{engine.namespace}.svc:{NFS_PORT}: {silent[first]}{more}"), silent)


async def _probe_nfs(host: str) -> str:
    """Why nothing listens there; "" when something does. In words that stay the same while the cause does."""
    try:
        async with asyncio.timeout(DEADLINE):
            _, writer = await asyncio.open_connection(host, NFS_PORT)
    except TimeoutError:
        return f"no answer within {DEADLINE:.0f} s"
    except ConnectionRefusedError:
        return "connection refused"
    except socket.gaierror:
        return "its name is not known"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else _why(error)
    writer.close()
    return ""


async def _probe_filer(engine: NfsEngine, mount_options: Iterable[str]) -> Problem | None:
    """Only a suspicion: not the operator mounts it, but nodes, perhaps those of a group."""
    port = next((each.removeprefix("port=") for each in mount_options if each.startswith("port=")), str(NFS_PORT))
    try:
        async with asyncio.timeout(FILER_DEADLINE):
            _, writer = await asyncio.open_connection(engine.server, int(port))
    except TimeoutError:
        return filermount.silent(engine, FILER_DEADLINE)
    except OSError as error:
        known = error.errno and error.errno > 0  # a name's trouble has numbers of its own
        return filermount.unreachable(engine, f"port {port}: {os.strerror(error.errno or 0) if known else _why(error)}")
    writer.close()
    return None


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
