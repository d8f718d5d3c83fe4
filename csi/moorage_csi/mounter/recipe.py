"""What the mounter needs to make a mount, again and again."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moorage import names
from moorage.errors import InvalidInput
from moorage_csi.mounter.writeback import Writeback


@dataclass(frozen=True, slots=True)
class Key:
    """A bucket's key; its repr hides the secret half."""

    access: str
    secret: str = field(repr=False)

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> "Key":
        """Out of a Secret's data; raises InvalidInput when there is none that a program could be given."""
        wanted = (names.SECRET_ACCESS_KEY_ID, names.SECRET_SECRET_ACCESS_KEY)
        access, secret = (secrets.get(name, "") for name in wanted)
        if not access or not secret or any(c in access + secret for c in "\n\r\0") or ":" in access:
            raise InvalidInput(f"the bucket's Secret needs {' and '.join(wanted)}")
        return cls(access, secret)


def digest(target: str) -> str:
    """Stands for a target in names of files."""
    return hashlib.sha256(target.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """What a program is started with: `folder` holds its files, `device` is the FUSE connection handed to it."""

    folder: Path
    device: int | None = None
    taking_over: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one mount. `argv` and `files` (name -> text, mode 0600) get what they need to know; the key is
    nowhere but in files. `connection`: the mounter itself opens the FUSE connection and keeps it. `look`: raises what
    the engine says of the bucket, NotReady when it is gone. `check`: the same, for a program that shall not be started
    in vain. `writeback`: of the folder of its files, for a program that stores after close.
    """

    volume_id: str
    target: str
    kind: str
    fstype: str
    source: str
    parameters: Mapping[str, str]
    secrets: Mapping[str, str] = field(compare=False, repr=False)
    argv: Callable[[Place], Sequence[str]] = field(compare=False, repr=False)
    files: Callable[[Place], Mapping[str, str]] = field(compare=False, repr=False)
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda _: {}, compare=False, repr=False)
    connection: bool = field(default=False, compare=False)
    flags: Sequence[str] = field(default=(), compare=False)  # of the mount, where the mounter makes it
    look: Callable[[], Awaitable[None]] | None = field(default=None, compare=False, repr=False)
    check: Callable[[], Awaitable[None]] | None = field(default=None, compare=False, repr=False)
    writeback: Callable[[Path], Writeback] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Of its folder among the mounter's own."""
        return digest(self.target)[:24]

    @property
    def hidden(self) -> Sequence[str]:
        """What must never appear in a log."""
        return (self.secrets.get(names.SECRET_SECRET_ACCESS_KEY, ""),)
