"""Whether the keys of an engine mean anything: condition KeysEnforced, which is there only to say that they do not."""

from moorage import features
from moorage.conditions import KEYS_ENFORCED, Verdict, no
from moorage.features import Feature
from moorage.model import S3Engine, S3Flavor

UNCHECKED = (
    "AIStore checks no keys: whoever reaches its endpoint may do everything with all buckets. Let only those reach"
    " it who may (NetworkPolicy), or put a proxy that checks before it"
)
SHARED = "this server makes no keys: the Secret of each Bucket has the backend's own key, which opens all its buckets"
NO_KEYS = (
    "engine s3 makes no keys, and its StorageBackend does not hand its own on: write shareCredential: true there, or"
    " choose a backend whose flavor makes keys (docs/engines.md)"
)


def enforced(engine: S3Engine | None) -> tuple[Verdict, ...]:
    """What to say of a backend, and of each Bucket on it; nothing where keys open what they shall and no more."""
    if engine is None or Feature.keys in features.features(engine):
        return ()
    if engine.flavor == S3Flavor.aistore:
        return (no(KEYS_ENFORCED, "NotChecked", UNCHECKED),)
    return (no(KEYS_ENFORCED, "SharedCredential", SHARED),) if engine.share_credential else ()


def without_keys(engine: S3Engine) -> bool:
    """Whether a Bucket there could have no key at all."""
    return engine.flavor == S3Flavor.s3 and not engine.share_credential
