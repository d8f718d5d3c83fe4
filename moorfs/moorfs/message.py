"""A request of the kernel, and the answer to it."""

from collections.abc import Callable
from dataclasses import dataclass

from moorfs import wire
from moorfs.ports import Caller

Undo = Callable[[], object]


@dataclass(slots=True)
class Request:
    """A request as it came; `body` is what follows the header, valid until the request is answered."""

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int
    body: memoryview

    @property
    def caller(self) -> Caller:
        return Caller(self.uid, self.gid, self.pid, bool(self.unique & wire.RESENT), self.unique & ~wire.RESENT)


@dataclass(slots=True)
class Answer:
    """`undo` takes back what the answer gave, when nobody is there to get it."""

    data: bytes | memoryview = b""
    undo: Undo | None = None


DONE = Answer()


def decode(buffer: memoryview, length: int) -> Request:
    """The request in the first `length` bytes."""
    _, opcode, unique, node, uid, gid, pid, extensions, _ = wire.IN_HEADER.unpack_from(buffer)
    return Request(opcode, unique, node, uid, gid, pid, buffer[wire.IN_HEADER.size : length - 8 * extensions])
