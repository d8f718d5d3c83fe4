"""Which backend a volume or a bucket goes to."""

from collections.abc import Iterable

from moorage import conditions
from moorage.actions import Problem
from moorage.model import Placement, StorageBackend, VolumeType

GANESHA = "ganesha"
S3 = "s3"
ADOPT_NOT_FOUND = "AdoptNotFound"
ENGINE_FOR = {VolumeType.shared: GANESHA, VolumeType.object: S3}

# When one cluster-wide default is taken rather than named, ties go to the oldest: as with default StorageClasses.


def engine_of(backend: StorageBackend) -> str:
    return GANESHA if backend.spec.engine.ganesha else S3


def place(
    named: str | None, engine: str, backends: Iterable[StorageBackend], adopt: str | None = None
) -> Placement | Problem:
    """The placement on the named backend, or on the default one for the engine; else why there is none (yet).

    A volume that adopts a share goes to the server that has it.
    """
    usable = [each for each in backends if "deletionTimestamp" not in each.metadata]
    chosen = _named(named, usable) if named else _default(engine, usable)
    if chosen is None:
        return _missing(named, engine)
    name = chosen.metadata["name"]
    if engine_of(chosen) != engine:
        return Problem(
            "BackendMismatch",
            f"StorageBackend {name} has engine {engine_of(chosen)}, {engine} is needed: name another one",
        )
    if not conditions.is_true(chosen.status.conditions, conditions.READY):
        return Problem("BackendNotReady", f"waiting for StorageBackend {name}: {why_not_ready(chosen)}")
    server = _server_with(chosen, adopt) if adopt and engine == GANESHA else _server(chosen)
    return Placement(backend=name, engine=engine, server=server) if isinstance(server, str) else server


def why_not_ready(backend: StorageBackend) -> str:
    return conditions.message_of(backend.status.conditions, conditions.READY) or "it was not probed yet"


def lost(backend: StorageBackend | None, placed: Placement) -> str:
    """Why nothing can be asked of the backend any more, as it seems; "" while there is hope.

    One that is being deleted waits for what lives on it: if that waited for an engine that is gone, neither would end.
    """
    if backend is None:
        return f"StorageBackend {placed.backend} is gone"
    if "deletionTimestamp" in backend.metadata and not conditions.is_true(backend.status.conditions, conditions.READY):
        return f"StorageBackend {placed.backend} is being deleted and does not answer"
    return ""


def _named(name: str, backends: list[StorageBackend]) -> StorageBackend | None:
    return next((each for each in backends if each.metadata["name"] == name), None)


def _default(engine: str, backends: list[StorageBackend]) -> StorageBackend | None:
    fitting = [each for each in backends if each.spec.default and engine_of(each) == engine]
    return min(
        fitting, key=lambda each: (each.metadata.get("creationTimestamp", ""), each.metadata["name"]), default=None
    )


def _missing(named: str | None, engine: str) -> Problem:
    if named:
        return Problem("BackendNotFound", f"StorageBackend {named} does not exist: create it, or name another one")
    return Problem(
        "NoBackend", f"no StorageBackend with engine {engine} is the default: create one, or name one in spec.backend"
    )


def _server_with(backend: StorageBackend, share: str) -> str | Problem:
    """The server that lists the share. A backend's only server is asked in any case: its list may be cut short."""
    servers = backend.status.servers
    found = next((each.name for each in servers if any(kept.id == share for kept in each.kept)), None)
    if found or len(servers) < 2:
        return found or _server(backend)
    name = backend.metadata["name"]
    return Problem(ADOPT_NOT_FOUND, f"no server of StorageBackend {name} has a kept share {share}: see status.servers")


def _server(backend: StorageBackend) -> str:
    ganesha = backend.spec.engine.ganesha
    return f"{ganesha.stateful_set}-0" if ganesha else ""
