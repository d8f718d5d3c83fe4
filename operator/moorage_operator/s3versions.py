"""What is in a bucket, version by version and page by page, and until when each is retained.

Source: the S3 API reference, ListObjectVersions, ListObjectsV2, Get- and PutObjectRetention.
"""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from moorage.contents import Retention, Version
from moorage.model import LockMode
from moorage_operator.s3 import S3, EngineRefused, Query
from moorage_operator.s3xml import children, key_of, md5, parse, text

PAGE = 1000  # what S3 gives at most
AFTER = "\x01"  # behind a key: greater than the key, and than no other one that a file system holds

_UNRETAINED = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"})


@dataclass(frozen=True, slots=True)
class Page:
    """`after`: what to ask the next page with; None when this is the last. `markers`: delete markers on this page."""

    versions: tuple[Version, ...]
    markers: int = 0
    after: Query | None = None


async def objects(s3: S3, bucket: str, after: Query = (), most: int = PAGE) -> Page:
    """Objects of an engine that keeps no versions."""
    query = (*after, ("encoding-type", "url"), ("list-type", "2"), ("max-keys", str(most)))
    tree = parse(await s3.call("GET", f"/{bucket}", query))
    found = tuple(_version(tree, each) for each in children(tree, "Contents"))
    token = text(tree, "NextContinuationToken")
    more = text(tree, "IsTruncated") == "true" and token
    return Page(found, 0, (("continuation-token", token),) if more and token else None)


async def versions(s3: S3, bucket: str, after: Query = (), most: int = PAGE, *, inclusive: bool = False) -> Page:
    """All versions, old ones too.

    `inclusive`: versitygw 1.8, whose key-marker alone begins with that very key, and which loses versions when it is
    given a version-id-marker of "null". There the next page begins with the last key of this one, all over.
    """
    query = (*after, ("encoding-type", "url"), ("max-keys", str(most)), ("versions", ""))
    tree = parse(await s3.call("GET", f"/{bucket}", query))
    marker = dict(after)
    known = marker.get("key-marker"), marker.get("version-id-marker")  # Ceph 16 begins with that very one if it is null
    listed = (_version(tree, each) for each in children(tree, "Version"))
    found = [each for each in listed if (each.key, each.id) != known]
    markers = [_version(tree, each) for each in children(tree, "DeleteMarker")]
    key, version = _next_key(tree, {each.key for each in (*found, *markers)}), text(tree, "NextVersionIdMarker")
    if text(tree, "IsTruncated") != "true" or not key:
        return Page(tuple(found), len(markers))
    if inclusive and {each.key for each in (*found, *markers)} != {key}:
        whole = tuple(each for each in found if each.key != key)
        return Page(whole, sum(each.key != key for each in markers), (("key-marker", key),))
    if inclusive and version == "null":  # the last version of a key with more of them than a page has
        return Page(tuple(found), len(markers), (("key-marker", key + AFTER),))
    last = (("version-id-marker", version),) if version else ()
    return Page(tuple(found), len(markers), (("key-marker", key), *last))


async def retention(s3: S3, bucket: str, version: Version) -> Retention | None:
    """None for a version that bears none."""
    try:
        tree = parse(await s3.call("GET", f"/{bucket}/{version.key}", _of(version)))
    except EngineRefused as error:
        if error.s3_code in _UNRETAINED or error.status == 404:
            return None
        raise
    mode, until = text(tree, "Mode"), text(tree, "RetainUntilDate")
    strict = LockMode.Compliance if mode == "COMPLIANCE" else LockMode.Governance
    return Retention(strict, until) if mode and until else None


async def retain(s3: S3, bucket: str, version: Version, wanted: Retention) -> None:
    """At least so long: S3 refuses to shorten one that is there."""
    root = Element("Retention", {"xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"})
    SubElement(root, "Mode").text = wanted.mode.upper()
    SubElement(root, "RetainUntilDate").text = wanted.until
    body = tostring(root)
    await s3.call("PUT", f"/{bucket}/{version.key}", _of(version), body, {"content-md5": md5(body)})


def _of(version: Version) -> Query:
    return (("retention", ""), *((("versionId", version.id),) if version.id else ()))


def _version(tree: Element, entry: Element) -> Version:
    return Version(
        key_of(tree, entry),
        text(entry, "VersionId"),
        text(entry, "LastModified") or "",
        int(text(entry, "Size") or 0),
    )


def _next_key(tree: Element, keys: set[str]) -> str:
    """Encoded like the keys of the listing, or, on Ceph 16, not."""
    plain = text(tree, "NextKeyMarker") or ""
    return plain if plain in keys else key_of(tree, tree, "NextKeyMarker")
