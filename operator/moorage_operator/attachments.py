"""From the index and a few fresh reads to the facts of an attachment. Deletion reads everything freshly."""

from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError

from moorage import conditions, holders, manifests, names, nodegroup
from moorage.actions import Manifest, Reference, part
from moorage.attachmentfacts import AttachmentFacts, HolderImage, mount_path, volume_key
from moorage.holders import PodState, Use, Uses
from moorage.model import StorageAttachment, StorageVolume
from moorage.nodegroup import HolderPod, NodeSeen, Rival
from moorage_operator.bodies import placed_on
from moorage_operator.cluster import Cluster
from moorage_operator.index import Index
from moorage_operator.store import Name
from moorage_operator.times import now

MIN_NODES = 2  # of a backend that is not there any more
_NO_CLAIM_ON_NODES = frozenset({"NotShared", "VolumeNotFound"})


class AttachmentObserver:
    """Reads; changes nothing."""

    def __init__(self, cluster: Cluster, index: Index, image: HolderImage) -> None:
        self._cluster = cluster
        self._index = index
        self._image = image

    async def __call__(self, body: Manifest) -> AttachmentFacts:
        attachment = StorageAttachment.model_validate(body)
        leaving = "deletionTimestamp" in attachment.metadata
        return await (self._leaving(attachment) if leaving else self._wanted(attachment))

    async def _wanted(self, attachment: StorageAttachment) -> AttachmentFacts:
        namespace, name = attachment.metadata["namespace"], attachment.metadata["name"]
        volume = await self._volume(attachment)
        usable = volume is not None and conditions.is_true(volume.status.conditions, conditions.READY)
        group, id = attachment.spec.nodes, _id(attachment)
        matching = nodegroup.members(group.selector, self._index.nodes.values()) if group else ()
        members = _usable(matching, volume)
        facts = AttachmentFacts(
            attachment,
            now(),
            self._image,
            volume,
            self._index.namespaces.get(namespace),
            self._min_nodes(volume),
            members,
            tuple(self._holders(attachment)),
            tuple(self._rivals(attachment, volume)) if group else (),
            await self._claim(namespace, name, sure=usable),
            await self._persistent_volume(id, sure=usable),
            await self._daemon_set(namespace, id, sure=usable and group is not None),
            len(self._index.pods.users(self._ways(namespace, name))),
            outside=len(matching) - len(members),
        )
        return replace(facts, users=await self._users(facts)) if facts.is_idle else facts

    async def _users(self, facts: AttachmentFacts) -> tuple[str, ...]:
        """The pods that may have it, asked of the API server itself."""
        namespace, name = facts.attachment.metadata["namespace"], facts.attachment.metadata["name"]
        pods = await self._cluster.list("v1", "Pod", namespace)
        ways = {Use(volume=(namespace, name))}
        if facts.claim is None:  # else it is somebody else's
            ways.add(Use(claim=(namespace, name)))
        return _named([(each, holders.uses(each)) for each in pods], ways, facts.attachment.metadata["uid"])

    async def _leaving(self, attachment: StorageAttachment) -> AttachmentFacts:
        namespace, name = attachment.metadata["namespace"], attachment.metadata["name"]
        uid, id = attachment.metadata["uid"], _id(attachment)
        daemon_set = await self._cluster.get(Reference("apps/v1", "DaemonSet", names.holder(id), namespace))
        claim = await self._cluster.get(Reference("v1", "PersistentVolumeClaim", name, namespace))
        pods = await self._cluster.list("v1", "Pod", namespace)
        seen = [(each, holders.uses(each)) for each in pods]
        inline = {Use(volume=(namespace, name))}
        foreign = claim is not None and not manifests.is_owned(claim, names.LABEL_ATTACHMENT_UID, uid)
        ways = inline if foreign else inline | {Use(claim=(namespace, name))}
        mine = tuple(_holder(each["metadata"]["name"], uses) for each, uses in seen if uses.attachment == uid)
        return AttachmentFacts(
            attachment,
            now(),
            self._image,
            holders=mine,
            claim=claim,
            persistent_volume=await self._cluster.get(Reference("v1", "PersistentVolume", names.persistent_volume(id))),
            daemon_set=daemon_set,
            attached=len(self._index.pods.users(self._ways(namespace, name))),
            users=_named(seen, ways, uid),
            inline_users=_named(seen, inline, uid),
            down=frozenset(each.node for each in mine if self._is_down(each.node)),
        )

    # Reads.

    async def _volume(self, attachment: StorageAttachment) -> StorageVolume | None:
        namespace, name = volume_key(attachment)
        found = self._index.volumes.get(namespace, name)
        if found is None:  # one that we do not know of yet must not be taken for one that is gone
            found = await self._cluster.get(Reference(names.API_VERSION, "StorageVolume", name, namespace))
        return StorageVolume.model_validate(found) if found else None

    async def _claim(self, namespace: str, name: str, sure: bool) -> Manifest | None:
        known = self._index.claims.get(namespace, name)
        ref = Reference("v1", "PersistentVolumeClaim", name, namespace)
        return known or (await self._cluster.get(ref) if sure else None)

    async def _persistent_volume(self, id: str, sure: bool) -> Manifest | None:
        name = names.persistent_volume(id)
        known = self._index.persistent_volumes.get("", name)
        return known or (await self._cluster.get(Reference("v1", "PersistentVolume", name)) if sure else None)

    async def _daemon_set(self, namespace: str, id: str, sure: bool) -> Manifest | None:
        known = self._index.daemon_sets.get(namespace, names.holder(id))
        ref = Reference("apps/v1", "DaemonSet", names.holder(id), namespace)
        return known or (await self._cluster.get(ref) if sure else None)

    # From the index.

    def _min_nodes(self, volume: StorageVolume | None) -> int:
        placed = placed_on({"status": volume.status.dump()}) if volume else None
        named = (each for each in self._index.all_backends() if each.metadata["name"] == placed)
        return next((each.spec.min_nodes for each in named), MIN_NODES)

    def _holders(self, attachment: StorageAttachment) -> Iterator[HolderPod]:
        for (_, name), uses in self._index.holders_of(attachment.metadata).items():
            yield _holder(name, uses)

    def _ways(self, namespace: str, name: str) -> set[Use]:
        """How pods use the attachment; inline, a volume of the same name comes first."""
        claim, inline = Use(claim=(namespace, name)), Use(volume=(namespace, name))
        return {claim} if self._index.volumes.get(namespace, name) else {claim, inline}

    def _rivals(self, attachment: StorageAttachment, volume: StorageVolume | None) -> Iterator[Rival]:
        path = mount_path(attachment, volume)
        if path is None:
            return
        own = attachment.metadata["namespace"], attachment.metadata["name"]
        links, key = self._index.links, volume_key(attachment)
        for name in sorted({*links.of_path(path), *links.of_volume(key)} - {own}):
            rival = self._rival(name, path, volume if links.volume(name) == key else None)
            if rival:
                yield rival

    def _rival(self, name: Name, path: str, volume: StorageVolume | None) -> Rival | None:
        body = self._index.attachments.get(*name)
        if body is None or not part(body, "spec").get("nodes"):
            return None
        try:
            other = StorageAttachment.model_validate(body)
        except ValidationError:
            return None
        mounted = self._index.daemon_sets.get(name[0], names.holder(_id(other))) is not None
        cause = conditions.find(other.status.conditions, conditions.ATTACHED)
        idle = not mounted and cause is not None and cause.reason in _NO_CLAIM_ON_NODES
        if other.spec.nodes is None or idle or mount_path(other, volume) != path:
            return None
        matching = nodegroup.members(other.spec.nodes.selector, self._index.nodes.values())
        nodes = _usable(matching, self._known_volume(other))
        created = other.metadata.get("creationTimestamp", "")
        return Rival("/".join(name), created, mounted, frozenset(each.name for each in nodes))

    def _known_volume(self, attachment: StorageAttachment) -> StorageVolume | None:
        body = self._index.volumes.get(*volume_key(attachment))
        try:
            return StorageVolume.model_validate(body) if body else None
        except ValidationError:
            return None

    def _is_down(self, node: str) -> bool:
        known: NodeSeen | None = self._index.nodes.get(node)
        return known is None or not known.ready


def _usable(nodes: tuple[NodeSeen, ...], volume: StorageVolume | None) -> tuple[NodeSeen, ...]:
    """Those that can use the volume."""
    topology = volume.status.topology if volume else None
    return tuple(each for each in nodes if nodegroup.is_within(topology, each))


def _id(attachment: StorageAttachment) -> str:
    return attachment.status.id or names.short_id(attachment.metadata["uid"])


def _holder(name: str, uses: Uses) -> HolderPod:
    return HolderPod(name, uses.node, uses.ready, uses.state == PodState.leaving, uses.trouble)


def _named(seen: list[tuple[Manifest, Uses]], ways: set[Use], uid: str) -> tuple[str, ...]:
    """Who uses it, but for its own holder pods."""
    found = (holders.pod_name(pod) for pod, uses in seen if uses.uses & ways and uses.attachment != uid)
    return tuple(sorted(found))
