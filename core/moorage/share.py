"""A share of the NFS server: an XFS image on the pool, mounted, exported. What is wanted and seen -> what to do."""

from dataclasses import dataclass, replace
from typing import Self

from moorage import adoption, ganesha
from moorage.actions import Problem
from moorage.adoption import Adoption, Source
from moorage.clone import Asked, Origin
from moorage.ganesha import Export
from moorage.imagesize import usable_bytes
from moorage.model import VolumeOnDelete
from moorage.record import Record
from moorage.shareactions import (
    Action,
    EnsureAbsent,
    EnsureAdopted,
    EnsureCloned,
    EnsureExported,
    EnsureGrown,
    EnsureImage,
    EnsureMounted,
    EnsureRetained,
    EnsureSquash,
    EnsureUnexported,
    EnsureUnmounted,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there: on the pool, in the mount table, in Ganesha. Sizes in bytes, 0 when absent."""

    record: Record | None = None
    image_bytes: int = 0
    fs_bytes: int = 0
    mounted: bool = False
    exported: Export | None = None
    down: bool = False
    """The file system that is mounted has shut down: it answers nothing but errors until it is mounted anew."""
    unfinished: bool = False
    """An image was begun and never finished."""
    id: str = ""
    """Id of the share, also when nothing on the pool tells it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this server mounts shares, and whom it admits: None while that is not known, empty for nobody."""

    export_root: str
    clients: tuple[str, ...] | None

    def mount_point(self, volume_id: str) -> str:
        return f"{self.export_root}/{volume_id}"

    def export(self, record: Record) -> Export:
        clients = self.clients or ()
        return Export(
            record.export_id, self.mount_point(record.id), ganesha.pseudo_path(record.id), clients, record.squash
        )


def with_export(seen: Seen, exported: Export | None) -> Seen:
    """What was seen on the disk, and what Ganesha says."""
    return replace(seen, exported=exported)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order, and the trouble that they cannot cure (a reason and a message), if any."""

    actions: tuple[Action, ...] = ()
    reason: str = ""
    message: str = ""

    @classmethod
    def stuck(cls, reason: str, message: str, *actions: Action) -> Self:
        return cls(actions, reason, message)


Beginning = Source | Origin | Problem | None
"""What a new share begins with: a kept one that it adopts, one whose blocks it shares, or why it cannot (yet)."""


def plan(wanted: Wanted | None, seen: Seen, place: Place | None, beginning: Beginning = None) -> Plan:
    """What to do for one share. `wanted` is None for an orphan: data on the pool that no StorageVolume owns.

    Data is removed only for a volume that is being deleted and released; an orphan is served no more, and kept.
    `place` is None where shares are not exported: one that is mounted is served then. `source` is the share that
    `wanted` adopts, if there is one.
    """
    if wanted is None:
        return Plan((*_out_of_service(seen), *_leftover(seen)))
    if wanted.released is VolumeOnDelete.Delete:
        gone = (EnsureAbsent(wanted.id),) if _on_disk(wanted, seen) else ()
        return Plan((*_out_of_service(seen), *gone))
    if wanted.released is not None:
        mark = (EnsureRetained(wanted.id),) if seen.record and not seen.record.retained else ()
        return Plan((*_out_of_service(seen), *mark))
    return _serve(wanted, seen, place, beginning)


def _leftover(seen: Seen) -> tuple[Action, ...]:
    """An image that was begun for a volume that vanished meanwhile holds room, and nobody's data."""
    begun = seen.unfinished and not seen.record and not seen.image_bytes
    return (EnsureAbsent(seen.id),) if begun else ()


def _serve(wanted: Wanted, seen: Seen, place: Place | None, beginning: Beginning) -> Plan:
    if not seen.record:
        return _without_record(wanted, seen, beginning)
    if seen.record.uid != wanted.uid:  # it was moved here, and a crash came before its owner was written
        return _take_over(wanted, seen.record)
    if not seen.image_bytes:
        return _without_image(wanted, seen)
    if seen.record.retained:
        return Plan((EnsureRetained(wanted.id, retained=False),))
    if not seen.mounted or seen.down:
        # The export must go first, one made over the bare folder too: Ganesha holds on to the directory that it opened.
        return Plan((*_out_of_service(seen), EnsureMounted(wanted.id)))
    return _mounted(wanted, seen, place, seen.record)


def _take_over(wanted: Wanted, record: Record) -> Plan:
    """An id is short: two volumes may have the same, and one tenant must not get another's data by that."""
    if record.namespace != wanted.namespace:
        text = (
            f"share {record.id} on the pool is of another namespace, by the same id: delete this volume, make it again"
        )
        return Plan.stuck("AdoptForbidden", text)
    return Plan((EnsureAdopted(wanted, record),))


def _without_record(wanted: Wanted, seen: Seen, beginning: Beginning) -> Plan:
    """A new share; but never an empty one for a volume that was served: then this is the wrong pool, or a lost one."""
    if wanted.export_id:
        text = f"the pool holds nothing of share {wanted.id}, which was served before: is this the right pool?"
        return Plan.stuck("ShareMissing", f"{text} Bring its pool back, or delete the volume")
    if wanted.deleting:
        return Plan()
    if wanted.adoption:
        return _adopt(wanted, wanted.adoption, beginning)
    if wanted.source and not seen.image_bytes:  # an image without a record is whole, whatever became of its source
        return _clone(wanted, wanted.source, beginning)
    return Plan((EnsureImage(wanted), EnsureMounted(wanted.id)))


def _clone(wanted: Wanted, asked: Asked, beginning: Beginning) -> Plan:
    """Never an empty image where there shall be files."""
    if isinstance(beginning, Origin):
        return Plan((EnsureCloned(wanted, beginning), EnsureMounted(wanted.id)))
    if isinstance(beginning, Problem):
        return Plan.stuck(beginning.reason, beginning.message)
    return Plan.stuck("NotOffered", f"this server cannot make a share from {asked.words}: make a volume without source")


def _adopt(wanted: Wanted, asked: Adoption, beginning: Beginning) -> Plan:
    """Never an empty image in the place of the one asked for."""
    source = beginning if isinstance(beginning, Source) else None
    refused = adoption.refusal(asked, wanted.namespace, wanted.size, source)
    if refused or not source:
        return Plan.stuck(refused.reason, refused.message) if refused else Plan()
    return Plan((EnsureAdopted(wanted, source.record),))


def _mounted(wanted: Wanted, seen: Seen, place: Place | None, record: Record) -> Plan:
    """Exported first, grown afterwards: a full pool must not keep an existing share from being served."""
    short = seen.fs_bytes < usable_bytes(wanted.size) and not wanted.deleting
    grow = (EnsureGrown(wanted.id, usable_bytes(wanted.size)),) if short else ()
    if place is None:
        return Plan(grow)
    if place.clients is None:
        return Plan.stuck("NoClients", "no node address is known yet: the share is not exported", *grow)
    noted = (EnsureSquash(wanted.id, wanted.squash),) if record.squash is not wanted.squash else ()
    export = place.export(record.model_copy(update={"squash": wanted.squash}))
    shown = () if seen.exported == export else (EnsureExported(export),)
    return Plan((*noted, *shown, *grow))


def _without_image(wanted: Wanted, seen: Seen) -> Plan:
    """Never an empty image in the place of one that held data. While it is mounted its data can still be copied."""
    text = f"the image of share {wanted.id} is gone from the pool: restore volumes/{wanted.id}/image"
    if seen.mounted:
        return Plan.stuck("ImageMissing", f"{text}; copy the data away through a pod before this server restarts")
    return Plan.stuck("ImageMissing", text, *_out_of_service(seen))


def _out_of_service(seen: Seen) -> tuple[Action, ...]:
    """Unexport before unmount: Ganesha holds the mount busy."""
    actions: list[Action] = []
    if seen.exported:
        actions.append(EnsureUnexported(seen.exported.export_id))
    if seen.mounted and seen.record:
        actions.append(EnsureUnmounted(seen.record.id))
    return tuple(actions)


def _on_disk(wanted: Wanted, seen: Seen) -> bool:
    """A share stays, for another to adopt, when the volume was never seen to serve what it asked to adopt."""
    if wanted.adoption and not wanted.export_id:
        return False
    if seen.record:
        return seen.record.uid == wanted.uid
    return bool(seen.image_bytes) or seen.unfinished
