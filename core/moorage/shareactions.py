"""What a StorageVolume asks of a share agent, and what the agent may do for it: each action states an end."""

from dataclasses import dataclass

from moorage.adoption import Adoption
from moorage.clone import Asked, Origin
from moorage.ganesha import Export
from moorage.model import RootFolder, Squash
from moorage.record import Record
from moorage.wanted import WantedVolume


@dataclass(frozen=True, slots=True)
class Wanted(WantedVolume):
    """What a StorageVolume asks of this server.

    `export_id` is the one in its status, 0 for a volume that was never served: one that was served has data. `root` and
    `sparse` (take room as it is filled) are for a new image only.
    """

    export_id: int = 0
    adoption: Adoption | None = None
    source: Asked | None = None
    squash: Squash = Squash.none
    root: RootFolder | None = None
    sparse: bool = False

    def new_record(self, export_id: int, sparse: bool) -> Record:
        """Of a share that was made for it."""
        return Record(
            id=self.id,
            namespace=self.namespace,
            name=self.name,
            uid=self.uid,
            export_id=export_id,
            size=self.size,
            source=str(self.source or ""),
            squash=self.squash,
            sparse=sparse,
        )

    def taken_over(self, kept: Record, export_id: int) -> Record:
        """Of a kept share that becomes its own: all but whose it is stays."""
        owner = {"id": self.id, "namespace": self.namespace, "name": self.name, "uid": self.uid}
        fresh = {"export_id": export_id, "retained": False, "former": (*kept.former, kept.id)}
        return kept.model_copy(update={**owner, **fresh})


@dataclass(frozen=True, slots=True)
class EnsureImage:
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class EnsureCloned:
    """An image that shares its blocks with the origin's."""

    wanted: Wanted
    origin: Origin


@dataclass(frozen=True, slots=True)
class EnsureAdopted:
    """The kept share under the id and the name of the volume that wants it."""

    wanted: Wanted
    source: Record


@dataclass(frozen=True, slots=True)
class EnsureMounted:
    id: str


@dataclass(frozen=True, slots=True)
class EnsureGrown:
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class EnsureSquash:
    """Whom the server takes for nobody, written down: the export follows."""

    id: str
    squash: Squash


@dataclass(frozen=True, slots=True)
class EnsureExported:
    export: Export


@dataclass(frozen=True, slots=True)
class EnsureUnexported:
    export_id: int


@dataclass(frozen=True, slots=True)
class EnsureUnmounted:
    id: str


@dataclass(frozen=True, slots=True)
class EnsureRetained:
    """Say in the record whether the share is kept out of service."""

    id: str
    retained: bool = True


@dataclass(frozen=True, slots=True)
class EnsureAbsent:
    id: str


Action = (
    EnsureImage
    | EnsureCloned
    | EnsureAdopted
    | EnsureMounted
    | EnsureGrown
    | EnsureSquash
    | EnsureExported
    | EnsureUnexported
    | EnsureUnmounted
    | EnsureRetained
    | EnsureAbsent
)
