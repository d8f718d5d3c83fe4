"""A new volume takes over a kept share, data and all: what it asks, what the pool has, and why it may not.

The owner in a record (namespace, name, uid) is the one of the last StorageVolume that had the share. A share is kept
when no StorageVolume has its id any more: it was retained, or it is an orphan.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from moorage import quantity
from moorage.actions import Problem
from moorage.folder import FolderRecord
from moorage.imagesize import usable_bytes
from moorage.model import Kept
from moorage.record import Record

AnyRecord = TypeVar("AnyRecord", Record, FolderRecord)

LISTED = 256  # shares in a server's list


@dataclass(frozen=True, slots=True)
class Adoption:
    """The share that a volume asks for by `id`, and where it was looked for: in the words of a message."""

    id: str
    backend: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The share on the pool that answers to the id asked for. `owner`: the living StorageVolume that has it, or ""."""

    record: Record
    image_bytes: int
    owner: str = ""


def find(records: Iterable[AnyRecord], id: str) -> AnyRecord | None:
    """The share with this id, else the one that had it before it was adopted: manifests outlive adoptions."""
    before: AnyRecord | None = None
    for record in records:
        if record.id == id:
            return record
        if id in record.former:
            before = record
    return before


def refusal(asked: Adoption, namespace: str, size: int, source: Source | None) -> Problem | None:
    """Why a volume of `namespace` and `size` bytes may not have the share (yet). Each passes when its cause goes."""
    if source is None:
        where = f"StorageBackend {asked.backend} status.servers lists those there are"
        return Problem("AdoptNotFound", f"no kept share {asked.id} on server {asked.server}: {where}")
    if source.record.namespace != namespace:
        text = f"kept share {asked.id} is of another namespace: only a volume in its own namespace may adopt it"
        return Problem("AdoptForbidden", text)
    if source.owner:
        text = f"share {asked.id} belongs to {source.owner}: it can be adopted when that is gone and its data was kept"
        return Problem("AdoptInUse", text)
    if not source.image_bytes:
        text = f"the image of kept share {asked.id} is gone from the pool: restore volumes/{source.record.id}/image"
        return Problem("ImageMissing", text)
    if usable_bytes(size) < usable_bytes(source.record.size):
        least = quantity.format(source.record.size)
        return Problem(
            "AdoptTooSmall", f"kept share {asked.id} has {least} and size only grows: write at least {least}"
        )
    return None


def kept(sources: Iterable[Source]) -> tuple[Kept, ...]:
    """What can be adopted here, for the server's status."""
    free = sorted((each.record for each in sources if each.image_bytes and not each.owner), key=lambda each: each.id)
    return tuple(
        Kept(id=each.id, namespace=each.namespace, name=each.name, size_bytes=each.size) for each in free[:LISTED]
    )
