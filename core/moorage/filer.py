"""A volume on a filer is a folder and its record: what is wanted and seen, and what can be done (`filerplan` says)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from moorage import folder as folders
from moorage.adoption import LISTED
from moorage.folder import FolderRecord
from moorage.model import Kept, NfsEngine, RootFolder
from moorage.wanted import WantedVolume


@dataclass(frozen=True, slots=True)
class Wanted(WantedVolume):
    """What a StorageVolume asks of the filer.

    `served`: nodes were told to mount it, so it has data. `adopt`: a kept share's id, or a folder that begins with '/'.
    `refused`: what it asks that no filer does, in a sentence. `root` None: what the filer makes of mode 0777.
    """

    served: bool = False
    adopt: str = ""
    refused: str = ""
    root: RootFolder | None = None


class Found(Enum):
    """What is where the folder shall be."""

    nothing = auto()
    folder = auto()
    other = auto()  # a file, a symbolic link or one on the way, or another file system


@dataclass(frozen=True, slots=True)
class Seen:
    """What is on the filer. `found`: at the record's folder, or at `target` when there is no record."""

    record: FolderRecord | None = None
    found: Found = Found.nothing
    staged: bool = False
    trashed: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """Make the empty folder, out of sight."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Write:
    record: FolderRecord


@dataclass(frozen=True, slots=True)
class Publish:
    """Put what is staged where the record says; whatever lies there already stays, and is an error."""

    record: FolderRecord


@dataclass(frozen=True, slots=True)
class Adopt:
    """The record of a kept share under the id and the name of the volume that wants it."""

    record: FolderRecord
    source: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """The folder, out of sight again."""

    record: FolderRecord


@dataclass(frozen=True, slots=True)
class NameArchive:
    """Note under which free name the folder is archived."""

    record: FolderRecord


@dataclass(frozen=True, slots=True)
class Trash:
    """What is staged, or else the folder, into the trash: its name is free from here on."""

    id: str
    folder: str
    staged: bool = False


@dataclass(frozen=True, slots=True)
class Empty:
    """Remove what is in the trash, in pieces."""

    id: str


@dataclass(frozen=True, slots=True)
class Forget:
    id: str


Action = Stage | Write | Publish | Adopt | SetAside | NameArchive | Trash | Empty | Forget


@dataclass(frozen=True, slots=True)
class Around:
    """The filer's backend, all records on it, and the ids of all StorageVolumes that live."""

    backend: str
    engine: NfsEngine
    records: Mapping[str, FolderRecord]
    living: frozenset[str]

    def owner(self, record: FolderRecord) -> str:
        """The living StorageVolume that has the folder, or ""."""
        return f"StorageVolume {record.namespace}/{record.name}" if record.id in self.living else ""

    def overlapping(self, folder: str, own: str) -> FolderRecord | None:
        return folders.overlapping(folder, self.records.values(), own)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order; the trouble that they cannot cure, if any; and what is to be told besides (`note`)."""

    actions: tuple[Action, ...] = ()
    reason: str = ""
    message: str = ""
    note: str = ""

    @classmethod
    def stuck(cls, reason: str, message: str) -> Self:
        return cls((), reason, message)


def target(wanted: Wanted, engine: NfsEngine) -> str:
    """Where the folder of a volume without a record shall be; raises InvalidInput when none may be there."""
    if wanted.adopt.startswith("/"):
        return folders.checked(wanted.adopt.strip("/"), engine.path)
    folder = folders.expand(engine.folder, wanted.namespace, wanted.name, wanted.id)
    return folders.checked(folder, engine.path)


def is_served(wanted: Wanted, seen: Seen) -> bool:
    record = seen.record
    if not record or record.uid != wanted.uid or record.retained:
        return False
    return seen.found is Found.folder and not seen.staged


def kept(around: Around) -> tuple[Kept, ...]:
    """What can be adopted here by its id, for the server's status."""
    free = (each for each in around.records.values() if each.folder and not around.owner(each))
    return tuple(
        Kept(id=each.id, namespace=each.namespace, name=each.name, size_bytes=each.size)
        for each in sorted(free, key=lambda each: each.id)[:LISTED]
    )


def unfinished(records: Iterable[FolderRecord], living: frozenset[str]) -> frozenset[str]:
    """Removals that began for a StorageVolume that is gone by now."""
    return frozenset(each.id for each in records if not each.folder and each.id not in living)
