"""What of the pool is not promised to anybody yet.

A reserved image has all of its blocks, so free blocks are free for new ones; but a block that a snapshot or a clone
has too must be copied before it is written to, and the copy takes a free block. So the room for new volumes is what
is free less the blocks that writable images share. Writing takes from both alike: the difference stays, which is why
an old figure never promises too much, and why a tick needs no walk over all images.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moorage import imagesize
from moorage.errors import NoCapacity
from moorage_operator.agent import extents

log = logging.getLogger(__name__)

_FRESH = 300.0  # seconds; what writers have copied since is room that is offered this much later
_FRESH_ENOUGH = 15.0  # before a refusal
_LOOK = 10.0  # seconds for one image
_BUDGET = 15.0  # seconds for all of them, before the heartbeat is missed; who is left out gets a turn next time


@dataclass(slots=True)
class Promise:
    """Bytes held for work under way."""

    bytes: int


@dataclass(frozen=True, slots=True)
class _Figure:
    shared: int
    at: float


class Room:
    """Blocking. `images` are those that may be written to; `sharing` tells whether any may share blocks at all.

    Who holds `taking` takes space, for minutes perhaps; how much there is can be asked meanwhile.
    """

    def __init__(self, root: Path, images: Callable[[], Iterable[Path]], sharing: Callable[[], bool]) -> None:
        self.taking = threading.RLock()
        self._figuring = threading.RLock()
        self._root = root
        self._images = images
        self._sharing = sharing
        self._figures: dict[Path, _Figure] = {}
        self._promises: list[Promise] = []

    def space(self) -> tuple[int, int]:
        """Bytes of the pool, and those that are free and promised to nobody (negative when too much is promised)."""
        with self._figuring:
            # In this order: what is written in between then counts twice, and never not at all.
            spoken_for = self.promised() + sum(promise.bytes for promise in self._promises)
            figures = os.statvfs(self._root)
        return figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize - spoken_for

    def promised(self, fresh: float = _FRESH) -> int:
        """Bytes that writable images may still need for copies of shared blocks."""
        with self._figuring:
            images = set(self._images()) if self._sharing() else set[Path]()
            for image in self._figures.keys() - images:
                del self._figures[image]
            ends = time.monotonic() + _BUDGET
            by_age = sorted(images, key=lambda image: self._figures[image].at if image in self._figures else 0.0)
            return imagesize.copies_bytes(sum(self._shared(image, fresh, ends) for image in by_age))

    def check(self, need: int) -> None:
        """Raises NoCapacity when `need` bytes more cannot be promised."""
        if self._left() >= need:
            return
        self.promised(_FRESH_ENOUGH)
        left = self._left()
        if left < need:
            raise NoCapacity(
                f"the pool has {max(0, left)} bytes free and {need} are needed: "
                f"enlarge the pool, or delete volumes{' or snapshots' if self._sharing() else ''}"
            )

    @contextmanager
    def promise(self, need: int) -> Generator[Promise]:
        """Hold `need` bytes for what goes on within; its bytes may be changed under `taking`."""
        promise = Promise(need)
        with self.taking:
            self.check(need)
            self._promises = [*self._promises, promise]
        try:
            yield promise
        finally:
            with self.taking:
                self._promises = [each for each in self._promises if each is not promise]

    def renew(self, image: Path) -> int:
        """Look anew, after blocks came to be shared; the image's shared bytes."""
        with self._figuring:
            return self._shared(image, 0.0, time.monotonic() + _LOOK)

    def _left(self) -> int:
        return self.space()[1] - imagesize.POOL_RESERVE

    def _shared(self, image: Path, fresh: float, ends: float) -> int:
        """An old figure, or all of the image's blocks, when there is no time to look: never too little."""
        figure, now = self._figures.get(image), time.monotonic()
        if figure and (now - figure.at < fresh or now >= ends):
            return figure.shared
        try:
            shared = extents.look(image, min(_LOOK, ends - now)).shared
        except FileNotFoundError:
            return 0
        except OSError as error:
            log.warning("%s: how much it shares cannot be told (%s), so all of it is counted", image, error)
            shared = image.stat().st_blocks * 512
        if now < ends:
            self._figures[image] = _Figure(shared, now)
        return shared
