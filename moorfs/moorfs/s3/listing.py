"""Listings: pages of keys, deletion of many, unfinished uploads."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from moorfs.ports import Listed, Page, StoreError
from moorfs.s3.dates import iso_date_ns
from moorfs.s3.integrity import bare

ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))
"""A carriage return would be read as a newline (XML 1.0, 2.11) unless it is written as a reference."""
MOST_AT_ONCE = 1000  # keys in one DeleteObjects call


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A multipart upload that was begun and neither completed nor aborted; `begun` in nanoseconds."""

    key: str
    upload: str
    begun: int


def list_query(prefix: str, delimiter: str, token: str | None, most: int, after: str) -> tuple[tuple[str, str], ...]:
    query = [("list-type", "2"), ("prefix", prefix), ("max-keys", str(most)), ("encoding-type", "url")]
    if delimiter:
        query.append(("delimiter", delimiter))
    if token:
        query.append(("continuation-token", token))
    elif after:
        query.append(("start-after", after))
    return tuple(query)


def page_of(body: bytes, token: str | None = None) -> Page:
    """Of a ListObjectsV2 answer to `token`; StoreError EIO for anything else."""
    tree = parse(body)
    encoded = _text(tree, "EncodingType") == "url"
    space = _space(tree)
    objects = tuple(_listed(each, space, encoded) for each in _all(tree, "Contents"))
    prefixes = tuple(_key(each, "Prefix", encoded) for each in _all(tree, "CommonPrefixes"))
    following = _text(tree, "NextContinuationToken") if _text(tree, "IsTruncated") == "true" else None
    if following is not None and following == token:
        raise StoreError(errno.EIO, "the engine's listing does not go on: it gave the same continuation token again")
    return Page(objects, prefixes, following or None)


def _listed(entry: ElementTree.Element, space: str, encoded: bool) -> Listed:
    text = entry.findtext
    key, size = text(space + "Key", ""), text(space + "Size", "0")
    return Listed(
        key=_plain(key) if encoded else key,
        size=int(size) if size.isdecimal() else 0,
        etag=bare(text(space + "ETag", "")),
        mtime=iso_date_ns(text(space + "LastModified", "")),
    )


def deletions(keys: Sequence[str]) -> Iterator[tuple[list[str], bytes]]:
    """Batches of keys, each with its DeleteObjects document. Keys that XML cannot hold are left out (see `odd`)."""
    plain = [key for key in keys if not odd(key)]
    for first in range(0, len(plain), MOST_AT_ONCE):
        batch = plain[first : first + MOST_AT_ONCE]
        names = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in batch)
        yield batch, f"<Delete><Quiet>true</Quiet>{names}</Delete>".encode()


def escape(text: str) -> str:
    """As the text of an element. xml.sax.saxutils has it too, and loads 8 MiB of modules for it."""
    for letter, reference in ESCAPES:
        text = text.replace(letter, reference)
    return text


def odd(key: str) -> bool:
    """Whether a key has characters that an XML 1.0 document cannot hold."""
    return any((letter < " " and letter not in "\t\n\r") or letter in "\ufffe\uffff" for letter in key)


def failures_of(body: bytes) -> list[tuple[str, str, str]]:
    """(key, code, message) of a DeleteObjects answer."""
    found: list[tuple[str, str, str]] = []
    for each in _all(parse(body), "Error"):
        fields = {part.tag.rpartition("}")[2]: part.text or "" for part in each}
        found.append((fields.get("Key", ""), fields.get("Code", ""), fields.get("Message", "")))
    return found


def unfinished_of(body: bytes) -> tuple[list[Unfinished], tuple[str, str] | None]:
    """Of a ListMultipartUploads answer: the uploads, and the markers (key, upload) of the next page."""
    tree = parse(body)
    encoded = _text(tree, "EncodingType") == "url"
    found = [
        Unfinished(_key(each, "Key", encoded), _text(each, "UploadId"), iso_date_ns(_text(each, "Initiated")))
        for each in _all(tree, "Upload")
    ]
    if _text(tree, "IsTruncated") != "true":
        return found, None
    return found, (_key(tree, "NextKeyMarker", encoded), _text(tree, "NextUploadIdMarker"))


def parse(body: bytes) -> ElementTree.Element:
    try:
        # expat of 2.4.1 and later bounds entity expansion, and the server is one that an administrator named
        return ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError as error:
        raise StoreError(errno.EIO, f"the engine's answer is no XML: {error}") from error


def field_of(body: bytes, name: str) -> str:
    """Text of the first such element directly beneath the root; empty when there is none."""
    return _text(parse(body), name)


def _space(tree: ElementTree.Element) -> str:
    """The namespace, as ElementTree writes it before each name. Engines have one, or none, for a whole answer."""
    return tree.tag[: tree.tag.find("}") + 1]


def _all(tree: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return tree.iterfind(_space(tree) + name)


def _text(tree: ElementTree.Element, name: str) -> str:
    return tree.findtext(_space(tree) + name, "")


def _key(tree: ElementTree.Element, name: str, encoded: bool) -> str:
    text = _text(tree, name)
    return _plain(text) if encoded else text


def _plain(text: str) -> str:
    """A key that is no UTF-8 has lone surrogates: no other key is taken for it, and no name has them (names.py)."""
    return unquote_plus(text, errors="surrogateescape") if "%" in text or "+" in text else text
