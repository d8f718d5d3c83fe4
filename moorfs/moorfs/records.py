"""The lines of the state log: what a new process must know to serve the kernel's old connection.

A line is eight hex digits of CRC-32, a space, and a JSON array [letter, fields...]. Names are those of the bucket's
keys; numbers of nodes, handles and requests are the kernel's.
"""

import json
import zlib
from typing import NamedTuple

VERSION = 1


class Made(NamedTuple):
    """The kernel knows this node. Attributes: as of then; they matter for what was never stored. `unique`: the request
    that created the file, 0 for what was there."""

    node: int
    parent: int
    name: str
    mode: int
    uid: int
    gid: int
    mtime: int
    device: int
    unique: int = 0


class Moved(NamedTuple):
    node: int
    parent: int
    name: str


class Unlinked(NamedTuple):
    """It has no name any more; open handles may still hold it."""

    node: int


class Forgotten(NamedTuple):
    """The kernel has no use for the number any more."""

    node: int


class Changed(NamedTuple):
    """Attributes that the engine does not have yet: they go along with the bytes."""

    node: int
    mode: int
    uid: int
    gid: int
    mtime: int


class Opened(NamedTuple):
    """The handle of ports.Handle."""

    handle: int
    node: int
    flags: int
    direct: bool
    backing: int


class Answered(NamedTuple):
    """Request `unique` got `handle`. Written before the answer: a handle without one was never told to the kernel."""

    unique: int
    handle: int


class Released(NamedTuple):
    handle: int


class Clean(NamedTuple):
    """The mark of ports.Mark: the cache file, with this stamp, is the object with this ETag."""

    node: int
    etag: str
    size: int
    mtime: int
    ctime: int


class Intent(NamedTuple):
    """A rename is under way, from key to key: a crash in the middle is rolled forward.

    `node` moves to be `parent`/`name`; `folder`: keys are prefixes; `replaced`: the node that had the name, or 0.
    """

    serial: int
    node: int
    source: str
    target: str
    folder: bool
    replaced: int
    parent: int
    name: str


class Settled(NamedTuple):
    """The rename is done, or given up with the source as it was."""

    serial: int


Record = Made | Moved | Unlinked | Forgotten | Changed | Opened | Answered | Released | Clean | Intent | Settled

LETTERS: dict[str, type[Record]] = {
    "N": Made,
    "M": Moved,
    "U": Unlinked,
    "F": Forgotten,
    "A": Changed,
    "O": Opened,
    "Q": Answered,
    "R": Released,
    "C": Clean,
    "I": Intent,
    "S": Settled,
}
_letter = {kind: letter for letter, kind in LETTERS.items()}
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def encode(record: Record) -> bytes:
    """One line, with its newline."""
    if len(record) == 1:  # a number: of the calls that are made most, and JSON's encoder takes ten times as long
        return _line(b'["%s",%d]' % (_letter[type(record)].encode(), record[0]))
    return sealed([_letter[type(record)], *record])


def sealed(fields: list[object]) -> bytes:
    return _line(_encode(fields).encode())


def _line(text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text), text)


def opened_seal(line: bytes) -> list[object] | None:
    """The fields of a line; None when it is torn or damaged."""
    text = line[9:].rstrip(b"\n")
    try:
        if int(line[:8], 16) != zlib.crc32(text):
            return None
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, list) and fields else None  # pyright: ignore[reportUnknownVariableType]


def decode(line: bytes) -> Record | None:
    """None: damaged, or of no kind that this version knows."""
    fields = opened_seal(line)
    kind = LETTERS.get(str(fields[0])) if fields else None
    if fields is None or kind is None:
        return None
    try:
        return kind(*fields[1:])  # pyright: ignore[reportArgumentType]
    except TypeError:
        return None
