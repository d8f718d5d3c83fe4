"""StorageVolume: a file system that pods mount."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from moorage import names
from moorage.model.base import (
    AGE,
    LABEL_RULE,
    MESSAGE,
    NAME_PATH,
    PHASE,
    READY,
    REASON,
    Column,
    Count,
    Generation,
    Label,
    Model,
    Moment,
    MountOptions,
    NodeName,
    Phase,
    Placement,
    Resource,
    Rule,
    SecretRef,
    ShortId,
    Size,
    Usage,
    VolumeOnDelete,
    constant,
    fixed,
    matching,
)
from moorage.model.condition import Conditions
from moorage.model.objectoptions import OBJECT_RULES, Mounter, ObjectOptions
from moorage.model.rootfolder import RootFolder, Squash
from moorage.model.selector import Consent, LabelValue
from moorage.model.share import Share
from moorage.model.source import BucketRef, VolumeSource
from moorage.model.volumesize import SIZE_RULES

# The id of a kept share, or a clean absolute path with no '.' and '..' in it, as on a filer.
ADOPT_PATTERN = names.ID_PATTERN.rstrip("$") + r"$|^(/([^/.\p{Cc}][^/\p{Cc}]*|[.][^/.\p{Cc}][^/\p{Cc}]*))+$"

_ELSE = "make another StorageVolume and copy the data"


class VolumeType(StrEnum):
    """shared: POSIX over NFS for many nodes; object: a bucket shown as files; local: a disk of the pod's own node."""

    shared = "shared"
    object = "object"
    local = "local"


class StorageVolumeSpec(Model):
    """What the volume shall be."""

    rules: ClassVar[tuple[Rule, ...]] = (
        constant("type", _ELSE),
        fixed("backend", _ELSE),
        fixed("bucket", _ELSE),
        fixed("adopt", _ELSE),
        fixed("source", _ELSE),
        fixed("root", _ELSE),
        fixed("node", _ELSE),
        fixed("mounter", _ELSE),
        fixed("object", _ELSE),
        *OBJECT_RULES,
        constant(
            "mountOptions",
            f"{_ELSE}, or mount it by an attachment of its own",
            because="a PersistentVolume's never change",
        ),
        *(
            Rule(
                rule=f"self.type == 'shared' || {absent}",
                message=f"remove {field}: only a shared volume has it",
                field_path=f".{field}",
            )
            for field, absent in (
                ("source", "!has(self.source)"),
                ("squash", "self.squash == 'None'"),
                ("mountOptions", "size(self.mountOptions) == 0"),
            )
        ),
        Rule(
            rule="!has(self.node) || self.type == 'local'",
            message="remove node: only a local volume lives on one",
            field_path=".node",
        ),
        Rule(
            rule="!has(self.root) || self.type != 'object'",
            message="remove root: the root of a bucket has no owner and no mode",
            field_path=".root",
        ),
        Rule(
            rule="!has(self.source) || !has(self.adopt)",
            message="remove source or adopt: a volume begins with one of them",
            field_path=".source",
        ),
        Rule(
            rule="self.onDelete != 'Archive' || self.type == 'shared'",
            message="onDelete: Archive is for shared volumes: write Delete or Retain",
            field_path=".onDelete",
        ),
        Rule(
            rule="!has(self.adopt) || self.type == 'shared'",
            message="remove adopt: only a shared volume adopts a share; name a kept bucket in a Bucket's spec.adopt",
            field_path=".adopt",
        ),
        constant("claim", _ELSE),
        Rule(
            rule="self.type == 'object' || !has(self.bucket)",
            message="remove bucket, or write type: object: only object volumes show a bucket",
            field_path=".bucket",
        ),
        *SIZE_RULES,
    )

    type: VolumeType
    """shared: POSIX over NFS for many nodes; object: a bucket shown as files; local: a disk of the pod's own node.
    Cannot be changed."""
    size: Size | None = None
    """Size of a shared or local volume in bytes, with a unit, such as 500Gi: from 256Mi to 64Pi. Only grows."""
    backend: Label | None = None
    """The StorageBackend to live on; if absent, the default one for the type. Cannot be changed."""
    bucket: BucketRef | None = None
    """Object volumes: the bucket to show. If absent, one of the volume's name is made and owned. Cannot be changed."""
    mounter: Mounter | None = None
    """Object volumes: the program that shows the bucket; if absent moorfs. Cannot be changed."""
    object: ObjectOptions | None = None
    """Object volumes: how the bucket's objects look as files. Cannot be changed."""
    on_delete: VolumeOnDelete = VolumeOnDelete.Delete
    """What happens to the data when the volume is deleted: Delete destroys it, Retain keeps it on the backend, Archive
    keeps it too and, on a filer, renames its folder to archived-<name of the folder>."""
    claim: Literal["Auto", "None"] = "Auto"
    """Auto makes a PersistentVolumeClaim of the volume's name, None makes none. Cannot be changed."""
    share: Consent | None = None
    """Which other namespaces may have a StorageAttachment of the volume. Taken back, it ends their attachments."""
    adopt: Annotated[
        str | None,
        Field(max_length=512),
        matching(
            ADOPT_PATTERN,
            "write the 8 characters of a kept share's id (StorageBackend status.servers lists them), or a folder of the"
            " filer, such as /home/research/imagenet",
        ),
    ] = None
    """Take over the kept share with this id, or, on a filer (engine nfs), this folder, data and all, in place of a new
    one. A share must have belonged to a volume of the same namespace, a folder lie where the backend allows it. Cannot
    be changed."""
    source: VolumeSource | None = None
    """Begin with the files of a snapshot or of another volume, without copying them. Cannot be changed."""
    root: RootFolder | None = None
    """Mode and owner of the root folder of a new shared or local volume; if absent 0777, root. Cannot be changed."""
    squash: Squash = Squash.none
    """Shared volumes: whom the server takes for nobody (65534). None: nobody; Root: the nodes' root; All: everybody."""
    mount_options: MountOptions = ()
    """Shared volumes: NFS mount options, over those of the backend. Cannot be changed."""
    node: NodeName | None = None
    """Local volumes: the node whose disk it lives on; if absent, the one with the most room. Cannot be changed."""


class StorageVolumeStatus(Model):
    """What the operator and the share agent know of the volume."""

    phase: Phase | None = None
    """Where the volume is in its life, in one word. Derived from the conditions."""
    phase_since: Moment | None = None
    """When `phase` last changed (RFC 3339)."""
    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    id: ShortId = ""
    """Short id of this incarnation of the volume."""
    capacity: Annotated[str | None, Field(max_length=20)] = None
    """Size that the volume has now, in bytes with a unit; absent for object volumes."""
    placement: Placement | None = None
    """Where the operator put the volume; never changes afterwards."""
    release: VolumeOnDelete | None = None
    """Set when nobody holds a deleted volume any more: the agent may now destroy (Delete) or keep (Retain, Archive)."""
    share: Share | None = None
    """Shared and local volumes: what the agent that serves it sees; written only by the agent."""
    usage: Usage | None = None
    """Shared and local volumes: how full it is; written only by the agent."""
    topology: Annotated[dict[str, LabelValue] | None, Field(max_length=16)] = None
    """Labels of the nodes that can use the volume, as in its PersistentVolume; absent: all nodes can."""
    bucket_name: Annotated[str | None, Field(max_length=63)] = None
    """Object volumes: the bucket's name in the S3 engine."""
    attributes: Annotated[dict[str, Annotated[str, Field(max_length=1024)]] | None, Field(max_length=16)] = None
    """The mount plan, as in the PersistentVolume's volumeAttributes."""
    secret_ref: SecretRef | None = None
    """The Secret that mounting needs."""
    claim_name: Annotated[str | None, Field(max_length=253)] = None
    """The PersistentVolumeClaim made for the volume, in its namespace."""
    attached: Count = 0
    """How many pods use the volume."""
    conditions: Conditions = ()
    """The truth that the phase is derived from."""


class StorageVolume(Resource):
    """A file system that pods mount."""

    plural: ClassVar[str] = "storagevolumes"
    short_names: ClassVar[tuple[str, ...]] = ("sv",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Type", path=".spec.type", description="shared, object or local."),
        Column(name="Size", path=".spec.size", description="Size asked for; object volumes have none."),
        PHASE,
        READY,
        Column(name="Attached", path=".status.attached", description="How many pods use it.", type="integer"),
        Column(name="Backend", path=".status.placement.backend", description="The StorageBackend.", wide=True),
        Column(name="Nodes", path=".status.topology", description="Labels of the nodes that can use it.", wide=True),
        REASON,
        MESSAGE,
        AGE,
    )
    selectable: ClassVar[tuple[str, ...]] = (".spec.type", ".status.phase", ".status.placement.server")
    rules: ClassVar[tuple[Rule, ...]] = (
        LABEL_RULE,
        Rule(
            rule=f"size(self.metadata.name) <= {names.NAME_MAX}",
            message=f"name the volume with at most {names.NAME_MAX} characters",
            field_path=NAME_PATH,
        ),
        Rule(
            rule="self.spec.type != 'object' || has(self.spec.bucket) || (size(self.metadata.name) >= 3"
            f" && self.metadata.name.matches(r'{names.BUCKET_PATTERN}'))",
            message="the bucket is made with the volume's name: name the volume with at least 3 characters and no '--',"
            " or name an existing Bucket in spec.bucket",
            field_path=NAME_PATH,
        ),
    )

    spec: StorageVolumeSpec
    """What the volume shall be."""
    status: StorageVolumeStatus = StorageVolumeStatus()
    """What is known of the volume; written by the operator and the share agent."""
