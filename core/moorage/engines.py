"""The engines of StorageBackends, and what follows from which one it is."""

from collections.abc import Mapping

from moorage import names
from moorage.actions import Problem
from moorage.model import Placement, StorageBackend, VolumeType

GANESHA = "ganesha"
NFS = "nfs"
LOCAL = "local"
S3 = "s3"
ENGINES_FOR: Mapping[VolumeType, tuple[str, ...]] = {
    VolumeType.shared: (GANESHA, NFS),
    VolumeType.object: (S3,),
    VolumeType.local: (LOCAL,),
}
CLONES_NOT_OFFERED = "ClonesNotOffered"


def engine_of(backend: StorageBackend) -> str:
    engine = backend.spec.engine
    blocks = {GANESHA: engine.ganesha, NFS: engine.nfs, LOCAL: engine.local}
    return next((name for name, block in blocks.items() if block), S3)


def is_overcommitted(backend: StorageBackend) -> bool:
    engine = backend.spec.engine
    return bool((engine.ganesha and engine.ganesha.overcommit) or (engine.local and engine.local.overcommit))


def region_of(backend: StorageBackend) -> str | None:
    return backend.spec.engine.s3.region if backend.spec.engine.s3 else None


def topology(backend: StorageBackend, placed: Placement) -> dict[str, str] | None:
    """Labels of the nodes that can use what is placed there; None: all nodes can."""
    if placed.engine == LOCAL:
        return {names.TOPOLOGY_NODE: names.topology_value(placed.server)}
    return dict(backend.spec.node_selector) if backend.spec.node_selector else None


def no_reflink(placed: Placement) -> Problem:
    """Why the server there has no snapshots and clones."""
    text = f"the pool of {placed.server} (StorageBackend {placed.backend}) cannot share blocks between files"
    return Problem(CLONES_NOT_OFFERED, f"{text}: snapshots and clones need a pool on XFS made with reflink=1")
