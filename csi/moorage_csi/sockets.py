"""Unix sockets that only their owner can open. Without gRPC: the mounter does not load it."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from moorage import errors


@contextmanager
def fresh(endpoint: str) -> Generator[Path]:
    """The path of the socket to make now, an old one removed; what is made meanwhile has mode 0600."""
    path = Path(endpoint.removeprefix("unix://"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        yield path
    finally:
        os.umask(mask)


_CLASSES: Mapping[str, type[errors.MoorageError]] = {
    cls.code: cls for cls in (*errors.Retry.__subclasses__(), *errors.MoorageError.__subclasses__())
}


def error(code: str, message: str) -> errors.MoorageError:
    """The error that the other side raised, from the name of its gRPC code."""
    return _CLASSES.get(code, errors.MoorageError)(message)
