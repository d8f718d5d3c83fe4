"""StorageBackend: where volumes and buckets live. Cluster-scoped."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
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
    Label,
    Model,
    Resource,
    Rule,
    SecretRef,
    ShortId,
    matching,
)
from moorage.model.condition import Conditions

# No path, and no user:password@ either: a credential in a spec would be readable by all who may read the backend.
URL_PATTERN = r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?$"

Url = Annotated[
    str,
    Field(max_length=512),
    matching(URL_PATTERN, "write http:// or https://, a host and at most a port, such as http://s3.example.com:7070"),
]


class GaneshaEngine(Model):
    """The chart's own NFS servers (a StatefulSet with the share agent)."""

    namespace: Label
    """Namespace of the StatefulSet."""
    stateful_set: Annotated[Label, Field(max_length=52)]
    """Name of the StatefulSet; its pods are the servers."""


class S3Flavor(StrEnum):
    """How users and buckets are made on the server: versitygw speaks versitygw's admin API."""

    versitygw = "versitygw"


class S3Engine(Model):
    """An S3 server whose users and buckets the operator makes."""

    flavor: S3Flavor = S3Flavor.versitygw
    """How users and buckets are made on the server: versitygw speaks versitygw's admin API."""
    endpoint: Url
    """URL that pods and nodes reach the S3 server at."""
    admin_endpoint: Url
    """URL of the server's admin API; only the operator uses it."""
    region: Annotated[
        str,
        Field(max_length=64),
        matching(names.LABEL_PATTERN, "write a region in lowercase letters, digits and hyphens, such as us-east-1"),
    ] = "us-east-1"
    """Region to sign requests for."""
    credentials_secret: SecretRef
    """Secret with the server's root key: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY."""


class Engine(Model):
    """The driver behind the backend and its settings: exactly one block."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="has(self.ganesha) != has(self.s3)",
            message="write exactly one engine block: ganesha (shared volumes) or s3 (buckets and object volumes)",
        ),
        Rule(
            rule="has(self.ganesha) == has(oldSelf.ganesha) && has(self.s3) == has(oldSelf.s3)",
            message="the kind of engine cannot be changed after creation: make another StorageBackend",
        ),
    )

    ganesha: GaneshaEngine | None = None
    """NFS servers of the chart, for shared volumes."""
    s3: S3Engine | None = None
    """An S3 server, for buckets and object volumes."""


class StorageBackendSpec(Model):
    """What the backend is."""

    engine: Engine
    """The driver behind the backend and its settings: exactly one block. Its kind cannot be changed."""
    default: bool = False
    """Used for volumes and buckets that name no backend; if several fit, the oldest."""
    min_nodes: Annotated[int, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})] = 2
    """Fewest nodes that a node group must have for a shared volume of this backend to be attached to it."""


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
    """Room for new volumes, in bytes."""
    kept: Annotated[tuple[Kept, ...], Field(max_length=256)] = ()
    """Shares that no StorageVolume has, for spec.adopt: the first 256 by id."""


class StorageBackendStatus(Model):
    """What the operator and the agents know of the backend."""

    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    engine: Annotated[str | None, Field(max_length=63)] = None
    """The engine's kind: ganesha or s3. For people; programs read spec.engine."""
    free: Annotated[str | None, Field(max_length=20)] = None
    """Room for new volumes on all servers, rounded down, in bytes with a unit. For people; programs read servers."""
    servers: Annotated[
        tuple[BackendServer, ...],
        Field(
            max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
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
