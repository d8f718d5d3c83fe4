"""What must outlive the agent, the pod and the cluster: the records on a pool.

Snapshots came after version 1 and did not change it: an older agent leaves the folder `snapshots` and the field
`source` alone. It only does not know that shared blocks are promised (docs/adr/0015).
"""

from moorage.model import Model, Squash

POOL_VERSION = 1


class Record(Model):
    """`share.json` beside the image: what must outlive the agent, the pod and the cluster."""

    version: int = POOL_VERSION
    id: str
    namespace: str
    name: str
    uid: str
    export_id: int
    size: int
    retained: bool = False
    squash: Squash = Squash.none
    """As last asked: a server that starts before the API answers must not be more generous than that."""
    sparse: bool = False
    """The image takes room on the pool as it is filled, and was never reserved."""
    former: tuple[str, ...] = ()
    """Ids that the share had before it was adopted, oldest first."""
    source: str = ""
    """The snapshot or volume that it began with, such as snapshot/nightly: it may share blocks with others."""


class SnapshotRecord(Model):
    """`snapshot.json` beside a snapshot's image. Written last: an image without it is unfinished and of no moment."""

    version: int = POOL_VERSION
    id: str
    namespace: str
    name: str
    uid: str
    volume_id: str
    volume_name: str
    size: int
    taken: str
    """When the blocks came to be shared (RFC 3339)."""


class PoolState(Model):
    """`pool.json` at the top of the pool: the format's version, the next export id, the last known node addresses."""

    version: int = POOL_VERSION
    next_export_id: int = 1
    clients: tuple[str, ...] | None = None
    """None: it was never known which nodes there are; empty: there was none that may mount."""
