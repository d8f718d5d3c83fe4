"""StorageBackend: where volumes and buckets live. Cluster-scoped."""

from typing import Annotated, ClassVar

from pydantic import Field

from moorage.model.base import (
    AGE,
    LABEL_RULE,
    MESSAGE,
    NAME_PATH,
    READY,
    REASON,
    Bytes,
    Column,
    Generation,
    Model,
    MountOptions,
    Resource,
    Rule,
    ShortId,
    fixed,
)
from moorage.model.condition import Conditions
from moorage.model.engine import Engine
from moorage.model.selector import LABEL_KEY_PATTERN, LabelValue


class StorageBackendSpec(Model):
    """What the backend is."""

    rules: ClassVar[tuple[Rule, ...]] = (
        fixed("nodeSelector", "make another StorageBackend, its volumes' PersistentVolumes carry it"),
        Rule(
            rule="!has(self.engine.s3) || (!has(self.nodeSelector) && size(self.mountOptions) == 0)",
            message="remove nodeSelector and mountOptions: engine s3 has neither",
        ),
        Rule(
            rule="!has(self.engine.local) || size(self.mountOptions) == 0",
            message="remove mountOptions: they are NFS mount options, and a local volume is not mounted by NFS",
            field_path=".mountOptions",
        ),
        Rule(
            rule="!has(self.nodeSelector)"
            f" || self.nodeSelector.all(key, size(key) <= 253 && key.matches(r'{LABEL_KEY_PATTERN}'))",
            message="write labels' keys such as pool or example.com/pool",
            field_path=".nodeSelector",
        ),
        Rule(
            rule="!has(self.nodeSelector) || size(self.nodeSelector) > 0",
            message="nodeSelector names no label with a value: write one, or leave it out for all nodes",
            field_path=".nodeSelector",
        ),
    )

    engine: Engine
    """The driver behind the backend and its settings: exactly one block. Its kind cannot be changed."""
    default: bool = False
    """Used for volumes and buckets that name no backend; if several fit, the oldest."""
    min_nodes: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})] = 2
    """Fewest nodes that a node group must have for a shared volume of this backend to be attached to it."""
    node_selector: Annotated[dict[str, LabelValue] | None, Field(max_length=16)] = None
    """Labels of the nodes that may use its volumes; if absent, all nodes. Cannot be changed."""
    mount_options: MountOptions = ()
    """NFS mount options of its volumes, which each may override. Volumes that exist keep theirs."""


class Kept(Model):
    """A share that no StorageVolume has, and that one may adopt."""

    id: ShortId
    """What to write in the StorageVolume's spec.adopt."""
    namespace: Annotated[str, Field(max_length=63)]
    """Namespace of the volume that it belonged to: only a volume there may adopt it."""
    name: Annotated[str, Field(max_length=253)]
    """Name of the volume that it belonged to."""
    size_bytes: Bytes = 0
    """Its size, in bytes."""


class BackendServer(Model):
    """One server of a backend, written by its own agent."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the server (pod)."""
    total_bytes: Bytes = 0
    """Size of the server's pool, in bytes."""
    free_bytes: Bytes = 0
    """Room for new volumes, in bytes; what is promised to those there are is not in it."""
    promised_bytes: Bytes = 0
    """Sum of the sizes of its volumes, in bytes."""
    node: Annotated[str, Field(max_length=253)] = ""
    """The node that it runs on."""
    clones: bool = False
    """Whether snapshots and clones can be made there: the pool's file system shares blocks (reflink)."""
    overfull: bool = False
    """Overcommitted, and so full that writes to its volumes may soon fail."""
    kept: Annotated[tuple[Kept, ...], Field(max_length=256)] = ()
    """Shares that no StorageVolume has, for spec.adopt: the first 256 by id."""


class StorageBackendStatus(Model):
    """What the operator and the agents know of the backend."""

    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    engine: Annotated[str | None, Field(max_length=63)] = None
    """The engine's kind: ganesha, nfs, local or s3. For people; programs read spec.engine."""
    features: Annotated[
        tuple[Annotated[str, Field(max_length=32, description="A word of docs/engines.md.")], ...],
        Field(max_length=32),
    ] = ()
    """What an engine s3 can do, in words of docs/engines.md; a Bucket or BucketKey that asks for more is refused."""
    free: Annotated[str | None, Field(max_length=20)] = None
    """Room for new volumes on all servers, rounded down, in bytes with a unit. For people; programs read servers."""
    servers: Annotated[
        tuple[BackendServer, ...],
        Field(
            max_length=1024, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = ()
    """The backend's servers, each entry written by its own agent."""
    conditions: Conditions = ()
    """Whether the backend answers, and who holds it when it is being deleted."""


class StorageBackend(Resource):
    """Where volumes and buckets live. Cluster-scoped."""

    plural: ClassVar[str] = "storagebackends"
    short_names: ClassVar[tuple[str, ...]] = ("sb",)
    scope: ClassVar[str] = "Cluster"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Engine", path=".status.engine", description="The engine's kind."),
        Column(name="Default", path=".spec.default", description="Used where none is named.", type="boolean"),
        READY,
        Column(name="Free", path=".status.free", description="Room for new volumes."),
        REASON,
        MESSAGE,
        AGE,
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        LABEL_RULE,
        Rule(
            rule="size(self.metadata.name) <= 63",
            message="name the backend with at most 63 characters",
            field_path=NAME_PATH,
        ),
    )

    spec: StorageBackendSpec
    """What the backend is."""
    status: StorageBackendStatus = StorageBackendStatus()
    """What the operator and the agents know of the backend."""
