"""Objects to and from headers."""

import errno
from collections.abc import Mapping
from urllib.parse import quote

from moorfs.ports import Condition, Head, StoreError
from moorfs.s3.dates import http_date_ns
from moorfs.s3.integrity import bare, quoted

META = "x-amz-meta-"
TYPE = "content-type"
MOST_KEY = 1024
OWN = frozenset(
    {
        *("cache-control", "content-disposition", "content-encoding", "content-language", "expires"),
        *("x-amz-tagging-count", "x-amz-website-redirect-location"),
    }
)
"""Headers of a HEAD answer that tell of what CopyObject takes along, and a new upload would have to be told."""


def head_of(headers: Mapping[str, str]) -> Head:
    """Of a HEAD or GET answer; of a ranged one the size is that of the whole object."""
    whole = headers.get("content-range", "").rpartition("/")[2]
    size = whole if whole.isdecimal() else headers.get("content-length", "0")
    metadata = {name[len(META) :]: value for name, value in headers.items() if name.startswith(META)}
    return Head(
        size=int(size) if size.isdecimal() else 0,
        etag=bare(headers.get("etag", "")),
        mtime=http_date_ns(headers.get("last-modified", "")),
        metadata=metadata,
        content_type=headers.get(TYPE, ""),
        plain=not OWN.intersection(headers),
    )


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """x-amz-meta-* of each; `content-type` is the object's own. EINVAL for what no header can hold."""
    headers: dict[str, str] = {}
    for name, value in metadata.items():
        if not (name + value).isascii() or not (name + value).isprintable():
            raise StoreError(errno.EINVAL, f"metadata {name!r}: {value!r} cannot go into a header")
        headers[name if name == TYPE else META + name.lower()] = value
    return headers


def condition_headers(condition: Condition) -> dict[str, str]:
    if condition.match is not None:
        return {"if-match": quoted(condition.match)}
    return {"if-none-match": "*"} if condition.absent else {}


def source_header(bucket: str, key: str) -> str:
    """x-amz-copy-source, encoded."""
    return quote(f"/{bucket}/{key}", safe="/-_.~")


def check_key(key: str) -> str:
    """The key, if S3 can hold it: 1 to 1024 bytes of UTF-8, and no part of it that a server or library may take for a
    path (the same that engines refuse); EILSEQ, ENAMETOOLONG or EINVAL otherwise."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise StoreError(errno.EILSEQ, f"{key!r} is no UTF-8: S3 has no such keys") from error
    if size > MOST_KEY:
        raise StoreError(errno.ENAMETOOLONG, f"a key of {size} bytes: S3 has at most {MOST_KEY}")
    if not key or "\0" in key:
        raise StoreError(errno.EINVAL, f"{key!r} is no key")
    return key
