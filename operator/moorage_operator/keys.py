"""From the index and a few fresh reads to the facts of a BucketKey."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace

from moorage import conditions, keygrants, keyslots, names
from moorage.actions import Manifest, Reference
from moorage.errors import NotReady
from moorage.keyfacts import KeyFacts
from moorage.keygrants import Openers
from moorage.model import Bucket, BucketKey, S3Engine
from moorage_operator.bucketaccess import bucket_of
from moorage_operator.cluster import Cluster
from moorage_operator.engines.desk import Engines, key_in
from moorage_operator.index import Index
from moorage_operator.store import Name
from moorage_operator.times import Seldom, now

DEEP_EVERY = 300.0  # seconds between requests with the key itself


class KeyObserver:
    """Reads; changes nothing."""

    def __init__(self, cluster: Cluster, index: Index, engines: Engines) -> None:
        self._cluster = cluster
        self._index = index
        self._engines = engines
        self._deep = Seldom(DEEP_EVERY)

    async def __call__(self, body: Manifest) -> KeyFacts:
        key = BucketKey.model_validate(body)
        ending = "deletionTimestamp" in key.metadata or keygrants.ended(key, now()) is not None
        wanted = () if ending else [keygrants.bucket_name(key, each) for each in key.spec.buckets]
        buckets = await self._buckets(wanted)
        facts = KeyFacts(
            key=key,
            now=now(),
            new_secret_key=secrets.token_urlsafe(30),
            buckets=buckets,
            labels=self._index.namespaces,
            backends=self._index.all_backends(),
            crowded=frozenset(name for name, each in buckets.items() if self._is_crowded(key, name, each)),
        )
        return await self._deeper(facts, ending)

    def forget(self, uid: str) -> None:
        self._deep.forget(uid)

    async def _deeper(self, facts: KeyFacts, ending: bool) -> KeyFacts:
        """With what the API server and the engine are asked for."""
        namespace = facts.key.metadata["namespace"]
        secret = await self._cluster.get(Reference("v1", "Secret", facts.secret_name, namespace))
        engine = facts.engine
        if engine is None:
            return replace(facts, secret=secret)
        if ending:
            return replace(facts, secret=secret, root_key=await self._engines.has_root_key(engine))
        due = self._is_made(facts) and self._deep.is_due(facts.key.metadata["uid"])
        works = await self._works(engine, facts.key, secret) if due else None
        return replace(facts, secret=secret, works=works, ca=await self._engines.authority(engine) or "")

    async def _buckets(self, wanted: Iterable[Name]) -> Mapping[Name, Bucket]:
        found = {name: await self._bucket(name) for name in wanted}
        return {name: each for name, each in found.items() if each}

    async def _bucket(self, name: Name) -> Bucket | None:
        """One that we do not know of yet must not be taken for one that is gone."""
        known = bucket_of(self._index, name)
        if known:
            return known
        found = await self._cluster.get(Reference(names.API_VERSION, "Bucket", name[1], name[0]))
        return Bucket.model_validate(found) if found else None

    def _is_crowded(self, key: BucketKey, name: Name, bucket: Bucket) -> bool:
        return Openers.of(bucket, self._index.keyring.of_bucket(name), self._index.namespaces).crowds_out(key)

    def _is_made(self, facts: KeyFacts) -> bool:
        """Whether it opens something, on an engine that answers."""
        answers = facts.backend is not None and conditions.is_true(facts.backend.status.conditions, conditions.READY)
        return answers and not keyslots.is_being_made(facts.key.status) and bool(facts.key.status.buckets)

    async def _works(self, engine: S3Engine, key: BucketKey, secret: Manifest | None) -> bool | None:
        """Whether the Secret's key opens all that it shall; None when the engine does not answer."""
        held = key_in(secret)
        if held is None or held.access != key.status.access_key_id:
            return False
        try:
            async with self._engines.open(engine) as opened:
                return all([await opened.key_works(held, each.bucket) for each in key.status.buckets])
        except NotReady:
            return None
