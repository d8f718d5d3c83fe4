"""What the worker is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from moorage.errors import InvalidInput


@dataclass(frozen=True)  # no slots: the class attributes are the defaults below
class Settings:
    """`told`: the termination log. `ready`: a file that says that the filer was proved.

    Times in seconds. `idle`: with nothing to do for so long, the worker ends; `life`: at the latest.
    """

    pod: str
    backend: str
    node: str
    root: Path
    told: Path
    ready: Path | None
    log_level: str
    idle: float = 30.0
    life: float = 1800.0
    mount_deadline: float = 30.0
    lock_patience: float = 120.0

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Raises InvalidInput when a name is missing or a value cannot be read."""
        for name in ("POD_NAME", "MOORAGE_BACKEND"):
            if not environ.get(name):
                raise InvalidInput(f"{name} is not set: the operator sets it in the pods that it starts")
        return cls(
            pod=environ["POD_NAME"],
            backend=environ["MOORAGE_BACKEND"],
            node=environ.get("NODE_NAME", ""),
            root=Path(environ.get("MOORAGE_FILER_ROOT", "/export")),
            told=Path(environ.get("MOORAGE_TERMINATION_LOG", "/dev/termination-log")),
            ready=Path(environ["MOORAGE_FILER_READY"]) if environ.get("MOORAGE_FILER_READY") else None,
            log_level=environ.get("MOORAGE_LOG_LEVEL", "INFO").upper(),
            idle=_seconds(environ, "MOORAGE_FILER_IDLE", cls.idle),
            mount_deadline=_seconds(environ, "MOORAGE_FILER_MOUNT_DEADLINE", cls.mount_deadline),
        )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    if text and not text.isdigit():
        raise InvalidInput(f"{name}={text!r} is not a number of seconds")
    return float(text) if text else default
