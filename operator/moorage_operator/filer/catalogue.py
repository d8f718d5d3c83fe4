"""StorageVolumes as the API server shows them, in the words of a filer's worker; and the worker's words for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moorage import filer, folder, names, quantity
from moorage.filer import Seen, Wanted
from moorage.filerwork import REMOVAL_FAILED
from moorage.model import NfsEngine, Share, ShareState, Squash, StorageVolume
from moorage_operator.agent.catalogue import read_volume

_MESSAGE_MAX = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One StorageVolume placed here, with what its status says of the share so far."""

    wanted: Wanted
    reported: Share | None
    usage: None = None
    """A filer does not say how full a folder is."""


@dataclass(slots=True)
class Catalogue:
    """Filled by the feed. `living`: the ids of all StorageVolumes of the cluster, wherever they are placed."""

    backend: str
    server: str
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    living: set[str] = field(default_factory=set[str])

    @property
    def leaving(self) -> bool:
        """Whether a volume is about to go: what it leaves on the filer can be listed when it has gone."""
        return any(each.wanted.released for each in self.entries.values())

    def take(self, uid: str, item: Mapping[str, Any] | None) -> str:
        """Note a StorageVolume, or that it is gone; its id."""
        id = names.short_id(uid)
        self.entries.pop(id, None)
        if item is None:
            self.living.discard(id)
            return id
        self.living.add(id)
        entry = self._entry(item)
        if entry:
            self.entries[id] = entry
        return id

    def _entry(self, item: Mapping[str, Any]) -> Entry | None:
        volume = read_volume(item)
        placed = volume.status.placement if volume else None
        if not volume or not placed or (placed.backend, placed.server) != (self.backend, self.server):
            return None
        return Entry(_wanted(volume), volume.status.share)


def _wanted(volume: StorageVolume) -> Wanted:
    spec, share, metadata = volume.spec, volume.status.share, volume.metadata
    return Wanted(
        id=volume.status.id,
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        size=quantity.parse(spec.size or ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        release=volume.status.release,
        served=bool(share and share.path),
        adopt=spec.adopt or "",
        refused=_refused(volume),
        root=spec.root,
    )


def _refused(volume: StorageVolume) -> str:
    if volume.spec.source:
        return "a filer makes no clones: remove source, make an empty volume and copy the data"
    if volume.spec.squash != Squash.none:
        return f"squash: {volume.spec.squash} is not for a filer's volumes: set it on the filer, and write None here"
    return ""


def share(server: str, engine: NfsEngine, entry: Entry, seen: Seen, reason: str, message: str, note: str = "") -> Share:
    """What to report. The path stays in it: it tells that nodes may have mounted the folder, so that it has data."""
    wanted, record = entry.wanted, seen.record
    path = entry.reported.path if entry.reported else ""
    if wanted.released:
        state = ShareState.Failed if message else ShareState.Released
        told = REMOVAL_FAILED if message else ""
        return Share(state=state, server=server, path=path, reason=told, message=(message or note)[:_MESSAGE_MAX])
    if not record or not filer.is_served(wanted, seen):
        state = ShareState.Failed if message else ShareState.Creating
        return Share(state=state, server=server, path=path, reason=reason, message=message[:_MESSAGE_MAX])
    return Share(
        state=ShareState.Served,
        server=server,
        address=engine.server,
        path=folder.mount_path(engine.path, record.folder),
        size_bytes=wanted.size,
        reason=reason,
        message=message[:_MESSAGE_MAX],
    )
