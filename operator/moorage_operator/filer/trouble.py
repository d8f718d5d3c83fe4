"""What the filer's answers mean to a volume, or to the whole backend."""

import errno
import os

from moorage import filermount
from moorage.errors import MoorageError, NoCapacity
from moorage.model import NfsEngine
from moorage_operator.filer.mounting import FilerFailed

_LOST = frozenset({errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EREMOTEIO, errno.ECONNREFUSED, errno.EHOSTUNREACH})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def judged(engine: NfsEngine, error: OSError) -> MoorageError:
    """What the volume is told; raises FilerFailed when the filer is lost, for then nothing else will go either."""
    words = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _LOST:
        raise FilerFailed(filermount.lost(engine, words)) from error
    if error.errno in _REFUSED:
        return FilerFailed(filermount.unwritable(engine, words))
    if error.errno in _FULL:
        return NoCapacity(f"the filer is full ({words}): make room there")
    return MoorageError(f"the filer says: {words} ({error.filename})" if error.filename else f"the filer says: {words}")
