"""What each flavor of S3 engine can do: one row each, as measured against the real servers in tests/api.

It is shown in StorageBackend.status.features and in docs/engines.md. What a Bucket or BucketKey asks and its engine
lacks is refused with a reason (NotOffered), never ignored.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from moorage import objectmount
from moorage.model.engine import S3Engine, S3Flavor


class Feature(StrEnum):
    """A word of the row; `MEANING` says what each is."""

    versioning = "versioning"
    object_lock = "objectLock"
    lock_stamped = "lockStamped"
    tags = "tags"
    quota = "quota"
    lifecycle = "lifecycle"
    abort_multipart = "abortMultipart"
    cors = "cors"
    public_read = "publicRead"
    conditional_writes = "conditionalWrites"
    part_copy = "partCopy"
    metadata = "metadata"
    keys = "keys"
    usage = "usage"
    slash_conflict = "slashConflict"


MEANING: Mapping[Feature, str] = {
    Feature.versioning: "keeps versions of objects, and stops when it is suspended",
    Feature.object_lock: "keeps versions from being deleted for a time (Governance, Compliance)",
    Feature.lock_stamped: "writes the default retention on each new version: a looser default frees no old one",
    Feature.tags: "tags on buckets and objects",
    Feature.quota: "refuses writes beyond a size of the bucket",
    Feature.lifecycle: "deletes objects and old versions by age",
    Feature.abort_multipart: "removes unfinished uploads by age",
    Feature.cors: "lets web pages of named origins call the bucket",
    Feature.public_read: "lets everybody read a bucket's objects, if asked",
    Feature.conditional_writes: "If-Match and If-None-Match on writes: of two that race, one wins",
    Feature.part_copy: "copies ranges of objects into a multipart upload",
    Feature.metadata: "keeps metadata of objects and empty folders, without which files cannot be written",
    Feature.keys: "makes keys that open named buckets only, and checks them",
    Feature.usage: "tells objects and bytes of a bucket in one call, without a listing",
    Feature.slash_conflict: "(a limit) cannot hold the keys `a` and `a/b` at once",
}

_F = Feature
_ALL_S3 = frozenset(
    {_F.versioning, _F.object_lock, _F.tags, _F.lifecycle, _F.abort_multipart, _F.cors, _F.public_read,
     _F.conditional_writes, _F.part_copy, _F.metadata}
)  # fmt: skip

ROWS: Mapping[S3Flavor, frozenset[Feature]] = {
    S3Flavor.versitygw: frozenset(
        {
            _F.versioning,
            _F.object_lock,
            _F.tags,
            _F.cors,
            _F.public_read,
            _F.conditional_writes,
            _F.part_copy,
            _F.metadata,
            _F.keys,
            _F.slash_conflict,
        }
    ),
    S3Flavor.s3: _ALL_S3,
    S3Flavor.minio: _ALL_S3 - {_F.cors, _F.abort_multipart} | {_F.lock_stamped, _F.quota, _F.keys, _F.usage},
    S3Flavor.rgw: _ALL_S3 - {_F.conditional_writes} | {_F.lock_stamped, _F.quota, _F.keys, _F.usage},
    S3Flavor.aistore: frozenset({_F.slash_conflict}),
}


def features(engine: S3Engine) -> frozenset[Feature]:
    """The row of the engine's flavor, less what its administrator says that this endpoint lacks."""
    return ROWS[engine.flavor] - {each for each in Feature if each in engine.lacks}


def told(engine: S3Engine) -> tuple[str, ...]:
    """The row as the status shows it, in the order of `Feature`."""
    row = features(engine)
    return tuple(each.value for each in Feature if each in row)


def unasked(engine: S3Engine) -> str:
    """What a mounter must not ask of the engine, as volumes' attributes say it; "" for one that has it all."""
    return ",".join(each for each in objectmount.NEEDED if each not in told(engine))


def lacking(engine: S3Engine, needed: Iterable[Feature]) -> str:
    """Why the engine cannot do what is needed, with what to do; "" when it can."""
    missing = sorted(frozenset(needed) - features(engine))
    if not missing:
        return ""
    words = "; ".join(f"{each.value} ({MEANING[each]})" for each in missing)
    return f"engine {engine.flavor} has no {words}: leave it out, or choose another StorageBackend"


def table() -> str:
    """The rows as Markdown, for docs/engines.md: what each flavor has."""
    flavors = tuple(ROWS)
    head = ["| feature | " + " | ".join(flavors) + " | what it is |", "| --- |" + " --- |" * (len(flavors) + 1)]
    return "\n".join((*head, *(_line(each, flavors) for each in Feature)))


def _line(feature: Feature, flavors: tuple[S3Flavor, ...]) -> str:
    marks = " | ".join("yes" if feature in ROWS[each] else "-" for each in flavors)
    return f"| `{feature}` | {marks} | {MEANING[feature]} |"
