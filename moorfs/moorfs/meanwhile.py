"""What the leader reads next, and what he does while the engine works on a small request of his: he waits with the
lead, and looks whether anybody wants something.

The kernel gives node numbers back (FORGET) after every unlink and whenever it likes, and nobody waits for that: such a
request is put aside until nobody wants anything else, or is done while an unlink waits for the engine. (Of all nodes an
unlink locks none but those that the kernel holds for it, so what is forgotten meanwhile is none of them.) What can be
answered without waiting is; for any other request the lead is given up, and what was read goes with it.
"""

from collections import deque
from collections.abc import Callable

from moorfs import wire
from moorfs.kernel import EndedError, Kernel, buffer
from moorfs.lead import Lead
from moorfs.message import Request, decode, opcode

SILENT = frozenset((wire.FORGET, wire.BATCH_FORGET, wire.NOTIFY_REPLY))
"""Requests that nobody waits for."""
_MOST = 256


class Meanwhile:
    """Used by who has the lead. What is put aside is bytes, as they came."""

    def __init__(self, kernel: Kernel, lead: Lead) -> None:
        self._kernel = kernel
        self._lead = lead
        self._room = buffer()
        self._left: deque[memoryview] = deque()
        self._silent: deque[memoryview] = deque()
        self.forget: Callable[[Request], None] | None = None
        """Does a silent request while the one under way waits; None: it must not."""
        self.quick: Callable[[Request], bool] = lambda _: False
        """Answers a request if that needs no waiting and no lock."""

    def __len__(self) -> int:
        """Requests that were read and not begun."""
        return len(self._left) + len(self._silent)

    def next(self, room: memoryview) -> Request | None:
        """In `room`, good until the next is asked for. None: nothing is read any more."""
        if self._left:
            return _decoded(self._left.popleft())
        while self._silent:
            length = self._kernel.read(room, sleep=False) if len(self._silent) < _MOST else 0
            if not length:
                return _decoded(self._silent.popleft())
            if opcode(room) not in SILENT:
                return decode(room, length)
            self._silent.append(_copy(room, length))
        length = self._kernel.read(room)
        if length and opcode(room) in SILENT:
            self._silent.append(_copy(room, length))
            return self.next(room)
        return decode(room, length) if length else None

    def until(self, fd: int) -> None:
        """Returns when `fd` can be read, with the lead, or without it when somebody else wants it."""
        while self._lead.held:
            self._tidy()
            if self._lead.held and not self._looked(fd):
                return

    def _looked(self, fd: int) -> bool:
        """Whether there is reason to look again: `fd` has nothing yet. With the lead, or it was given up."""
        ready = self._kernel.idle_until(fd)
        if ready:
            return False
        length = 0 if ready is None else self._read()
        if length and opcode(self._room) in SILENT:
            self._silent.append(_copy(self._room, length))
            return True
        if length and self.quick(decode(self._room, length)):
            return True
        if length:
            self._left.append(_copy(self._room, length))
        self._lead.give_up()
        return False

    def _tidy(self) -> None:
        """It may have to wait for a lock, and then the lead is gone."""
        while self.forget and self._silent and self._lead.held:
            self.forget(_decoded(self._silent.popleft()))

    def _read(self) -> int:
        try:
            return self._kernel.read_now(self._room)
        except EndedError:  # who reads next learns that
            return 0


def _copy(room: memoryview, length: int) -> memoryview:
    return memoryview(bytes(room[:length]))


def _decoded(copy: memoryview) -> Request:
    return decode(copy, len(copy))
