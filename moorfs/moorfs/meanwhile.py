"""What the leader reads next, and what he does while the engine works on a small request of his: he waits with the
lead, and looks whether anybody wants something.

The kernel gives node numbers back (FORGET) after every unlink and whenever it likes, and nobody waits for that: such a
request is put aside until nobody wants anything else, or is done while an unlink waits for the engine. (Of all nodes an
unlink locks none but those that the kernel holds for it, so what is forgotten meanwhile is none of them.) What can be
answered without waiting is; for any other request the lead is given up, and what was read goes with it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from moorfs import wire
from moorfs.kernel import EndedError, Kernel, buffer
from moorfs.lead import Lead
from moorfs.message import Request, decode

SILENT = frozenset((wire.FORGET, wire.BATCH_FORGET, wire.NOTIFY_REPLY))
"""Requests that nobody waits for."""
_MOST = 256


class Meanwhile:
    """Used by who has the lead."""

    def __init__(self, kernel: Kernel, lead: Lead) -> None:
        self._kernel = kernel
        self._lead = lead
        self._room = buffer()
        self._left: deque[Request] = deque()
        self._silent: deque[Request] = deque()
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
            return self._left.popleft()
        while request := self._asked(room):
            if request.opcode not in SILENT:
                return request
            self._silent.append(_kept(request))
        return self._silent.popleft() if self._silent else None

    def _asked(self, room: memoryview) -> Request | None:
        """With something put aside only what comes at once, and nothing when that is much."""
        if len(self._silent) >= _MOST:
            return None
        length = self._kernel.read(room, sleep=not self._silent)
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
        request = decode(self._room, length) if length else None
        if request and request.opcode in SILENT:
            self._silent.append(_kept(request))
            return True
        if request and self.quick(request):
            return True
        if request:
            self._left.append(_kept(request))
        self._lead.give_up()
        return False

    def _tidy(self) -> None:
        """It may have to wait for a lock, and then the lead is gone."""
        while self.forget and self._silent and self._lead.held:
            self.forget(self._silent.popleft())

    def _read(self) -> int:
        try:
            return self._kernel.read_now(self._room)
        except EndedError:  # who reads next learns that
            return 0


def _kept(request: Request) -> Request:
    """With a body that outlives the room it came in."""
    return replace(request, body=memoryview(bytes(request.body)))
