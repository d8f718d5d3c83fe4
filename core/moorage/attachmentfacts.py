"""A StorageAttachment and what was seen around it: the input of its plans."""

from collections.abc import Mapping
from dataclasses import dataclass

from moorage import consent, manifests, names
from moorage.actions import Manifest
from moorage.model import StorageAttachment, StorageVolume
from moorage.nodegroup import HolderPod, NodeSeen, Rival


@dataclass(frozen=True, slots=True)
class HolderImage:
    """What the holder pods run: an image with `sleep`, `timeout` and `stat`."""

    name: str
    pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """A StorageAttachment and what was seen around it.

    `namespace_labels`: of its namespace, None while unknown. `nodes`: of its group, by name; not those that match its
    selector but cannot use the volume (`status.topology`): these are counted in `outside`. `holders`: the pods that
    hold the mount on nodes, those of nodes that have left the group too. `rivals`: attachments of the same path on
    nodes. `claim`, `persistent_volume`, `daemon_set`: what stands under the names that the operator would use. When the
    attachment is being deleted, `users` and `inline_users` (pods, in words), `holders` and what stands are read
    freshly, after the status that is in `attachment`; `down`: nodes that are gone or not Ready. `users` are
    read freshly, too, when `is_idle`: the watch may lag behind.
    """

    attachment: StorageAttachment
    now: str
    image: HolderImage
    volume: StorageVolume | None = None
    namespace_labels: Mapping[str, str] | None = None
    min_nodes: int = 2
    nodes: tuple[NodeSeen, ...] = ()
    holders: tuple[HolderPod, ...] = ()
    rivals: tuple[Rival, ...] = ()
    claim: Manifest | None = None
    persistent_volume: Manifest | None = None
    daemon_set: Manifest | None = None
    attached: int = 0
    users: tuple[str, ...] = ()
    inline_users: tuple[str, ...] = ()
    down: frozenset[str] = frozenset()
    outside: int = 0

    @property
    def id(self) -> str:
        return self.attachment.status.id or names.short_id(self.attachment.metadata["uid"])

    @property
    def name(self) -> str:
        metadata = self.attachment.metadata
        return f"{metadata['namespace']}/{metadata['name']}"

    @property
    def volume_name(self) -> str:
        return "/".join(volume_key(self.attachment))

    @property
    def consented(self) -> bool:
        namespace = self.attachment.metadata["namespace"]
        return self.volume is not None and consent.allows(self.volume, namespace, self.namespace_labels)

    @property
    def mount_as(self) -> str | None:
        return mount_path(self.attachment, self.volume)

    @property
    def shut(self) -> bool:
        """Whether what was read lets no pod in: the node plugin mounts by the attributes."""
        return self.attachment.status.attributes is None

    @property
    def is_idle(self) -> bool:
        """Withdrawn, and nothing known speaks for a user any more: who knows better is asked before it is forgotten."""
        return bool(self.attachment.status.volume_handle and self.shut and not self.standing and not self.attached)

    @property
    def standing(self) -> tuple[Manifest, ...]:
        """What we made and what is still there, in the order in which it goes."""
        uid, found = self.attachment.metadata["uid"], (self.daemon_set, self.claim, self.persistent_volume)
        return tuple(each for each in found if each and manifests.is_owned(each, names.LABEL_ATTACHMENT_UID, uid))


def volume_key(attachment: StorageAttachment) -> tuple[str, str]:
    """Namespace and name of the volume."""
    ref = attachment.spec.volume
    return ref.namespace or attachment.metadata["namespace"], ref.name


def mount_path(attachment: StorageAttachment, volume: StorageVolume | None) -> str | None:
    """Where it is mounted on nodes; None while the volume's id is not known."""
    if attachment.spec.mount_as:
        return attachment.spec.mount_as
    if volume is None:
        return attachment.status.mount_as
    return names.mount_as(volume.spec.type.value, volume.status.id or names.short_id(volume.metadata["uid"]))
