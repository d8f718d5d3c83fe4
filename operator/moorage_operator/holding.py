"""Who holds a volume or a bucket that is to be destroyed: asked of the API server itself, because a watch may lag."""

from moorage import consent, holders, names
from moorage.actions import Manifest, Reference, part
from moorage.holders import Claim, Use
from moorage.model import Bucket, StorageVolume
from moorage_operator.bodies import full_name, handle_of, shown_bucket
from moorage_operator.cluster import Cluster
from moorage_operator.index import Index
from moorage_operator.links import volume_of
from moorage_operator.listing import Shown
from moorage_operator.snapshots import holders_of
from moorage_operator.store import name_of


class Holding:
    """Reads; changes nothing."""

    def __init__(self, cluster: Cluster, index: Index) -> None:
        self._cluster = cluster
        self._index = index
        self._shown = Shown(cluster)

    async def volume(
        self, volume: StorageVolume, body: Manifest, more: frozenset[str] | set[str] = frozenset()
    ) -> tuple[str, ...]:
        """Who holds the volume, in words. `more`: PersistentVolumes to look at besides those that the watches show."""
        namespace, name = volume.metadata["namespace"], volume.metadata["name"]
        own = names.persistent_volume(volume.status.id)
        claims: set[Claim] = {(namespace, name)} if volume.spec.claim != "None" else set()
        attachments = await self._attachments(volume)
        found = {f"StorageAttachment {full_name(each)}" for each in attachments} | {*holders_of(self._index, body)}
        theirs = {name_of(each) for each in attachments}
        for known in self._shown_by(volume, body) | more:
            seen = await self._cluster.get(Reference("v1", "PersistentVolume", known))
            claim = holders.claim_of(seen) if seen and _is_of(seen, handle_of(body)) else None
            if seen and claim and holders.is_bound(seen):
                claims.add(claim)
                if seen["metadata"]["name"] != own and claim not in theirs:
                    found.add(f"claim {claim[0]}/{claim[1]}")
        ways = {Use(claim=each) for each in claims} | {Use(volume=each) for each in {(namespace, name), *theirs}}
        for where in {namespace, *(each[0] for each in claims | theirs)}:
            found |= await self._pods_using(ways, where)
        return tuple(sorted(found))

    async def unseen(self, volume: StorageVolume, body: Manifest) -> tuple[str, ...]:
        """The last look before data goes: a PersistentVolume that somebody made by hand is known by the watch alone."""
        fresh = await self._shown.names(handle_of(body))
        return await self.volume(volume, body, fresh) if fresh - self._shown_by(volume, body) else ()

    async def bucket(self, bucket: Bucket) -> tuple[str, ...]:
        """Who holds the bucket, in words."""
        namespace, name = bucket.metadata["namespace"], bucket.metadata["name"]
        known = {each["metadata"]["namespace"] for each in self._index.volumes_showing((namespace, name))}
        shared = bucket.spec.share is not None or known - {namespace}  # then any namespace may have volumes of it
        volumes = await self._cluster.list_ours("StorageVolume", "" if shared else namespace)
        showing = (each for each in volumes if shown_bucket(each) == (namespace, name))
        found = {f"StorageVolume {full_name(each)}" for each in showing if _still_shows(each, bucket)}
        return tuple(sorted(found | await self._pods_using({Use(bucket=(namespace, name))}, namespace)))

    async def _attachments(self, volume: StorageVolume) -> list[Manifest]:
        """Those in its own namespace, those that its owner agreed to, and those that have something of it.

        Anybody may write an attachment that names any volume: such a wish alone must not keep its owner from deleting
        it.
        """
        key = volume.metadata["namespace"], volume.metadata["name"]
        named = await self._cluster.list_ours("StorageAttachment", fieldSelector=f"spec.volume.name={key[1]}")
        return [each for each in named if volume_of(each) == key and self._is_heard(volume, each)]

    def _is_heard(self, volume: StorageVolume, attachment: Manifest) -> bool:
        if part(attachment, "status").get("volumeHandle"):
            return True
        namespace = attachment["metadata"]["namespace"]
        return consent.allows(volume, namespace, self._index.namespaces.get(namespace))

    def _shown_by(self, volume: StorageVolume, body: Manifest) -> set[str]:
        """PersistentVolumes of the volume and its attachments, and what the provisioner's is called if there is one.

        Its PersistentVolume bears the volume's name: no watch must have shown it before data goes.
        """
        found = {each["metadata"]["name"] for each in self._index.persistent_volumes_of(handle_of(body))}
        return found | ({volume.metadata["name"]} if volume.spec.claim == "None" else set())

    async def _pods_using(self, ways: set[Use], namespace: str) -> set[str]:
        pods = await self._cluster.list("v1", "Pod", namespace)
        return {holders.pod_name(each) for each in pods if holders.uses(each).uses & ways}


def _is_of(persistent_volume: Manifest, handle: str) -> bool:
    found = holders.claimed_volume(persistent_volume)
    return found is not None and str(found.volume) == handle


def _still_shows(volume: Manifest, bucket: Bucket) -> bool:
    """A volume that was let go by everybody no longer holds its bucket."""
    return not part(volume, "status").get("release") and shows(volume, bucket)


def shows(volume: Manifest, bucket: Bucket) -> bool:
    """Not so a volume that only bears the bucket's name."""
    named = part(volume, "spec").get("bucket")
    return bool(named) or bucket.metadata.get("labels", {}).get(names.LABEL_VOLUME_UID) == volume["metadata"]["uid"]
