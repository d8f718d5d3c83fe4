"""Any S3 server with a given credential: buckets are made or adopted, and no keys."""

from collections.abc import Iterable, Mapping

from moorage.bucketpolicy import Grant
from moorage.errors import NotOffered
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.plain import PlainEngine


class Static(PlainEngine):
    """The only key that it knows is the backend's own; whether that is handed on, the backend says."""

    async def ensure_key(self, key: Key, grants: Iterable[Grant]) -> None:
        if self.spec.share_credential and key == self.s3.key:
            return
        raise NotOffered(
            "engine s3 makes no keys: write shareCredential: true in its StorageBackend to hand its own credential to"
            " Buckets, or choose a backend whose flavor makes keys (docs/engines.md)"
        )

    def principals(self, access: Mapping[str, Access]) -> Mapping[str, Access]:
        """The bucket is its own credential's, which needs no policy: that is for public reading alone."""
        return {}

    async def remove_key(self, access: str) -> None:
        """Nothing was made."""
