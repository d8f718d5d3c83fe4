"""Reading what S3 servers answer: XML with or without a namespace, and keys that may be URL-encoded."""

import base64
import hashlib
from collections.abc import Iterator
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from moorage.errors import NotReady

Element = ElementTree.Element


def parse(answer: bytes) -> Element:
    """Raises NotReady for what is no XML: something else than an S3 server answered."""
    try:
        # expat of 2.4.1 and later bounds entity expansion, and the server is one that an administrator named
        return ElementTree.fromstring(answer or b"<Empty/>")  # noqa: S314
    except ElementTree.ParseError as error:
        raise NotReady(f"the S3 engine's answer is no XML: {error}") from error


def children(tree: Element, name: str) -> Iterator[Element]:
    return (each for each in tree if each.tag.rpartition("}")[2] == name)


def text(tree: Element, name: str) -> str | None:
    return next((each.text for each in children(tree, name)), None)


def key_of(tree: Element, entry: Element, name: str = "Key") -> str:
    """A key in the listing `tree`, decoded if that says that it is encoded."""
    key = text(entry, name) or ""
    return unquote_plus(key) if text(tree, "EncodingType") == "url" else key


def md5(body: bytes) -> str:
    """The Content-MD5 that S3 demands of some calls."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
