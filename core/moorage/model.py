"""StorageVolume, Bucket and StorageBackend: what a user writes and what the status says.

The CRDs are generated from these models (`moorage.crd`), so a bound or a rule stands here and nowhere else. Rules that
need two fields, or the old and the new object, are CEL (`rules`), with a message that says what to do.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from moorage import names, quantity

Name = Annotated[str, Field(min_length=1, max_length=253)]
Message = Annotated[str, Field(max_length=4096)]
Bytes = Annotated[int, Field(ge=0, le=2**62)]
Size = Annotated[str, Field(max_length=20, pattern=quantity.PATTERN)]


class Rule(BaseModel):
    """One CEL rule: `rule` must hold, `message` tells what to do when it does not."""

    rule: str
    message: str


class Model(BaseModel):
    """Frozen, camelCase outside, snake_case inside, unknown fields dropped (the API server prunes them anyway)."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")
    rules: ClassVar[tuple[Rule, ...]] = ()

    def dump(self) -> dict[str, Any]:
        """As the API wants it: camelCase, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class VolumeType(StrEnum):
    shared = "shared"
    object = "object"
    local = "local"


class OnDelete(StrEnum):
    Delete = "Delete"
    Retain = "Retain"


class Phase(StrEnum):
    """The documented statuses (the storage-volumes seed); derived from conditions, never an input."""

    PENDING = "PENDING"
    PROVISIONING = "PROVISIONING"
    READY = "READY"
    ATTACHING = "ATTACHING"
    DETACHING = "DETACHING"
    DESTROYING = "DESTROYING"
    DESTROYED = "DESTROYED"
    FAILED = "FAILED"


class ConditionStatus(StrEnum):
    true = "True"
    false = "False"
    unknown = "Unknown"


class Condition(Model):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=64)]
    status: ConditionStatus
    reason: Annotated[str, Field(max_length=128)]
    message: Message = ""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    last_transition_time: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


Conditions = Annotated[
    tuple[Condition, ...],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class SecretRef(Model):
    """A Secret in a namespace."""

    name: Name
    namespace: Annotated[str, Field(min_length=1, max_length=63)]


class BucketRef(Model):
    """The bucket that an object volume shows."""

    name: Annotated[str, Field(min_length=3, max_length=names.NAME_MAX, description="A Bucket in the same namespace.")]
    prefix: Annotated[
        str, Field(max_length=512, description="Show only keys under this prefix, as the root of the volume.")
    ] = ""


class StorageVolumeSpec(Model):
    type: VolumeType
    size: Annotated[Size | None, Field(description="Size of a shared or local volume, such as 500Gi. Only grows.")] = None
    backend: Annotated[Name | None, Field(description="A StorageBackend; the default one for the type if absent.")] = None
    bucket: Annotated[BucketRef | None, Field(description="Object volumes: the bucket; one is made if absent.")] = None
    on_delete: OnDelete = OnDelete.Delete
    claim: Annotated[
        str,
        Field(
            description="Auto makes a PersistentVolumeClaim of the volume's name; None makes none.",
            json_schema_extra={"enum": ["Auto", "None"]},
        ),
    ] = "Auto"


class Placement(Model):
    """Where the operator put the volume; never changes afterwards."""

    backend: Name
    engine: Name
    server: Annotated[str, Field(max_length=253, description="ganesha: the server (pod) that holds the share.")] = ""


class ShareState(StrEnum):
    Creating = "Creating"
    Served = "Served"
    Failed = "Failed"
    Released = "Released"


class Share(Model):
    """What the share agent sees of the share; written only by the agent (its own field manager)."""

    state: ShareState
    server: Annotated[str, Field(max_length=253)]
    address: Annotated[str, Field(max_length=253, description="DNS name or address that nodes mount from.")] = ""
    path: Annotated[str, Field(max_length=512, description="NFS path of the export.")] = ""
    export_id: Annotated[int, Field(ge=0, le=65535)] = 0
    size_bytes: Annotated[Bytes, Field(description="Size that the file system enforces, bytes.")] = 0
    reason: Annotated[str, Field(max_length=128)] = ""
    message: Message = ""


class StorageVolumeStatus(Model):
    phase: Phase | None = None
    observed_generation: Annotated[int, Field(ge=0)] = 0
    id: Annotated[str, Field(max_length=16)] = ""
    capacity: Annotated[str | None, Field(max_length=20)] = None
    placement: Placement | None = None
    release: Annotated[OnDelete | None, Field(description="Set when nobody holds the volume any more: the agent may act.")] = None
    share: Share | None = None
    bucket_name: Annotated[str | None, Field(max_length=63)] = None
    attributes: Annotated[
        dict[str, Annotated[str, Field(max_length=1024)]] | None,
        Field(max_length=16, description="The mount plan, as in the PersistentVolume's volumeAttributes."),
    ] = None
    secret_ref: Annotated[SecretRef | None, Field(description="The Secret that mounting needs.")] = None
    claim_name: Annotated[str | None, Field(max_length=253)] = None
    attached: Annotated[int, Field(ge=0, description="How many pods use the volume.")] = 0
    conditions: Conditions = ()


class StorageVolume(Model):
    """A file system that pods mount."""

    metadata: dict[str, Any]
    spec: StorageVolumeSpec
    status: StorageVolumeStatus = StorageVolumeStatus()


class BucketSpec(Model):
    backend: Annotated[Name | None, Field(description="A StorageBackend; the default S3 backend if absent.")] = None
    versioning: Annotated[bool, Field(description="Keep every version of an object.")] = False
    on_delete: OnDelete = OnDelete.Delete


class BucketStatus(Model):
    phase: Phase | None = None
    observed_generation: Annotated[int, Field(ge=0)] = 0
    id: Annotated[str, Field(max_length=16)] = ""
    placement: Placement | None = None
    bucket_name: Annotated[str | None, Field(max_length=63, description="The bucket's name in the S3 engine.")] = None
    endpoint: Annotated[str | None, Field(max_length=512)] = None
    region: Annotated[str | None, Field(max_length=64)] = None
    secret_name: Annotated[str | None, Field(max_length=253, description="Secret with the bucket's own key.")] = None
    conditions: Conditions = ()


class Bucket(Model):
    """An S3 bucket with a key of its own."""

    metadata: dict[str, Any]
    spec: BucketSpec
    status: BucketStatus = BucketStatus()


class GaneshaEngine(Model):
    """The chart's own NFS servers (a StatefulSet with the share agent)."""

    namespace: Annotated[str, Field(min_length=1, max_length=63, description="Namespace of the StatefulSet.")]
    stateful_set: Annotated[str, Field(min_length=1, max_length=52)]


class S3Flavor(StrEnum):
    versitygw = "versitygw"


class S3Engine(Model):
    """An S3 server whose users and buckets the operator makes."""

    flavor: S3Flavor = S3Flavor.versitygw
    endpoint: Annotated[str, Field(max_length=512, pattern=r"^https?://[^/ ]+$")]
    admin_endpoint: Annotated[str, Field(max_length=512, pattern=r"^https?://[^/ ]+$")]
    region: Annotated[str, Field(min_length=1, max_length=64)] = "us-east-1"
    credentials_secret: Annotated[SecretRef, Field(description="Root key: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.")]


class Engine(Model):
    ganesha: GaneshaEngine | None = None
    s3: S3Engine | None = None


class StorageBackendSpec(Model):
    engine: Engine
    default: Annotated[bool, Field(description="Used for volumes and buckets that name no backend.")] = False


class BackendServer(Model):
    """One server of a backend, written by its own agent."""

    name: Annotated[str, Field(max_length=253)]
    total_bytes: Bytes = 0
    free_bytes: Annotated[Bytes, Field(description="Room for new volumes, bytes.")] = 0


class StorageBackendStatus(Model):
    observed_generation: Annotated[int, Field(ge=0)] = 0
    servers: Annotated[
        tuple[BackendServer, ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    conditions: Conditions = ()


class StorageBackend(Model):
    """Where volumes and buckets live. Cluster-scoped."""

    metadata: dict[str, Any]
    spec: StorageBackendSpec
    status: StorageBackendStatus = StorageBackendStatus()
