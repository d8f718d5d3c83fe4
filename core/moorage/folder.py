"""Folders of volumes on a filer: their names, which of them overlap, and the record of each that lies beside them."""

from collections.abc import Iterable

from moorage.errors import InvalidInput
from moorage.model import Model

RECORD_VERSION = 1
HOME = ".moorage"  # beneath a backend's path: records, and folders that are being made or removed
PATH_MAX = 512  # characters of a share's path


class FolderRecord(Model):
    """`.moorage/<id>.json`: whose a folder is. It outlives the worker, the StorageVolume and the cluster.

    `folder` is relative to the backend's path; "" when it was moved away to be removed.
    """

    version: int = RECORD_VERSION
    id: str
    namespace: str
    name: str
    uid: str
    folder: str
    size: int = 0
    adopted: bool = False
    """Somebody else made the folder: Moorage never removes it."""
    retained: bool = False
    archived: bool = False
    former: tuple[str, ...] = ()
    """Ids that the folder had before it was adopted, oldest first."""

    def __str__(self) -> str:
        return f"kept share {self.id} of {self.namespace}/{self.name}"


def expand(template: str, namespace: str, name: str = "", id: str = "") -> str:
    """A template of the backend with a volume's own values."""
    values = {"namespace": namespace, "name": name, "id": id}
    for key, value in values.items():
        template = template.replace("${" + key + "}", value)
    return template


def checked(folder: str, path: str) -> str:
    """The folder as it is; raises InvalidInput where no volume may be."""
    parts = folder.split("/")
    if not all(parts) or "." in parts or ".." in parts:
        raise InvalidInput(f"folder {folder} is not a plain path: write names with one '/' between them")
    if parts[0].lower() == HOME:
        raise InvalidInput(f"folder {folder} lies where Moorage keeps its records ({HOME}): name another one")
    if len(mount_path(path, folder)) > PATH_MAX:
        raise InvalidInput(f"the path of folder {folder} has more than {PATH_MAX} characters: use shorter names")
    return folder


def mount_path(path: str, folder: str) -> str:
    """What nodes mount."""
    return f"{path.rstrip('/')}/{folder}"


def is_in(folder: str, other: str) -> bool:
    """Whether `folder` lies strictly beneath `other`; "" is the root of all."""
    return folder != other and (not other or folder.startswith(other + "/"))


def overlapping(folder: str, records: Iterable[FolderRecord], own: str) -> FolderRecord | None:
    """The record, but `own`, whose folder is this one, lies in it or contains it."""
    for each in records:
        if each.id == own or not each.folder:
            continue
        if each.folder == folder or is_in(folder, each.folder) or is_in(each.folder, folder):
            return each
    return None


def archive_names(record: FolderRecord) -> tuple[str, str]:
    """Where an archived folder goes, and where if that is taken."""
    above, slash, last = record.folder.rpartition("/")
    plain = f"{above}{slash}archived-{last}"
    return plain, f"{plain}-{record.id}"
