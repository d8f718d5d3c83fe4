"""Which server of a backend takes what asks for a place: by its room, or because it has what is asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moorage import names, quantity
from moorage.actions import Problem
from moorage.engines import NFS, S3, engine_of, is_overcommitted, no_reflink
from moorage.imagesize import image_bytes, usable_bytes
from moorage.model import BackendServer, Placement, StorageBackend
from moorage.origin import Origin

NO_CAPACITY = "NoCapacity"
ADOPT_NOT_FOUND = "AdoptNotFound"


@dataclass(frozen=True, slots=True)
class Asked:
    """What wants a place. `engines`: any of them will do. `named`: the backend. `size`: usable bytes, 0 for none.

    `adopt`: id of a kept share, or a folder of a filer. `node`: whose disk it must be. `origin`: what it begins with.
    `region`: of the S3 server.
    """

    engines: tuple[str, ...]
    named: str | None = None
    size: int = 0
    adopt: str | None = None
    node: str | None = None
    origin: Origin | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What the servers' own words leave out. `promised`: bytes taken since a server last told its room, by backend and
    server; `silent`: by backend, the servers that do not answer, and why."""

    promised: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    silent: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    def left(self, backend: str, server: BackendServer) -> int:
        """Usable bytes of the largest share that still fits; negative when more is promised than there is."""
        return server.free_bytes - self.promised.get((backend, server.name), 0)

    def why_silent(self, placed: Placement) -> str:
        """Why the server does not answer, in words; "" when it does, as far as is known."""
        return self.silent.get(placed.backend, {}).get(placed.server, "")


def taken(size: int) -> int:
    """Bytes of a pool that a share of `size` bytes takes."""
    return image_bytes(size)


def choose(asked: Asked, backend: StorageBackend, room: Room) -> str | Problem:
    """The name of the server, "" where an engine has none to choose from; else why there is none (yet)."""
    name, engine = backend.metadata["name"], engine_of(backend)
    if engine == S3:
        return ""
    if engine == NFS:
        return names.filer_worker(name)
    if not backend.status.servers:
        return Problem("BackendNotReady", f"waiting for StorageBackend {name}: none of its servers has reported yet")
    if asked.origin:
        return _beside(asked, asked.origin, backend, room)
    if asked.adopt:
        return _server_with(asked.adopt, backend)
    if asked.node:
        return _of_node(asked, asked.node, backend, room)
    return _roomiest(asked, backend, backend.status.servers, room)


def _roomiest(asked: Asked, backend: StorageBackend, servers: Iterable[BackendServer], room: Room) -> str | Problem:
    """The server with the most room, by name where they are equal."""
    name = backend.metadata["name"]
    answering = [each for each in servers if each.name not in room.silent.get(name, {})]
    if not answering:
        return Problem("BackendNotReady", f"waiting for StorageBackend {name}: no server that has reported answers")
    best = min(answering, key=lambda each: (-room.left(name, each), each.name))
    return _fitting(asked, backend, best, room)


def _fitting(asked: Asked, backend: StorageBackend, server: BackendServer, room: Room) -> str | Problem:
    name = backend.metadata["name"]
    left = room.left(name, server)
    if is_overcommitted(backend) or left >= usable_bytes(asked.size):
        return server.name
    text = f"StorageBackend {name} has no room for {quantity.format(asked.size)}"
    most = f"the most is {quantity.rounded(max(0, left))}, on {server.name}"
    return Problem(NO_CAPACITY, f"{text}: {most}. Delete volumes, enlarge the pool, or ask for less")


def _beside(asked: Asked, origin: Origin, backend: StorageBackend, room: Room) -> str | Problem:
    """The server of what it begins with: blocks are shared within a pool only."""
    name, wanted = backend.metadata["name"], origin.placement.server
    found = next((each for each in backend.status.servers if each.name == wanted), None)
    if found is None:
        return Problem(
            "BackendNotReady", f"waiting for server {wanted} of StorageBackend {name}, which has not reported"
        )
    if not found.clones:
        return no_reflink(origin.placement)
    return _fitting(asked, backend, found, room)


def _of_node(asked: Asked, node: str, backend: StorageBackend, room: Room) -> str | Problem:
    found = next((each for each in backend.status.servers if each.name == node), None)
    if found:
        return _fitting(asked, backend, found, room)
    name, local = backend.metadata["name"], backend.spec.engine.local
    agents = f"DaemonSet {local.namespace}/{local.daemon_set}" if local else "its DaemonSet"
    text = f"node {node} does not serve StorageBackend {name}: it needs a running pod of {agents}"
    return Problem("NodeNotServed", f"{text}; status.servers of the backend lists the nodes that do")


def _server_with(share: str, backend: StorageBackend) -> str | Problem:
    """The server that lists the share. A backend's only server is asked in any case: its list may be cut short."""
    servers = backend.status.servers
    found = next((each.name for each in servers if any(kept.id == share for kept in each.kept)), None)
    if found or len(servers) == 1:
        return found or servers[0].name
    name = backend.metadata["name"]
    return Problem(ADOPT_NOT_FOUND, f"no server of StorageBackend {name} has a kept share {share}: see status.servers")
