"""Room that was promised on servers since they last told how much they have.

A server's free bytes are as old as its last word. Of what was placed on it since, it knows nothing yet: a burst would
see the same room again and again. A promise ends when its share is served and the server has spoken after that, or
had time to: a server does not tell of small changes.
"""

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from moorage import berth, engines
from moorage.actions import Manifest, part
from moorage.errors import InvalidInput
from moorage.quantity import parse
from moorage_operator.store import Name, name_of

Server = tuple[str, str]  # backend, server
SPOKEN_FOR = 60.0  # seconds after which a served share is in its server's word, or too small to be told


@dataclass(frozen=True, slots=True)
class Promise:
    """`served`: the server has made the share, and may have told its room without it."""

    server: Server
    size: int
    served: bool = False


class Promises:
    """By volume, and summed by server."""

    def __init__(self) -> None:
        self._of: dict[Name, Promise] = {}
        self._sums: dict[Server, int] = {}
        self._served: defaultdict[Server, set[Name]] = defaultdict(set)
        self._told: dict[Server, tuple[int, int]] = {}
        self._ending: deque[tuple[float, Name, Promise]] = deque()

    def sums(self) -> Mapping[Server, int]:
        """Bytes by server, as they are now."""
        while self._ending and self._ending[0][0] <= time.monotonic():
            _, name, promise = self._ending.popleft()
            if self._of.get(name) is promise:
                self.drop(name)
        return self._sums

    def put(self, volume: Manifest) -> None:
        """A volume as it is now. One that was served when it was first seen is in its server's word already."""
        name, status = name_of(volume), part(volume, "status")
        placed, state = part(status, "placement"), part(status, "share").get("state")
        if not placed:
            return  # not yet: what was promised for it a moment ago may still be on its way to its status
        pooled = placed.get("engine") in (engines.GANESHA, engines.LOCAL)
        if not pooled or status.get("release"):
            self.drop(name)
        elif state == "Served":
            if name in self._of:
                self._serve(name)
        else:
            self.make(name, (placed["backend"], placed.get("server", "")), _size(volume))

    def make(self, name: Name, server: Server, size: int) -> None:
        """A volume of `size` bytes is placed there."""
        if name in self._of and self._of[name].served:
            return  # it was served before, and is repaired
        self.drop(name)
        self._of[name] = Promise(server, berth.taken(size))
        self._sums[server] = self._sums.get(server, 0) + berth.taken(size)

    def drop(self, name: Name) -> None:
        """Unknown is fine."""
        known = self._of.pop(name, None)
        if known is None:
            return
        self._served[known.server].discard(name)
        left = self._sums[known.server] - known.size
        if left:
            self._sums[known.server] = left
        else:
            del self._sums[known.server]

    def told(self, backend: Manifest) -> bool:
        """A backend as it is now; gives whether a server has spoken of its room: what it serves is in its word."""
        found: list[Manifest] = part(backend, "status").get("servers") or []
        spoken = False
        for each in found:
            server = backend["metadata"]["name"], each["name"]
            word = each.get("freeBytes", 0), each.get("promisedBytes", 0)
            if self._told.get(server) != word:
                self._told[server], spoken = word, True
                for name in list(self._served.pop(server, ())):
                    self.drop(name)
        return spoken

    def _serve(self, name: Name) -> None:
        known = self._of[name]
        if not known.served:
            self._of[name] = promise = Promise(known.server, known.size, served=True)
            self._served[known.server].add(name)
            self._ending.append((time.monotonic() + SPOKEN_FOR, name, promise))


def _size(volume: Manifest) -> int:
    try:
        return parse(part(volume, "spec").get("size") or "")
    except InvalidInput:
        return 0
