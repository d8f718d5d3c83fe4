"""Which backend a volume or a bucket goes to, and which of its servers. Decided once: a placement never changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moorage import conditions, names, quantity
from moorage.actions import Problem
from moorage.imagesize import image_bytes, usable_bytes
from moorage.model import BackendServer, Placement, StorageBackend, VolumeType

GANESHA = "ganesha"
NFS = "nfs"
LOCAL = "local"
S3 = "s3"
ENGINES_FOR: Mapping[VolumeType, tuple[str, ...]] = {
    VolumeType.shared: (GANESHA, NFS),
    VolumeType.object: (S3,),
    VolumeType.local: (LOCAL,),
}
NO_CAPACITY = "NoCapacity"
ADOPT_NOT_FOUND = "AdoptNotFound"
ADOPT_NOT_OFFERED = "AdoptNotOffered"
CLONES_NOT_OFFERED = "ClonesNotOffered"
SOURCE_ELSEWHERE = "SourceElsewhere"
SOURCE_TOO_SMALL = "SourceTooSmall"
REGION_MISMATCH = "RegionMismatch"
# Waiting does not help: somebody must do something, were it to make room. All others are waited for.
REFUSED = frozenset(
    {
        NO_CAPACITY,
        ADOPT_NOT_FOUND,
        ADOPT_NOT_OFFERED,
        CLONES_NOT_OFFERED,
        SOURCE_ELSEWHERE,
        SOURCE_TOO_SMALL,
        REGION_MISMATCH,
    }
)

# When one cluster-wide default is taken rather than named, ties go to the oldest: as with default StorageClasses.


@dataclass(frozen=True, slots=True)
class Origin:
    """What a volume begins with: `words` for messages ("StorageSnapshot monday"), where it is, its size in bytes."""

    words: str
    placement: Placement
    size: int


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


def engine_of(backend: StorageBackend) -> str:
    engine = backend.spec.engine
    blocks = {GANESHA: engine.ganesha, NFS: engine.nfs, LOCAL: engine.local}
    return next((name for name, block in blocks.items() if block), S3)


def is_overcommitted(backend: StorageBackend) -> bool:
    engine = backend.spec.engine
    return bool((engine.ganesha and engine.ganesha.overcommit) or (engine.local and engine.local.overcommit))


def taken(size: int) -> int:
    """Bytes of a pool that a share of `size` bytes takes."""
    return image_bytes(size)


def topology(backend: StorageBackend, placed: Placement) -> dict[str, str] | None:
    """Labels of the nodes that can use what is placed there; None: all nodes can."""
    if placed.engine == LOCAL:
        return {names.TOPOLOGY_NODE: names.topology_value(placed.server)}
    return dict(backend.spec.node_selector) if backend.spec.node_selector else None


def place(asked: Asked, backends: Iterable[StorageBackend], room: Room | None = None) -> Placement | Problem:
    """The placement on the named backend, or on the default one for the engines; else why there is none (yet)."""
    usable = [each for each in backends if "deletionTimestamp" not in each.metadata]
    refused = _no_clone(asked)
    if refused:
        return refused
    named = asked.origin.placement.backend if asked.origin else asked.named
    chosen = _named(named, usable) if named else _default(asked, usable)
    if chosen is None:
        return _missing(named, asked)
    server = _unfit(asked, chosen) or _server(asked, chosen, room or Room())
    if isinstance(server, Problem):
        return server
    return Placement(backend=chosen.metadata["name"], engine=engine_of(chosen), server=server)


def why_not_ready(backend: StorageBackend) -> str:
    return conditions.message_of(backend.status.conditions, conditions.READY) or "it was not probed yet"


def lost(backend: StorageBackend | None, placed: Placement, node_gone: bool = False) -> str:
    """Why nothing can be asked of the backend any more, as it seems; "" while there is hope.

    One that is being deleted waits for what lives on it: if that waited for an engine that is gone, neither would end.
    `node_gone`: the node whose disk the volume is on was removed from the cluster.
    """
    if node_gone:
        return f"node {placed.server} is gone"
    if backend is None:
        return f"StorageBackend {placed.backend} is gone"
    if "deletionTimestamp" in backend.metadata and not conditions.is_true(backend.status.conditions, conditions.READY):
        return f"StorageBackend {placed.backend} is being deleted and does not answer"
    return ""


def no_reflink(placed: Placement) -> Problem:
    """Why the server there has no snapshots and clones."""
    text = f"the pool of {placed.server} (StorageBackend {placed.backend}) cannot share blocks between files"
    return Problem(CLONES_NOT_OFFERED, f"{text}: snapshots and clones need a pool on XFS made with reflink=1")


# The backend.


def _named(name: str, backends: list[StorageBackend]) -> StorageBackend | None:
    return next((each for each in backends if each.metadata["name"] == name), None)


def _default(asked: Asked, backends: list[StorageBackend]) -> StorageBackend | None:
    """A region that is asked for chooses among all backends, the default ones first."""
    fitting = [each for each in backends if engine_of(each) in asked.engines]
    if asked.region:
        fitting = [each for each in fitting if region_of(each) == asked.region]
    else:
        fitting = [each for each in fitting if each.spec.default]
    return min(fitting, key=_seniority, default=None)


def _seniority(backend: StorageBackend) -> tuple[bool, str, str]:
    metadata = backend.metadata
    return not backend.spec.default, metadata.get("creationTimestamp", ""), metadata["name"]


def region_of(backend: StorageBackend) -> str | None:
    return backend.spec.engine.s3.region if backend.spec.engine.s3 else None


def _missing(named: str | None, asked: Asked) -> Problem:
    if named:
        return Problem("BackendNotFound", f"StorageBackend {named} does not exist: create it, or name another one")
    either = " or ".join(asked.engines)
    if asked.region:
        text = f"no StorageBackend with engine {either} is in region {asked.region}"
        return Problem("NoBackend", f"{text}: create one, or make the bucket in a region that there is")
    return Problem(
        "NoBackend", f"no StorageBackend with engine {either} is the default: create one, or name one in spec.backend"
    )


def _no_clone(asked: Asked) -> Problem | None:
    """Why nothing can begin with its source."""
    origin = asked.origin
    if origin is None:
        return None
    placed = origin.placement
    if placed.engine != GANESHA:
        text = f"{origin.words} is on StorageBackend {placed.backend} with engine {placed.engine}"
        return Problem(CLONES_NOT_OFFERED, f"{text}, which makes no clones: make an empty volume and copy the data")
    if asked.named and asked.named != placed.backend:
        text = f"{origin.words} is on StorageBackend {placed.backend}, and a clone shares its blocks"
        return Problem(SOURCE_ELSEWHERE, f"{text}: leave spec.backend out, or name that one")
    if usable_bytes(asked.size) < usable_bytes(origin.size):
        least = quantity.format(origin.size)
        return Problem(SOURCE_TOO_SMALL, f"{origin.words} has {least} and size only grows: write at least {least}")
    return None


def _unfit(asked: Asked, backend: StorageBackend) -> Problem | None:
    name, engine = backend.metadata["name"], engine_of(backend)
    if engine not in asked.engines:
        either = " or ".join(asked.engines)
        text = f"StorageBackend {name} has engine {engine}, {either} is needed: name another one"
        return Problem("BackendMismatch", text)
    if asked.region and region_of(backend) != asked.region:
        text = f"StorageBackend {name} is in region {region_of(backend)}, not in {asked.region}"
        return Problem(REGION_MISMATCH, f"{text}: make the bucket without spec.backend, or with one of that region")
    if asked.adopt and asked.adopt.startswith("/") and engine != NFS:
        text = f"StorageBackend {name} has engine {engine}, and only a filer (engine nfs) has folders to adopt"
        return Problem(ADOPT_NOT_OFFERED, f"{text}: name one, or write the 8 characters of a kept share's id")
    if not conditions.is_true(backend.status.conditions, conditions.READY):
        return Problem("BackendNotReady", f"waiting for StorageBackend {name}: {why_not_ready(backend)}")
    return None


# Its server.


def _server(asked: Asked, backend: StorageBackend, room: Room) -> str | Problem:
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
