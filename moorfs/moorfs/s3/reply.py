"""The head of an answer of HTTP/1.1: status and headers."""

import re
from dataclasses import dataclass

_OBJECT = re.compile(
    r"\r\n(etag|last-modified|content-length|content-type|connection|x-amz-meta-[^:\r\n]*):([^\r\n]*)", re.IGNORECASE
)


class Lost(Exception):
    """The connection broke or stayed silent. `sent`: the engine may have got the whole request, and done it."""

    def __init__(self, why: object, sent: bool = True) -> None:
        super().__init__(str(why))
        self.sent = sent


@dataclass(slots=True)
class Reply:
    """Status line and headers (lowercase names); `length` of the body, None when it is chunked or ends by closing."""

    status: int
    headers: dict[str, str]
    length: int | None
    chunked: bool = False


def parsed(head: bytes) -> Reply:
    """All of it, up to the empty line. Lost for what is no HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Reply(_status(first), headers, None)


def brief(head: bytes) -> Reply:
    """Of an answer to HEAD: the headers that tell of an object, and whether the connection stays. A listing needs
    thousands of these, and half of the headers say nothing to it."""
    text = head.decode("latin-1")
    headers = {name.lower(): value.strip() for name, value in _OBJECT.findall(text)}
    return Reply(_status(text[: text.find("\r")]), headers, 0)


def _status(line: str) -> int:
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise Lost("the engine's answer is no HTTP")
    return number(words[1])


def number(text: str, base: int = 10) -> int:
    try:
        return int(text, base)
    except ValueError as error:
        raise Lost(f"the engine's answer is no HTTP: {text[:40]!r} is no number") from error
