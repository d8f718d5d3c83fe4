"""The engine as the parts of moorfs see it: objects, one bucket of them, and errors. Values and protocols, no code."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class FileError(OSError):
    """What a caller gets: `FileError(errno.ENOENT, "why, for the log")`. Every refusal is one of these."""


class StoreError(FileError):
    """The engine said no, or did not answer; `errno` is what the caller gets, `s3_code` the engine's error code."""

    def __init__(self, errno: int, message: str, status: int = 0, s3_code: str = "") -> None:
        super().__init__(errno, message)
        self.status = status
        self.s3_code = s3_code


class Missing(StoreError):
    """No such object (ENOENT)."""


class Undone(StoreError):
    """The engine said that it had done what it has not (EIO): do it anew."""


class Changed(StoreError):
    """A condition (If-Match, If-None-Match) was not met: somebody else wrote the object (ESTALE)."""


@dataclass(slots=True)  # not frozen, which takes four times as long to make; nobody changes one
class Head:
    """An object without its bytes. `metadata`: the x-amz-meta-* headers by their lowercase ends; mtime: Last-Modified
    in nanoseconds."""

    size: int
    etag: str
    mtime: int
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    content_type: str = ""
    plain: bool = True
    """It has no tags, and no headers of its own beside these."""


@dataclass(slots=True)  # as Head
class Listed:
    """One object of a listing; `mtime` in nanoseconds."""

    key: str
    size: int
    etag: str
    mtime: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: objects, common prefixes (ending in '/'), and the token of the next page."""

    objects: tuple[Listed, ...] = ()
    prefixes: tuple[str, ...] = ()
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """`length` bytes of an open file, from `offset`."""

    fd: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Condition:
    """`match`: only over the object with this ETag; `absent`: only where there is none. Neither: always."""

    match: str | None = None
    absent: bool = False


ALWAYS = Condition()


class ObjectStore(Protocol):
    """One bucket. Keys are whole. Every call retries what may be repeated, within its deadline, and raises StoreError.

    Before it waits for the network it calls the hook it was made with, so that another thread can take the lead.
    """

    def head(self, key: str) -> Head: ...
    def heads(self, keys: Sequence[str]) -> Generator[tuple[float, Head | Missing | None]]:
        """Of many, in their order: when each was asked for (time.monotonic()), and what came. None says only that
        `head` must be asked."""
        ...

    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        """`sink.length` bytes of the object from `start` into the sink; Changed when `match` is another ETag."""
        ...

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]: ...
    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        """The new ETag; the engine has stored exactly these bytes (a checksum went along, the answer was checked)."""
        ...

    def copy(
        self,
        source: str,
        key: str,
        metadata: Mapping[str, str] | None = None,
        match: str | None = None,
        onto: Condition = ALWAYS,
    ) -> str:
        """Server-side. `metadata` replaces the object's; None keeps it. `match`: the source's ETag. The new ETag.

        `onto`: of what is at `key`; most engines do not look at it.
        """
        ...

    def delete(self, key: str, match: str | None = None) -> None:
        """Also fine when there is none. `match`: only the object with this ETag, else Changed."""
        ...

    def delete_many(self, keys: Sequence[str]) -> None: ...
    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page: ...
    def begin(self, key: str, metadata: Mapping[str, str]) -> "Upload": ...
    def resume(self, key: str, upload: str) -> "Upload":
        """An upload that another process began, to abort it."""
        ...


class Upload(Protocol):
    """A multipart upload. Parts may be put by several threads, in any order, and again (the last one counts)."""

    @property
    def id(self) -> str:
        """What the engine calls it."""
        ...

    def part(self, number: int, body: Range) -> None:
        """`number` from 1; all but the last are at least 5 MiB."""
        ...

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        """A part out of an object that is there (UploadPartCopy); StoreError ENOSYS where the engine cannot."""
        ...

    def same(self, number: int, body: Range) -> bool:
        """Whether the engine's part holds these bytes; False where that is not known."""
        ...

    def complete(self, condition: Condition = ALWAYS) -> str:
        """The object's ETag."""
        ...

    def abort(self) -> None: ...
