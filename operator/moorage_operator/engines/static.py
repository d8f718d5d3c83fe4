"""Any S3 server with a given credential: buckets are made or adopted, and no keys."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.errors import NotOffered
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.plain import PlainEngine
from moorage_operator.s3 import NOT_IMPLEMENTED, EngineRefused


class Static(PlainEngine):
    """The only key that it knows is the backend's own; whether that is handed on, the backend says."""

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        if self.spec.share_credential and key == self.s3.key:
            return
        raise NotOffered(
            "engine s3 makes no keys: write shareCredential: true in its StorageBackend to hand its own credential to"
            " Buckets, or choose a backend whose flavor makes keys (docs/engines.md)"
        )

    async def put_tags(self, bucket: str, tags: Mapping[str, str]) -> None:
        with _offered("tags of buckets, which say whose one is"):
            await super().put_tags(bucket, tags)

    async def ensure_settings(self, bucket: str, wanted: BucketSettings) -> tuple[str, ...]:
        with _offered("all of these settings"):
            return await super().ensure_settings(bucket, wanted)

    def principals(self, access: Mapping[str, Access]) -> Mapping[str, Access]:
        """The bucket is its own credential's, which needs no policy: that is for public reading alone."""
        return {}

    async def remove_key(self, access: str) -> None:
        """Nothing was made."""


@contextmanager
def _offered(what: str) -> Generator[None]:
    """What this server turns out not to have: its row is only what such servers commonly can."""
    try:
        yield
    except EngineRefused as error:
        if error.status != NOT_IMPLEMENTED:
            raise
        text = f"this server has not {what}: leave it out, and write what it lacks in the StorageBackend ({error})"
        raise NotOffered(text) from error
