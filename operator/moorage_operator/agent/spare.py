"""Room that a pool which promises more than it holds keeps for mounting its volumes.

A volume that was not unmounted cleanly replays its log when it is mounted, and writes blocks that its sparse image may
not have yet. On a pool that is full to the last block it could not be mounted any more, so that nobody could remove
files from it either. The room is given when that happens, and taken again once the pool has some.
"""

import logging
import os
import threading
from pathlib import Path

from moorage import imagesize
from moorage.errors import MoorageError
from moorage_operator.agent.allocation import allocate

log = logging.getLogger(__name__)

_COMFORT = 4  # so many times the room must be free before it is taken


class Spare:
    """A file with blocks of its own, that nobody writes to. Blocking."""

    def __init__(self, root: Path) -> None:
        self._file = root / "spare"
        self._changing = threading.Lock()

    def ensure(self) -> None:
        """There, if the pool has room for it now."""
        with self._changing:
            figures = os.statvfs(self._file.parent)
            size = imagesize.spare_bytes(figures.f_blocks * figures.f_frsize)
            if self._bytes() or figures.f_bavail * figures.f_frsize < _COMFORT * size:
                return
            try:
                allocate(self._file, size, back_to=None)
            except (MoorageError, OSError) as error:
                log.warning("no room is kept for mounting volumes on a full pool: %s", error)

    def give(self) -> bool:
        """Free again what was kept; False when there was nothing."""
        with self._changing:
            kept = self._bytes()
            if kept:
                os.truncate(self._file, 0)  # an unlinked file's blocks may come back later
                log.warning("the pool is full: %d bytes that were kept for mounting volumes are free now", kept)
            return bool(kept)

    def ensure_absent(self) -> None:
        """Where every volume is reserved none is needed."""
        with self._changing:
            self._file.unlink(missing_ok=True)

    def _bytes(self) -> int:
        try:
            return self._file.stat().st_blocks * 512
        except FileNotFoundError:
            return 0
