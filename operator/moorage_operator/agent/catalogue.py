"""What the API server says, in the agent's words: which shares are wanted here, and who may mount them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from pydantic import ValidationError

from moorage import ganesha, names, placement, quantity
from moorage.adoption import Adoption
from moorage.clone import Asked
from moorage.errors import InvalidInput
from moorage.model import Engine, Share, StorageBackend, StorageVolume
from moorage.share import Wanted

log = logging.getLogger(__name__)

LOCAL = "local"


class Standing(Enum):
    """How a share on the pool stands to the cluster's StorageVolumes."""

    ours = auto()  # placed on this server: do as it says
    held = auto()  # not known yet, or not placed (any more): leave as it is
    orphan = auto()  # no StorageVolume has this id


@dataclass(frozen=True, slots=True)
class Entry:
    """One StorageVolume placed here, with what its status says of the share so far."""

    wanted: Wanted
    reported: Share | None


@dataclass(slots=True)
class Catalogue:
    """Filled by the feeds. Nothing is an orphan before a list of all StorageVolumes has succeeded."""

    server: str  # what placements call it
    namespace: str
    workload: str  # the StatefulSet or DaemonSet that backends name
    engine: str = placement.GANESHA
    synced: bool = False
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    known: set[str] = field(default_factory=set[str])
    backends: frozenset[str] = frozenset()

    def standing(self, volume_id: str) -> Standing:
        if volume_id in self.entries:
            return Standing.ours
        if not self.synced or volume_id in self.known:
            return Standing.held
        return Standing.orphan

    def take_volume(self, uid: str, item: Mapping[str, Any] | None) -> str:
        """Note a StorageVolume, or that it is gone; the share's id."""
        volume_id = names.short_id(uid)
        self.entries.pop(volume_id, None)
        if item is None:
            self.known.discard(volume_id)
            return volume_id
        self.known.add(volume_id)
        entry = self._entry(item)
        if entry:
            self.entries[volume_id] = entry
        return volume_id

    def take_backends(self, items: Iterable[Mapping[str, Any]]) -> bool:
        """Note which backends this server belongs to; True when that changed."""
        found = frozenset(name for item in items if (name := self._backend(item)))
        changed, self.backends = found != self.backends, found
        return changed

    def _backend(self, item: Mapping[str, Any]) -> str | None:
        try:
            backend = StorageBackend.model_validate(item)
        except ValidationError as error:
            log.warning("StorageBackend %s: %s", item["metadata"].get("name"), error)
            return None
        ours = _owner(backend.spec.engine, self.engine) == (self.namespace, self.workload)
        return str(backend.metadata["name"]) if ours else None

    def _entry(self, item: Mapping[str, Any]) -> Entry | None:
        try:
            volume = StorageVolume.model_validate(item)
        except ValidationError as error:
            log.warning("StorageVolume %s: %s", item["metadata"].get("name"), error)
            return None
        placed, share, metadata = volume.status.placement, volume.status.share, volume.metadata
        if not placed or placed.server != self.server or placed.backend not in self.backends:
            return None
        if volume.status.id != names.short_id(str(metadata["uid"])) or not volume.spec.size:
            return None
        wanted = Wanted(
            id=volume.status.id,
            namespace=str(metadata["namespace"]),
            name=str(metadata["name"]),
            uid=str(metadata["uid"]),
            size=quantity.parse(volume.spec.size),
            deleting=bool(metadata.get("deletionTimestamp")),
            release=volume.status.release,
            export_id=share.export_id if share else 0,
            adoption=Adoption(volume.spec.adopt, placed.backend, self.server) if volume.spec.adopt else None,
            source=Asked.of(volume.spec.source),
        )
        return Entry(wanted, share)


def _owner(engine: Engine, kind: str) -> tuple[str, str] | None:
    """Namespace and name of the workload that serves a backend of this kind."""
    if kind == placement.GANESHA and engine.ganesha:
        return engine.ganesha.namespace, engine.ganesha.stateful_set
    if kind == LOCAL and engine.local:
        return engine.local.namespace, engine.local.daemon_set
    return None


def node_addresses(nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Every InternalIP of every Node; what is no address is left out with a word."""
    found: list[str] = []
    for node in nodes:
        for address in node.get("status", {}).get("addresses", ()):
            if address.get("type") != "InternalIP":
                continue
            try:
                found.extend(ganesha.client_list([str(address["address"])]))
            except InvalidInput as error:
                log.warning("node %s: %s", node["metadata"].get("name"), error)
    return tuple(found)
