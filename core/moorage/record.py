"""What must outlive the agent, the pod and the cluster: the records on a pool."""

from pydantic import Field

from moorage.model import Model

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
    former: tuple[str, ...] = ()
    """Ids that the share had before it was adopted, oldest first."""


class PoolState(Model):
    """`pool.json` at the top of the pool: the format's version, the next export id, the last known node addresses."""

    version: int = POOL_VERSION
    next_export_id: int = 1
    clients: tuple[str, ...] = Field(default=())
