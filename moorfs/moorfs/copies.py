"""Which object is a copy of which other one."""

from collections.abc import Mapping

from moorfs.ports import Head

_TELLING = ("mtime", "moorfs-writer")


def same(one: Head, other: Head) -> bool:
    """Whether one is a copy of the other for sure.

    A copy of what was uploaded in parts ("...-3") has another ETag. Then a time or a writer in the metadata must tell:
    pieces of a dataset that S3 tools uploaded are often of one size, and have no metadata at all.
    """
    if one.size != other.size or one.metadata != other.metadata:
        return False
    return one.etag == other.etag or ("-" in one.etag + other.etag and _tells(one.metadata))


def _tells(metadata: Mapping[str, str]) -> bool:
    return any(name in metadata for name in _TELLING)
