"""What to do about the folder of a volume on a filer: what is wanted and seen -> actions.

Every step is a rename or the writing of a record, and after a crash between any two of them the next look goes on:

    made       staged/<id> is made, its record is written, staged/<id> is renamed to the folder
    removed    the folder is renamed to trash/<id>, its record forgets the folder, the trash is emptied, the record goes
    archived   the folder is renamed to staged/<id>, its record gets the new name, staged/<id> is renamed to it

A folder that Moorage did not make is never removed: on Delete it is let go of, and stays as it is.
"""

from moorage import adoption
from moorage import folder as folders
from moorage.errors import InvalidInput
from moorage.filer import (
    Action,
    Adopt,
    Around,
    Empty,
    Forget,
    Found,
    NameArchive,
    Plan,
    Publish,
    Seen,
    SetAside,
    Stage,
    Trash,
    Wanted,
    Write,
    target,
)
from moorage.folder import FolderRecord
from moorage.model import VolumeOnDelete


def plan(wanted: Wanted | None, seen: Seen, around: Around) -> Plan:
    """What to do for one volume. None: no StorageVolume has the id; what began to be removed is removed, no more."""
    if wanted is None:
        return Plan(_emptied(seen.record)) if seen.record and (seen.trashed or not seen.record.folder) else Plan()
    match wanted.released:
        case None:
            return _serve(wanted, seen, around)
        case VolumeOnDelete.Delete:
            return _remove(wanted, seen)
        case VolumeOnDelete.Retain:
            return _retain(wanted, seen)
        case VolumeOnDelete.Archive:
            return _archive(wanted, seen)


# In service.


def _serve(wanted: Wanted, seen: Seen, around: Around) -> Plan:
    record = seen.record
    if not record:
        return _without_record(wanted, seen, around)
    if record.uid != wanted.uid:  # it was moved here, and a crash came before its owner was written
        return _take_over(wanted, record)
    if seen.staged:
        return Plan((Publish(record),))
    if seen.found is not Found.folder:
        what = "is gone from the filer" if seen.found is Found.nothing else "is no folder any more"
        text = f"folder {record.folder} {what}: bring it back, or delete the volume"
        return Plan.stuck("FolderMissing", text)
    current = record.model_copy(update={"retained": False, "size": wanted.size})
    refused = ("NotOffered", wanted.refused) if wanted.refused else ("", "")
    return Plan(() if current == record else (Write(current),), *refused)


def _without_record(wanted: Wanted, seen: Seen, around: Around) -> Plan:
    if wanted.served:
        text = f"the filer holds no record of share {wanted.id}, which was served before: is this the right export?"
        return Plan.stuck("ShareMissing", f"{text} Bring {folders.HOME} back, or delete the volume")
    if wanted.deleting:
        return Plan()
    if wanted.refused:
        return Plan.stuck("NotOffered", wanted.refused)
    if wanted.adopt and not wanted.adopt.startswith("/"):
        return _adopt_share(wanted, around)
    try:
        folder = target(wanted, around.engine)
    except InvalidInput as error:
        return Plan.stuck("AdoptForbidden" if wanted.adopt else "InvalidInput", str(error))
    return _adopt_folder(wanted, folder, seen, around) if wanted.adopt else _make(wanted, folder, seen, around)


def _make(wanted: Wanted, folder: str, seen: Seen, around: Around) -> Plan:
    """Never somebody's folder for a new one."""
    other = around.overlapping(folder, wanted.id)
    if other:
        text = f"folder {folder} {_relation(folder, other)}: name the volume otherwise, or remove that one"
        return Plan.stuck("FolderInUse", text)
    if seen.found is not Found.nothing:
        text = f"folder {folder} exists on the filer, and Moorage did not make it: move it away, or adopt it"
        return Plan.stuck("FolderExists", text)
    record = _record(wanted, folder)
    return Plan((Stage(wanted), Write(record), Publish(record)))


def _record(wanted: Wanted, folder: str, adopted: bool = False) -> FolderRecord:
    return FolderRecord(
        id=wanted.id,
        namespace=wanted.namespace,
        name=wanted.name,
        uid=wanted.uid,
        folder=folder,
        size=wanted.size,
        adopted=adopted,
    )


def _relation(folder: str, other: FolderRecord, owner: str = "") -> str:
    whose = owner or f"StorageVolume {other.namespace}/{other.name} (share {other.id})"
    if folder == other.folder:
        return f"belongs to {whose}"
    how = "lies in" if folders.is_in(folder, other.folder) else "contains"
    return f"{how} the folder of {whose}"


# Adoption.


def _take_over(wanted: Wanted, record: FolderRecord) -> Plan:
    """An id is short: two volumes may have the same, and one tenant must not get another's data by that."""
    if record.namespace != wanted.namespace:
        text = f"share {record.id} on the filer is of another namespace, by the same id: delete this volume"
        return Plan.stuck("AdoptForbidden", f"{text}, make it again")
    return Plan((Adopt(_taken_over(wanted, record), record.id),))


def _taken_over(wanted: Wanted, record: FolderRecord) -> FolderRecord:
    owner = {"id": wanted.id, "name": wanted.name, "uid": wanted.uid, "size": wanted.size, "retained": False}
    former = record.former if record.id == wanted.id else (*record.former, record.id)
    return record.model_copy(update={**owner, "archived": False, "former": former})


def _adopt_share(wanted: Wanted, around: Around) -> Plan:
    record = adoption.find(around.records.values(), wanted.adopt)
    if record is None or not record.folder:
        where = f"StorageBackend {around.backend} status.servers lists those there are"
        return Plan.stuck("AdoptNotFound", f"no kept share {wanted.adopt} on the filer: {where}")
    return _adopt_kept(wanted, record, f"share {wanted.adopt}", around)


def _adopt_kept(wanted: Wanted, record: FolderRecord, what: str, around: Around) -> Plan:
    owner = around.owner(record)
    if owner:
        text = f"{what} belongs to {owner}: it can be adopted when that is gone and its data was kept"
        return Plan.stuck("AdoptInUse", text)
    if record.namespace != wanted.namespace:
        text = f"{what} is of another namespace: only a volume in its own namespace may adopt it"
        return Plan.stuck("AdoptForbidden", text)
    return Plan((Adopt(_taken_over(wanted, record), record.id),))


def _adopt_folder(wanted: Wanted, folder: str, seen: Seen, around: Around) -> Plan:
    """A folder that is there is taken as it is: neither its owner nor its mode is changed."""
    forbidden = _outside(wanted, folder, around)
    if forbidden:
        return Plan.stuck("AdoptForbidden", forbidden)
    other = around.overlapping(folder, wanted.id)
    if other and other.folder == folder:
        return _adopt_kept(wanted, other, f"folder /{folder}", around)
    if other:
        text = f"folder /{folder} {_relation(folder, other, around.owner(other) or str(other))}"
        return Plan.stuck("AdoptInUse", f"{text}: adopt another one")
    if seen.found is Found.nothing:
        return Plan.stuck("AdoptNotFound", f"folder /{folder} does not exist on the filer: make it, or name another")
    if seen.found is Found.other:
        text = f"folder /{folder} is no folder, or a symbolic link or another file system lies on the way to it"
        return Plan.stuck("AdoptForbidden", f"{text}: name the folder itself")
    return Plan((Write(_record(wanted, folder, adopted=True)),))


def _outside(wanted: Wanted, folder: str, around: Around) -> str:
    """Why no volume of the namespace may adopt there, or ""."""
    if around.engine.adopt is None:
        text = f"StorageBackend {around.backend} lets no folder be adopted"
        return f"{text}: its engine.nfs.adopt would say where folders lie that may be"
    base = folders.expand(around.engine.adopt, wanted.namespace).strip("/")
    if folders.is_in(folder, base):
        return ""
    text = f"folder /{folder} does not lie beneath /{base}"
    return f"{text}, where volumes of namespace {wanted.namespace} may adopt folders (StorageBackend {around.backend})"


# Out of service.


def _remove(wanted: Wanted, seen: Seen) -> Plan:
    record = seen.record
    note = _stays(wanted.adopt) if wanted.adopt.startswith("/") and wanted.served else ""
    if not record:  # nothing but what was staged before its record was written
        trash = (Trash(wanted.id, "", staged=True),) if seen.staged else ()
        return Plan((*trash, *((Empty(wanted.id),) if seen.staged or seen.trashed else ())), note=note)
    if record.uid != wanted.uid:  # of another volume; this one never had a folder
        return Plan()
    if record.adopted:
        return Plan((Forget(record.id),), note=_stays("/" + record.folder))
    there = seen.staged or seen.found is Found.folder
    if record.folder and there and not seen.trashed:
        return Plan((Trash(record.id, record.folder, seen.staged), *_emptied(record)))
    return Plan(_emptied(record))


def _stays(folder: str) -> str:
    return f"folder {folder} was there before the volume, and stays as it is"


def _emptied(record: FolderRecord) -> tuple[Action, ...]:
    """The record forgets the folder first: another volume may have one of that name by now."""
    nameless = (Write(record.model_copy(update={"folder": ""})),) if record.folder else ()
    return (*nameless, Empty(record.id), Forget(record.id))


def _retain(wanted: Wanted, seen: Seen) -> Plan:
    record = seen.record
    if not record or seen.staged:  # never served: nothing to keep
        return _remove(wanted, seen)
    if record.uid != wanted.uid or record.retained:
        return Plan()
    return Plan((Write(record.model_copy(update={"retained": True})),))


def _archive(wanted: Wanted, seen: Seen) -> Plan:
    record = seen.record
    if not record or record.uid != wanted.uid:
        return _remove(wanted, seen)
    if seen.staged:
        named = record.archived and seen.found is Found.nothing
        return Plan((Publish(record) if named else _name_archive(record),))
    if record.archived:
        return Plan()
    if seen.found is Found.folder:
        return Plan((SetAside(record),))
    return _retain(wanted, seen)


def _name_archive(record: FolderRecord) -> NameArchive:
    return NameArchive(record.model_copy(update={"archived": True, "retained": True}))
