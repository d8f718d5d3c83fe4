"""From the index, a few fresh reads and the S3 engine to the facts of a Bucket. Deletion reads everything freshly."""

import secrets
from collections.abc import Mapping
from dataclasses import replace

from moorage import bucketrelease, conditions, names
from moorage.actions import Manifest, Problem, Reference, problem_of
from moorage.bucketadoption import Found
from moorage.bucketfacts import BucketFacts
from moorage.bucketplan import is_settled
from moorage.bucketwish import Look
from moorage.contents import Contents, Count
from moorage.errors import MoorageError
from moorage.model import Bucket, Phase, SecretRef, StorageBackend
from moorage.release import RELEASING
from moorage.sigv4 import Key as S3Key
from moorage_operator.cluster import Cluster
from moorage_operator.engines.desk import Engines
from moorage_operator.holding import Holding, shows
from moorage_operator.index import Index
from moorage_operator.times import Seldom, now


class BucketObserver:
    """Reads; changes nothing."""

    def __init__(
        self,
        cluster: Cluster,
        index: Index,
        engines: Engines,
        holding: Holding,
        account: SecretRef,
        counts: Mapping[str, Count],
        deep: float,
    ) -> None:
        """`account`: the node plugin's. `counts`: what walks through buckets found, by the Buckets' uids. `deep`:
        seconds between looks at what no watch shows: Secrets, Roles, the S3 engine."""
        self._cluster = cluster
        self._index = index
        self._engines = engines
        self._holding = holding
        self._account = account
        self._counts = counts
        self._deep = Seldom(deep)

    async def __call__(self, body: Manifest) -> BucketFacts:
        bucket = Bucket.model_validate(body)
        namespace, name = bucket.metadata["namespace"], bucket.metadata["name"]
        deleting = "deletionTimestamp" in bucket.metadata
        usable = not deleting and _is_ready(bucket)
        due = usable and self._deep.is_due(bucket.metadata["uid"])
        showing = [each for each in self._index.volumes_showing((namespace, name)) if shows(each, bucket)]
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
            holders=await self._holding.bucket(bucket) if deleting and bucket.status.phase in RELEASING else (),
            users=self._index.users(*showing, bucket=(namespace, name)),
            attachments=self._index.attachments_of(*showing),
            count=None if deleting else self._counts.get(bucket.metadata["uid"]),
        )
        if deleting:
            return replace(facts, contents=await self._contents(facts))
        return replace(facts, look=await self._look(facts)) if due or not is_settled(bucket) else facts

    def forget(self, uid: str) -> None:
        self._deep.forget(uid)

    async def _has_key_reader(self, bucket: Bucket) -> bool:
        group = "rbac.authorization.k8s.io/v1"
        namespace, name = bucket.metadata["namespace"], names.persistent_volume(bucket.status.id)
        for kind in ("Role", "RoleBinding"):
            if await self._cluster.get(Reference(group, kind, name, namespace)) is None:
                return False
        return True

    async def _key_works(self, bucket: Bucket, backend: StorageBackend | None, secret: Manifest | None) -> bool | None:
        engine = backend.spec.engine.s3 if backend else None
        if not engine or not _is_ready(backend) or not bucket.status.bucket_name:
            return None
        return await self._engines.key_works(engine, bucket.status.bucket_name, secret)

    async def _look(self, facts: BucketFacts) -> Look | None:
        """Its settings on the engine, compared with the spec before that is applied, and now and then."""
        engine = facts.backend.spec.engine.s3 if facts.backend else None
        if engine is None or not _is_ready(facts.backend) or not (facts.is_ours or isinstance(facts.found, Found)):
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
        engine = backend.spec.engine.s3 if backend and _is_ready(backend) else None
        if not bucket.spec.adopt or bucket.status.bucket_name or engine is None:
            return None
        try:
            exists, owner = await self._engines.owner(engine, bucket.spec.adopt)
        except MoorageError as error:
            return problem_of(error)
        living = await self._cluster.list_ours("Bucket", bucket.metadata["namespace"])
        uids = {each["metadata"]["uid"] for each in living} - {bucket.metadata["uid"]}
        return Found(exists, owner, owner is not None and owner.uid in uids)


def _is_ready(thing: Bucket | StorageBackend | None) -> bool:
    return thing is not None and conditions.is_true(thing.status.conditions, conditions.READY)
