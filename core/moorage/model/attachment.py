"""StorageAttachment: a volume, or a folder of it, for a namespace and for the nodes of a group."""

from enum import StrEnum
from typing import Annotated, ClassVar

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
    Name,
    Phase,
    Resource,
    Rule,
    SecretRef,
    ShortId,
    constant,
    fixed,
    matching,
    validations,
)
from moorage.model.condition import Conditions
from moorage.model.selector import LabelSelector

MOUNT_AS_PATTERN = f"^{names.MOUNT_ROOT}/[A-Za-z0-9][A-Za-z0-9._-]{{0,62}}$"
_AGAIN = "make another StorageAttachment"
_FOLDER = (
    Rule(rule="self.startsWith('/')", message="mountFrom must begin with '/': it is a path from the volume's root"),
    Rule(rule="self == '/' || !self.endsWith('/')", message="mountFrom must not end with '/': write /data, not /data/"),
    Rule(rule="!self.contains('//')", message="mountFrom must not contain '//': write one '/' between folders"),
    Rule(
        rule="!self.matches(r'(^|/)[.][.]?(/|$)')",
        message="mountFrom must not contain '.' or '..' as a folder: write the folder's plain path",
    ),
    Rule(rule=r"!self.matches(r'\p{Cc}')", message="mountFrom must not contain control characters: remove them"),
    # CSI: a volume's context is at most 4 KiB, all of it together. POSIX: NAME_MAX is 255 bytes.
    Rule(
        rule="size(bytes(self)) <= 1024",
        message="mountFrom must be at most 1024 bytes: attach a folder nearer the root",
    ),
    Rule(
        rule="self.split('/').all(folder, size(bytes(folder)) <= 255)",
        message="a folder's name in mountFrom must be at most 255 bytes: file systems allow no more",
    ),
)


class VolumeRef(Model):
    """A StorageVolume."""

    name: Annotated[Label, Field(max_length=names.NAME_MAX)]
    """Name of the StorageVolume."""
    namespace: Label | None = None
    """Its namespace; if absent, the attachment's own. Another one needs the volume's consent (its spec.share)."""


class NodeGroup(Model):
    """The nodes on which the volume is mounted: all that match, also those that join later."""

    selector: LabelSelector
    """On the labels of nodes; an empty one selects all nodes."""


class Detach(StrEnum):
    """Wait or Force."""

    Wait = "Wait"
    Force = "Force"


class StorageAttachmentSpec(Model):
    """What to attach, and where."""

    rules: ClassVar[tuple[Rule, ...]] = (
        constant("volume", _AGAIN),
        constant("mountFrom", _AGAIN),
        constant("readOnly", _AGAIN),
        fixed("mountAs", _AGAIN),
    )

    volume: VolumeRef
    """The StorageVolume to attach. Cannot be changed."""
    mount_from: Annotated[str, Field(max_length=1024, json_schema_extra=validations(_FOLDER))] = "/"
    """Folder of the volume that is mounted, an absolute path from the volume's root. Cannot be changed."""
    read_only: bool = False
    """Mount it read-only. Cannot be changed."""
    nodes: NodeGroup | None = None
    """Also mount it on the nodes of a group. If absent, only pods that use the claim mount it."""
    mount_as: Annotated[
        str | None,
        Field(max_length=70),
        matching(MOUNT_AS_PATTERN, "write a folder directly beneath /mnt, such as /mnt/imagenet"),
    ] = None
    """Where it is mounted on the nodes; if absent, /mnt/<type>-<id of the volume>. Cannot be changed."""
    detach: Detach = Detach.Wait
    """What deleting does while somebody uses it. Wait: nothing, until all have gone, naming them. Force: no new user
    gets it and the nodes let go at once, lazily; pods that run keep their mount until they end."""


class StorageAttachmentStatus(Model):
    """What the operator knows of the attachment."""

    phase: Phase | None = None
    """PENDING, ATTACHING, READY, DETACHING or FAILED. Derived from the conditions."""
    phase_since: Moment | None = None
    """When `phase` last changed (RFC 3339)."""
    observed_generation: Generation = 0
    """The metadata.generation that the operator last worked on."""
    id: ShortId = ""
    """Short id of this attachment."""
    volume_handle: Annotated[str | None, Field(max_length=128)] = None
    """The CSI volume handle of its PersistentVolume."""
    attributes: Annotated[dict[str, Annotated[str, Field(max_length=1024)]] | None, Field(max_length=16)] = None
    """The mount plan, as in the PersistentVolume's volumeAttributes."""
    secret_ref: SecretRef | None = None
    """The Secret that mounting needs."""
    claim_name: Annotated[str | None, Field(max_length=253)] = None
    """The PersistentVolumeClaim made for it, in its namespace."""
    mount_as: Annotated[str | None, Field(max_length=128)] = None
    """Where it is mounted on the nodes of its group."""
    nodes: Annotated[str | None, Field(max_length=16)] = None
    """How many nodes of the group have it mounted, of how many: 3/4."""
    lagging: Annotated[tuple[Annotated[Name, Field(description="A node.")], ...], Field(max_length=10)] = ()
    """Nodes that should have it mounted and have not yet: the first 10 by name."""
    attached: Count = 0
    """How many pods use it."""
    conditions: Conditions = ()
    """The truth that the phase is derived from."""


class StorageAttachment(Resource):
    """A volume, or a folder of it, for a namespace and, where asked, for the nodes of a group."""

    plural: ClassVar[str] = "storageattachments"
    short_names: ClassVar[tuple[str, ...]] = ("satt",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Volume", path=".spec.volume.name", description="The StorageVolume."),
        PHASE,
        READY,
        Column(name="Nodes", path=".status.nodes", description="Nodes that have it mounted, of all in the group."),
        Column(name="Attached", path=".status.attached", description="How many pods use it.", type="integer"),
        Column(name="Volume-Namespace", path=".spec.volume.namespace", description="Its namespace.", wide=True),
        Column(name="From", path=".spec.mountFrom", description="Folder of the volume.", wide=True),
        Column(name="As", path=".status.mountAs", description="Where it is mounted on the nodes.", wide=True),
        REASON,
        MESSAGE,
        AGE,
    )
    selectable: ClassVar[tuple[str, ...]] = (".spec.volume.name", ".status.phase")
    rules: ClassVar[tuple[Rule, ...]] = (
        LABEL_RULE,
        Rule(
            rule="size(self.metadata.name) <= 63",
            message="name the attachment with at most 63 characters",
            field_path=NAME_PATH,
        ),
    )

    spec: StorageAttachmentSpec
    """What to attach, and where."""
    status: StorageAttachmentStatus = StorageAttachmentStatus()
    """What the operator knows of the attachment."""
