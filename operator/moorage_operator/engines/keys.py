"""Keys of BucketKeys on their engine: made, limited, revoked; and the access to buckets that follows from them."""

from collections.abc import Callable, Mapping

from moorage.actions import MakeKey, RemoveKey
from moorage.errors import NotReady
from moorage.features import Feature
from moorage.model import Access, S3Engine
from moorage.sigv4 import Key
from moorage_operator.bucketaccess import Admitted
from moorage_operator.engines.plain import Turns
from moorage_operator.engines.protocol import ObjectEngine
from moorage_operator.s3 import EngineRefused

Name = tuple[str, str]
Who = Callable[[Name], Admitted | None]  # of a Bucket


class Admission:
    """Writes who may use a bucket: one at a time for each, and asks who that is when its turn has come."""

    def __init__(self, turns: Turns, who: Who) -> None:
        self._turns = turns
        self._who = who
        self._written: dict[tuple[str, str], tuple[Mapping[str, Access], bool]] = {}

    async def of(self, engine: ObjectEngine, spec: S3Engine, name: Name) -> None:
        """A bucket that is gone lets nobody in anyway."""
        known = self._who(name)
        if known:
            await self.write(engine, spec, name, known.bucket, {})

    async def write(
        self, engine: ObjectEngine, spec: S3Engine, name: Name, bucket: str, own: Mapping[str, Access]
    ) -> bool:
        """`own`: access keys that get in, whatever is known of them yet. True when it had to be changed."""
        async with self._turns.of(spec.endpoint, f"{bucket} access"):
            found, at = self._admitted(name, bucket), (spec.endpoint, bucket)
            access, public = {**found.access, **own}, _public(engine, found)
            try:
                changed = await engine.ensure_access(bucket, access, public)
                self._written[at] = access, public
                return changed
            except EngineRefused as error:
                if error.s3_code != "NoSuchBucket":
                    raise
                return False

    async def stands(
        self, engine: ObjectEngine, spec: S3Engine, name: Name, bucket: str, own: Mapping[str, Access]
    ) -> bool:
        """Whether what was written last is still there: what is to be written next is nobody else's change."""
        async with self._turns.of(spec.endpoint, f"{bucket} access"):
            found = self._admitted(name, bucket)
            unknown = {**found.access, **own}, _public(engine, found)
            access, public = self._written.get((spec.endpoint, bucket), unknown)
            return await engine.access_stands(bucket, access, public)

    def _admitted(self, name: Name, bucket: str) -> Admitted:
        found = self._who(name)
        return found if found and found.bucket == bucket else Admitted(bucket)


def _public(engine: ObjectEngine, found: Admitted) -> bool:
    """The Bucket's condition says so where an engine cannot."""
    return found.public_read and Feature.public_read in engine.features


async def make_key(engine: ObjectEngine, admission: Admission, wanted: MakeKey) -> None:
    """The user, the policies, and proof with the key itself; every step may be repeated. Raises NotReady."""
    key = Key(wanted.access_key, wanted.secret_key)
    await engine.ensure_key(key, wanted.grants)
    for name in wanted.touched:
        await admission.of(engine, wanted.engine, name)
    for grant in wanted.grants:
        if not await engine.key_works(key, grant.bucket):
            raise NotReady(f"bucket {grant.bucket} does not let key {key.access} in yet")


async def remove_key(engine: ObjectEngine, admission: Admission, wanted: RemoveKey) -> None:
    """The users first: from then on nothing works with them."""
    for access in wanted.access_keys:
        await engine.remove_key(access)
    for name in wanted.touched:
        await admission.of(engine, wanted.engine, name)
