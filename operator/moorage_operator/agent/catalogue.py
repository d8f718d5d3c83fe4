"""What the API server says, in the agent's words: which shares are wanted here, and who may mount them."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from pydantic import ValidationError

from moorage import engines, ganesha, names, quantity
from moorage.adoption import Adoption
from moorage.clone import Asked
from moorage.errors import InvalidInput
from moorage.model import Engine, Phase, Share, ShareState, StorageBackend, StorageBackendSpec, StorageVolume, Usage
from moorage.share import Wanted

log = logging.getLogger(__name__)

_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"  # a taint of Kubernetes: the node is shut down, move its pods

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
    usage: Usage | None = None
    phase: Phase | None = None

    @property
    def is_served(self) -> bool:
        return bool(self.reported and self.reported.state is ShareState.Served)


def read_volume(item: Mapping[str, Any]) -> StorageVolume | None:
    """A StorageVolume that the operator has named and that has a size; one that cannot be read is told."""
    try:
        volume = StorageVolume.model_validate(item)
    except ValidationError as error:
        log.warning("StorageVolume %s: %s", item["metadata"].get("name"), error)
        return None
    named = volume.status.id == names.short_id(str(volume.metadata["uid"]))
    return volume if named and volume.spec.size else None


@dataclass(slots=True)
class Catalogue:
    """Filled by the feeds. Nothing is an orphan before a list of all StorageVolumes has succeeded."""

    server: str  # what placements call it
    namespace: str
    workload: str  # the StatefulSet or DaemonSet that backends name
    engine: str = engines.GANESHA
    synced: bool = False
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    known: set[str] = field(default_factory=set[str])
    backends: dict[str, StorageBackendSpec] = field(default_factory=dict[str, StorageBackendSpec])
    """Those that this server belongs to, by name."""

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
        """Note which backends this server belongs to, and what they say; True when that changed."""
        found = {str(each.metadata["name"]): each.spec for item in items if (each := self._backend(item))}
        changed, self.backends = found != self.backends, found
        return changed

    def overcommits(self, backend: str) -> bool:
        """Whether new volumes of the backend take room as they are filled."""
        spec = self.backends.get(backend)
        engine = spec and (spec.engine.ganesha or spec.engine.local)
        return bool(engine and engine.overcommit)

    @property
    def overcommits_any(self) -> bool:
        return any(map(self.overcommits, self.backends))

    def clients(self, nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...] | None:
        """Addresses of the nodes that any of the backends serves; None while that cannot be known.

        One that was declared out of service is fenced off: its pods run elsewhere by now.

        No node at all, or no backend, is a mistake somewhere; nodes of which none matches are not.
        """
        seen = list(nodes)
        if not seen or not self.backends:
            return None
        groups = [spec.node_selector or {} for spec in self.backends.values()]
        return ganesha.client_list(node_addresses(node for node in seen if _may_mount(groups, node)))

    def _backend(self, item: Mapping[str, Any]) -> StorageBackend | None:
        try:
            backend = StorageBackend.model_validate(item)
        except ValidationError as error:
            log.warning("StorageBackend %s: %s", item["metadata"].get("name"), error)
            return None
        ours = _owner(backend.spec.engine, self.engine) == (self.namespace, self.workload)
        return backend if ours else None

    def _entry(self, item: Mapping[str, Any]) -> Entry | None:
        volume = read_volume(item)
        placed = volume.status.placement if volume else None
        if not volume or not placed or placed.server != self.server or placed.backend not in self.backends:
            return None
        share, metadata = volume.status.share, volume.metadata
        wanted = Wanted(
            id=volume.status.id,
            namespace=str(metadata["namespace"]),
            name=str(metadata["name"]),
            uid=str(metadata["uid"]),
            size=quantity.parse(volume.spec.size or ""),
            deleting=bool(metadata.get("deletionTimestamp")),
            release=volume.status.release,
            export_id=share.export_id if share else 0,
            adoption=Adoption(volume.spec.adopt, placed.backend, self.server) if volume.spec.adopt else None,
            source=Asked.of(volume.spec.source),
            squash=volume.spec.squash,
            root=volume.spec.root,
            sparse=self.overcommits(placed.backend),
        )
        return Entry(wanted, share, volume.status.usage, volume.status.phase)


def _may_mount(groups: Iterable[Mapping[str, str]], node: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    taints: Iterable[Mapping[str, str]] = node.get("spec", {}).get("taints") or ()
    if any(taint["key"] == _OUT_OF_SERVICE for taint in taints):
        return False
    return any(all(labels.get(key) == value for key, value in group.items()) for group in groups)


def _owner(engine: Engine, kind: str) -> tuple[str, str] | None:
    """Namespace and name of the workload that serves a backend of this kind."""
    if kind == engines.GANESHA and engine.ganesha:
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
