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
    MountOptions,
    Resource,
    Rule,
    SecretRef,
    ShortId,
    fixed,
    matching,
)
from moorage.model.condition import Conditions
from moorage.model.selector import LABEL_KEY_PATTERN, LabelValue

# No path, and no user:password@ either: a credential in a spec would be readable by all who may read the backend.
URL_PATTERN = r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?$"

HOST_PATTERN = "^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})$"
# Clean: no empty part, no '.', no '..'. RE2 has no look-ahead, hence the two ways to begin a name.
_PART = "([A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*|[.][A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*)"
_VARIABLE = "[$][{](namespace|name|id)[}]"
_TEMPLATE = f"({_PART}|([A-Za-z0-9_@+-]*{_VARIABLE}[A-Za-z0-9_@+.-]*)+)"
PATH_PATTERN = f"^(/|(/{_PART})+)$"
FOLDER_PATTERN = f"^{_TEMPLATE}(/{_TEMPLATE})*$"
ADOPT_FOLDER_PATTERN = f"^(/|(/({_PART}|[$][{{]namespace[}}]))+)$"

Url = Annotated[
    str,
    Field(max_length=512),
    matching(URL_PATTERN, "write http:// or https://, a host and at most a port, such as http://s3.example.com:7070"),
]


class GaneshaEngine(Model):
    """NFS servers with a share agent (a StatefulSet); several share the volumes among them, each has a pool."""

    namespace: Label
    """Namespace of the StatefulSet."""
    stateful_set: Annotated[Label, Field(max_length=52)]
    """Name of the StatefulSet; its pods are the servers."""
    overcommit: bool = False
    """Promise more than the pools hold: volumes take room as they are filled. A full pool then means failed writes in
    all of its volumes; the condition CapacityLow warns before. False: the whole size is reserved when a volume is made.
    """


class NfsEngine(Model):
    """A server or filer that exists already: each volume is a folder beneath one of its exports."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="self.server == oldSelf.server && self.path == oldSelf.path",
            message="server and path cannot be changed after creation, volumes live there: make another StorageBackend",
        ),
        Rule(
            rule="self.folder.contains('${id}')"
            " || (self.folder.contains('${namespace}') && self.folder.contains('${name}'))",
            message="folder must tell volumes apart: use ${id}, or ${namespace} and ${name}",
            field_path=".folder",
        ),
    )

    server: Annotated[str, Field(max_length=253), matching(HOST_PATTERN, "write a host name or an IP address")]
    """Host name or address of the NFS server; it must serve NFS 4.1 or later. Cannot be changed."""
    path: Annotated[str, Field(max_length=512), matching(PATH_PATTERN, "write an absolute path, such as /export/data")]
    """The export, or a folder in it, beneath which volumes have their folders. Cannot be changed."""
    folder: Annotated[
        str,
        Field(max_length=256),
        matching(FOLDER_PATTERN, "write a relative path of names and ${namespace}, ${name} or ${id}"),
    ] = "${namespace}/${name}-${id}"
    """Folder of a new volume, relative to path; ${namespace}, ${name} and ${id} stand for the volume's."""
    size: Annotated[
        str,
        Field(max_length=16),
        matching("^advisory$", "write size: advisory, since this filer enforces no size"),
    ]
    """advisory: accept that nothing keeps a volume within its size here (condition SizeEnforced=False)."""
    adopt: Annotated[
        str | None,
        Field(max_length=256),
        matching(
            ADOPT_FOLDER_PATTERN, "write / or an absolute path of names and ${namespace}, such as /home/${namespace}"
        ),
    ] = None
    """Where folders lie that volumes may adopt (relative to path; / means all of it); if absent, none may be. Write
    ${namespace} in it, or the volumes of every namespace can reach all folders there."""


class LocalEngine(Model):
    """The nodes' own disks, served by an agent on each (a DaemonSet)."""

    namespace: Label
    """Namespace of the DaemonSet."""
    daemon_set: Annotated[Label, Field(max_length=52)]
    """Name of the DaemonSet; its pods serve their nodes' disks."""
    overcommit: bool = False
    """Promise more than the disks hold; as with engine ganesha. Not for a volume group."""
    volume_group: Annotated[
        str | None,
        Field(max_length=127),
        matching("^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$", "write the name of an LVM volume group"),
    ] = None
    """LVM volume group on the nodes: each volume is a logical volume. If absent, an image file in the pool's folder."""


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
            rule="[has(self.ganesha), has(self.nfs), has(self.local), has(self.s3)].filter(x, x).size() == 1",
            message="write exactly one engine block: ganesha or nfs (shared volumes), local (local volumes) or s3"
            " (buckets and object volumes)",
        ),
        Rule(
            rule="has(self.ganesha) == has(oldSelf.ganesha) && has(self.nfs) == has(oldSelf.nfs)"
            " && has(self.local) == has(oldSelf.local) && has(self.s3) == has(oldSelf.s3)",
            message="the kind of engine cannot be changed after creation: make another StorageBackend",
        ),
    )

    ganesha: GaneshaEngine | None = None
    """NFS servers of the chart, for shared volumes."""
    nfs: NfsEngine | None = None
    """An NFS server or filer that exists already, for shared volumes."""
    local: LocalEngine | None = None
    """The nodes' own disks, for local volumes."""
    s3: S3Engine | None = None
    """An S3 server, for buckets and object volumes."""


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
