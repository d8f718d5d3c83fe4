"""Which backend a volume or a bucket goes to, and which of its servers. Decided once: a placement never changes."""

from collections.abc import Iterable

from moorage import berth, conditions, quantity
from moorage.actions import Problem
from moorage.berth import Asked, Room
from moorage.engines import CLONES_NOT_OFFERED, GANESHA, NFS, engine_of, region_of
from moorage.imagesize import usable_bytes
from moorage.model import Placement, StorageBackend

ADOPT_NOT_OFFERED = "AdoptNotOffered"
SOURCE_ELSEWHERE = "SourceElsewhere"
SOURCE_TOO_SMALL = "SourceTooSmall"
REGION_MISMATCH = "RegionMismatch"
# Waiting does not help: somebody must do something, were it to make room. All others are waited for.
REFUSED = frozenset(
    {
        berth.NO_CAPACITY,
        berth.ADOPT_NOT_FOUND,
        ADOPT_NOT_OFFERED,
        CLONES_NOT_OFFERED,
        SOURCE_ELSEWHERE,
        SOURCE_TOO_SMALL,
        REGION_MISMATCH,
    }
)


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
    server = _unfit(asked, chosen) or berth.choose(asked, chosen, room or Room())
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
    """Ties go to the oldest, as with default StorageClasses."""
    metadata = backend.metadata
    return not backend.spec.default, metadata.get("creationTimestamp", ""), metadata["name"]


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
