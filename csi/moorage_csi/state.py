"""What the node plugin remembers: one small JSON file per volume, so that a restarted plugin knows what it did.

Written by rename, so a crash leaves the old or the new file. Not synced to the disk: after a power cut the mounts are
gone as well, and a file that cannot be read counts as absent. The mount table stays the truth about what is mounted.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from moorage import names
from moorage.view import View

log = logging.getLogger(__name__)

VERSION = 3
# Version 1 knew nothing of folders, host mounts and fingerprints of publications, version 2 nothing of types and
# sources of host mounts: all have defaults.
_READABLE = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Publication:
    """One target of a volume and how it was asked for."""

    readonly: bool
    access_mode: str
    folder: str = "/"
    fingerprint: str = ""  # of the request; empty when it was not remembered
    host: str = ""  # where else on the node the same is mounted, for a StorageAttachment
    device: str = ""  # of the mount at `host`: what has another one there is not ours
    fstype: str = ""  # of that mount; empty in what version 2 wrote
    source: str = ""
    attachment: str = ""  # <namespace>/<name> of that StorageAttachment

    def of(self, view: View) -> "Publication":
        """The same of a view of the volume, which may be read-only and of a folder."""
        return replace(self, folder=view.folder, readonly=self.readonly or view.readonly)

    def differs(self, other: "Publication") -> bool:
        """Whether the two were asked for in different ways (CSI spec: P1 != P2)."""
        if self.fingerprint and other.fingerprint:
            return self.fingerprint != other.fingerprint
        return (self.readonly, self.access_mode) != (other.readonly, other.access_mode)

    def __str__(self) -> str:
        return f"{'read-only' if self.readonly else 'writable'}, {self.access_mode}, folder {self.folder}"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that is staged, or an inline volume that is published."""

    volume_id: str
    staging: str  # where the volume itself is mounted; shared by all inline volumes of one StorageVolume and group
    inline: bool = False
    fingerprint: str = ""  # the plan it was staged with
    targets: dict[str, Publication] = field(default_factory=dict[str, Publication])
    secret: str = ""  # of a bucket: <namespace>/<name> of the Secret with its key, where the plan says so
    handle: str = ""  # of what an inline volume shows, whose own id says nothing

    @property
    def full_name(self) -> str:
        """<namespace>/<name> of the StorageVolume (or of a Bucket that a pod mounts inline); "" when it is unknown."""
        namespace, _, rest = (self.handle if self.inline else self.volume_id).partition("/")
        name, _, id = rest.partition("/")
        return f"{namespace}/{name}" if id else ""

    def published(self, target: str, publication: Publication) -> "Volume":
        return self._with({**self.targets, target: publication})

    def unpublished(self, target: str) -> "Volume":
        return self._with({path: publication for path, publication in self.targets.items() if path != target})

    def _with(self, targets: dict[str, Publication]) -> "Volume":
        return replace(self, targets=targets)


class Store:
    """The directory of those files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.disks = directory.parent / names.LOCAL_DISKS
        """Where the node's agent mounts local volumes."""

    def load(self, volume_id: str) -> Volume | None:
        return _read(self._file(volume_id))

    def all(self) -> Iterator[Volume]:
        for file in sorted(self._directory.glob("*.json")):
            volume = _read(file)
            if volume is not None:
                yield volume

    def save(self, volume: Volume) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file(volume.volume_id)
        scratch = file.with_suffix(f".{os.getpid()}.tmp")
        scratch.write_text(json.dumps({"version": VERSION, **asdict(volume)}), encoding="utf-8")
        scratch.replace(file)

    def delete(self, volume_id: str) -> None:
        self._file(volume_id).unlink(missing_ok=True)

    def _file(self, volume_id: str) -> Path:
        # Ids hold slashes and may be hostile: never part of a path.
        return self._directory / f"{hashlib.sha256(volume_id.encode()).hexdigest()[:32]}.json"


def _read(file: Path) -> Volume | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data.pop("version") not in _READABLE:
            raise ValueError("another version")
        return _volume(data)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s cannot be read (%s): going by the mount table alone", file, error)
        return None


def _volume(data: dict[str, Any]) -> Volume:
    """What a later version may have written more is left out: one that is rolled back knows its volumes still."""
    targets = {str(path): Publication(**_known(Publication, each)) for path, each in data.pop("targets").items()}
    return Volume(**_known(Volume, data), targets=targets)


def _known(kind: type[Volume | Publication], data: dict[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {key: value for key, value in data.items() if key in names}
