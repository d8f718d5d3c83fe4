"""From the index and a few fresh reads to the facts that a plan wants. Deletion reads everything freshly."""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from moorage import bucketrelease, conditions, holders, names, nodegone, placement
from moorage.actions import Manifest, Problem, Reference, part, problem_of
from moorage.backendplan import BackendFacts, Probed
from moorage.backing import is_served
from moorage.bucketadoption import Found
from moorage.bucketfacts import BucketFacts
from moorage.bucketplan import is_settled
from moorage.bucketwish import Look
from moorage.contents import Contents, Count
from moorage.errors import MoorageError
from moorage.facts import VolumeFacts
from moorage.holders import Claim, Use
from moorage.model import Bucket, Phase, SecretRef, StorageBackend, StorageSnapshot, StorageVolume
from moorage.release import RELEASING, is_free
from moorage.sigv4 import Key as S3Key
from moorage_operator import attachmentuse
from moorage_operator.bodies import full_name, handle_of, id_of, placed_on, shown_bucket
from moorage_operator.cluster import Cluster
from moorage_operator.engines.desk import Engines
from moorage_operator.filers import Filers
from moorage_operator.index import Index
from moorage_operator.listing import Shown
from moorage_operator.probe import Probe
from moorage_operator.snapshots import SnapshotObserver, holders_of
from moorage_operator.store import name_of
from moorage_operator.times import now


class Observer:
    """Reads; changes nothing but the index."""

    def __init__(
        self,
        cluster: Cluster,
        index: Index,
        engines: Engines,
        probe: Probe,
        account: SecretRef,
        snapshots: SnapshotObserver,
        filers: Filers | None = None,
        counts: Mapping[str, Count] | None = None,
        deep: float = 300.0,
    ) -> None:
        """`counts`: what walks through buckets found, by the Buckets' uids. `deep`: seconds between looks at what no
        watch shows: Secrets, Roles, the S3 engine."""
        self._cluster = cluster
        self._index = index
        self._engines = engines
        self._probe = probe
        self._filers = filers
        self._account = account
        self._snapshots = snapshots
        self._fresh = Shown(cluster)
        self._counts = counts if counts is not None else dict[str, Count]()
        self._deep_every = deep
        self._deep: dict[str, float] = {}

    async def volume(self, body: Manifest) -> VolumeFacts:
        volume = StorageVolume.model_validate(body)
        namespace, name = volume.metadata["namespace"], volume.metadata["name"]
        deleting = "deletionTimestamp" in volume.metadata
        bucket = await self._bucket_of(volume, body, fresh=deleting)
        backed = deleting or (volume.status.share is not None and is_served(volume.status.share)) or _is_ready(bucket)
        claimed = deleting or (backed and volume.spec.claim != "None")
        listing = deleting and volume.status.phase in RELEASING and volume.status.release is None
        if volume.status.placement is None:
            self._index.promises.drop((namespace, name))  # of an earlier attempt
        facts = VolumeFacts(
            volume=volume,
            now=now(),
            backends=self._index.all_backends(),
            bucket=bucket,
            claim=await self._claim(namespace, name, fresh=deleting) if claimed else None,
            persistent_volume=await self._persistent_volume(id_of(body), fresh=deleting) if claimed else None,
            holders=await self._holders(volume, body) if listing else (),
            users=self._index.users(body),
            attachments=self._index.attachments_of(body),
            room=self._index.room(),
            source=None if deleting else await self._source_of(volume),
            node_gone=await self._node_gone(volume),
            labels=self._index.namespaces.get(namespace),
        )
        return replace(facts, holders=await self._unseen(volume, body)) if listing and is_free(facts) else facts

    async def bucket(self, body: Manifest) -> BucketFacts:
        bucket = Bucket.model_validate(body)
        namespace, name = bucket.metadata["namespace"], bucket.metadata["name"]
        deleting = "deletionTimestamp" in bucket.metadata
        usable = not deleting and _is_ready(bucket)
        due = usable and self._is_due(bucket.metadata["uid"])
        showing = [each for each in self._index.volumes_showing((namespace, name)) if _shows(each, bucket)]
        backends = self._index.all_backends()
        placed = bucket.status.placement
        backend = next((each for each in backends if placed and each.metadata["name"] == placed.backend), None)
        secret = await self._cluster.get(Reference("v1", "Secret", names.bucket_secret(name), namespace))
        facts = BucketFacts(
            bucket=bucket,
            now=now(),
            new_secret_key=secrets.token_urlsafe(30),
            node_account=self._account,
            backends=backends,
            secret=secret,
            key_works=await self._key_works(bucket, backend, secret) if due else None,
            key_reader=await self._has_key_reader(bucket) if due else usable,
            found=await self._found(bucket, backend),
            ca="" if deleting else await self._authority(backend),
            handed=None if deleting else await self._handed(backend),
            root_key=not deleting or await self._has_root_key(backend),
            holders=await self._holders_of(bucket) if deleting and bucket.status.phase in RELEASING else (),
            users=self._index.users(*showing, bucket=(namespace, name)),
            attachments=self._index.attachments_of(*showing),
            count=None if deleting else self._counts.get(bucket.metadata["uid"]),
        )
        if deleting:
            return replace(facts, contents=await self._contents(facts))
        return replace(facts, look=await self._look(facts)) if due or not is_settled(bucket) else facts

    async def backend(self, body: Manifest) -> BackendFacts:
        backend = StorageBackend.model_validate(body)
        deleting = "deletionTimestamp" in backend.metadata
        users = tuple(self._placed_on(backend.metadata["name"])) if deleting else ()
        found = await self._probe(backend)
        probed = found if isinstance(found, Probed) else Probed(found)
        trouble = probed.trouble
        self._index.silent[backend.metadata["name"]] = probed.silent
        filer = await self._filers.facts(backend, trouble) if self._filers else None
        return BackendFacts(backend, now(), trouble, users, await self._vanished(backend), filer, probed.silent)

    def forget(self, uid: str) -> None:
        self._deep.pop(uid, None)

    # Reads.

    async def _claim(self, namespace: str, name: str, fresh: bool) -> Manifest | None:
        known = None if fresh else self._index.claims.get(namespace, name)
        return known or await self._cluster.get(Reference("v1", "PersistentVolumeClaim", name, namespace))

    async def _persistent_volume(self, id: str, fresh: bool) -> Manifest | None:
        name = names.persistent_volume(id)
        known = None if fresh else self._index.persistent_volumes.get("", name)
        return known or await self._cluster.get(Reference("v1", "PersistentVolume", name))

    async def _source_of(self, volume: StorageVolume) -> StorageSnapshot | StorageVolume | None:
        """What its spec.source names, while it still matters."""
        source, namespace = volume.spec.source, volume.metadata["namespace"]
        if source is None or volume.status.placement:
            return None
        if source.snapshot:
            return await self._snapshots.snapshot(namespace, source.snapshot)
        return await self._snapshots.volume(namespace, source.volume or "")

    async def _node_gone(self, volume: StorageVolume) -> bool:
        placed = volume.status.placement
        return placed is not None and placed.engine == placement.LOCAL and await self._is_gone(placed.server)

    async def _is_gone(self, node: str) -> bool:
        """Nobody is given up because a watch is late: a node that it has not shown is asked for."""
        return node not in self._index.nodes and await self._cluster.get(Reference("v1", "Node", node)) is None

    async def _vanished(self, backend: StorageBackend) -> tuple[str, ...]:
        unseen = nodegone.vanished(backend, self._index.nodes)
        return tuple([each for each in unseen if await self._is_gone(each)])

    async def _bucket_of(self, volume: StorageVolume, body: Manifest, fresh: bool) -> Bucket | None:
        shown = shown_bucket(body)
        if shown is None:
            return None
        found = None if fresh else self._index.buckets.get(*shown)
        if found is None:  # a bucket that we do not know of yet must not be taken for one that we may make
            found = await self._cluster.get(Reference(names.API_VERSION, "Bucket", shown[1], shown[0]))
        return Bucket.model_validate(found) if found else None

    async def _has_key_reader(self, bucket: Bucket) -> bool:
        group = "rbac.authorization.k8s.io/v1"
        namespace, name = bucket.metadata["namespace"], names.persistent_volume(bucket.status.id)
        for kind in ("Role", "RoleBinding"):
            if await self._cluster.get(Reference(group, kind, name, namespace)) is None:
                return False
        return True

    async def _key_works(self, bucket: Bucket, backend: StorageBackend | None, secret: Manifest | None) -> bool | None:
        engine = backend.spec.engine.s3 if backend else None
        if not engine or not _answers(backend) or not bucket.status.bucket_name:
            return None
        return await self._engines.key_works(engine, bucket.status.bucket_name, secret)

    async def _look(self, facts: BucketFacts) -> Look | None:
        """Its settings on the engine, compared with the spec before that is applied, and now and then."""
        engine = facts.backend.spec.engine.s3 if facts.backend else None
        if engine is None or not _answers(facts.backend) or not (facts.is_ours or isinstance(facts.found, Found)):
            return None
        return await self._engines.look(engine, facts.owner, facts.engine_bucket, facts.access_key)

    async def _contents(self, facts: BucketFacts) -> Contents | Problem | None:
        """Asked last: of a bucket that nobody holds any more and that goes next."""
        engine = facts.backend.spec.engine.s3 if facts.backend else None
        going = facts.bucket.status.phase == Phase.DESTROYING and not facts.holders
        if engine is None or not going or not bucketrelease.destroys(facts):
            return None
        try:
            return await self._engines.contents(engine, facts.engine_bucket, facts.bucket.spec.empty_on_delete)
        except MoorageError as error:
            return problem_of(error)

    async def _authority(self, backend: StorageBackend | None) -> str:
        engine = backend.spec.engine.s3 if backend else None
        return (await self._engines.authority(engine) or "") if engine else ""

    async def _handed(self, backend: StorageBackend | None) -> S3Key | None:
        engine = backend.spec.engine.s3 if backend else None
        return await self._engines.handed(engine) if engine else None

    async def _has_root_key(self, backend: StorageBackend | None) -> bool:
        engine = backend.spec.engine.s3 if backend else None
        return engine is None or await self._engines.has_root_key(engine)

    async def _found(self, bucket: Bucket, backend: StorageBackend | None) -> Found | Problem | None:
        """Of a bucket that is yet to be adopted, freshly: whether it is there, whose it is, and whether that lives."""
        engine = backend.spec.engine.s3 if backend and _answers(backend) else None
        if not bucket.spec.adopt or bucket.status.bucket_name or engine is None:
            return None
        try:
            exists, owner = await self._engines.owner(engine, bucket.spec.adopt)
        except MoorageError as error:
            return problem_of(error)
        living = await self._cluster.list_ours("Bucket", bucket.metadata["namespace"])
        uids = {each["metadata"]["uid"] for each in living} - {bucket.metadata["uid"]}
        return Found(exists, owner, owner is not None and owner.uid in uids)

    def _is_due(self, uid: str) -> bool:
        due = time.monotonic() - self._deep.get(uid, float("-inf")) > self._deep_every
        if due:
            self._deep[uid] = time.monotonic()
        return due

    # Who uses it, asked of the API server itself.

    async def _unseen(self, volume: StorageVolume, body: Manifest) -> tuple[str, ...]:
        """The last look before data goes: a PersistentVolume that somebody made by hand is known by the watch alone."""
        fresh = await self._fresh.names(handle_of(body))
        return await self._holders(volume, body, fresh) if fresh - self._shown_by(volume, body) else ()

    async def _holders(
        self, volume: StorageVolume, body: Manifest, more: frozenset[str] | set[str] = frozenset()
    ) -> tuple[str, ...]:
        namespace, name = volume.metadata["namespace"], volume.metadata["name"]
        own = names.persistent_volume(volume.status.id)
        claims: set[Claim] = {(namespace, name)} if volume.spec.claim != "None" else set()
        attachments = await attachmentuse.holding(self._cluster, self._index, volume)
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

    def _shown_by(self, volume: StorageVolume, body: Manifest) -> set[str]:
        """PersistentVolumes of the volume and its attachments, and what the provisioner's is called if there is one.

        Its PersistentVolume bears the volume's name: no watch must have shown it before data goes.
        """
        found = {each["metadata"]["name"] for each in self._index.persistent_volumes_of(handle_of(body))}
        return found | ({volume.metadata["name"]} if volume.spec.claim == "None" else set())

    async def _pods_using(self, ways: set[Use], namespace: str) -> set[str]:
        pods = await self._cluster.list("v1", "Pod", namespace)
        return {holders.pod_name(each) for each in pods if holders.uses(each).uses & ways}

    async def _holders_of(self, bucket: Bucket) -> tuple[str, ...]:
        namespace, name = bucket.metadata["namespace"], bucket.metadata["name"]
        known = {each["metadata"]["namespace"] for each in self._index.volumes_showing((namespace, name))}
        shared = bucket.spec.share is not None or known - {namespace}  # then any namespace may have volumes of it
        volumes = await self._cluster.list_ours("StorageVolume", "" if shared else namespace)
        showing = (each for each in volumes if shown_bucket(each) == (namespace, name))
        found = {f"StorageVolume {full_name(each)}" for each in showing if _still_shows(each, bucket)}
        return tuple(sorted(found | await self._pods_using({Use(bucket=(namespace, name))}, namespace)))

    def _placed_on(self, backend: str) -> Iterable[str]:
        for store in (self._index.volumes, self._index.snapshots, self._index.buckets, self._index.keyring.store):
            yield from (f"{each['kind']} {full_name(each)}" for each in store.values() if placed_on(each) == backend)


def _is_of(persistent_volume: Manifest, handle: str) -> bool:
    found = holders.claimed_volume(persistent_volume)
    return found is not None and str(found.volume) == handle


def _still_shows(volume: Manifest, bucket: Bucket) -> bool:
    """A volume that was let go by everybody no longer holds its bucket."""
    return not part(volume, "status").get("release") and _shows(volume, bucket)


def _shows(volume: Manifest, bucket: Bucket) -> bool:
    """Not so a volume that only bears the bucket's name."""
    named = part(volume, "spec").get("bucket")
    return bool(named) or bucket.metadata.get("labels", {}).get(names.LABEL_VOLUME_UID) == volume["metadata"]["uid"]


def _is_ready(bucket: Bucket | None) -> bool:
    return bucket is not None and conditions.is_true(bucket.status.conditions, conditions.READY)


def _answers(backend: StorageBackend | None) -> bool:
    return backend is not None and conditions.is_true(backend.status.conditions, conditions.READY)
