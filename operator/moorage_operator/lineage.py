"""Which volume begins with what, and which snapshot is of which volume: found from the other end."""

from collections import defaultdict

from moorage.actions import Manifest, part
from moorage_operator.store import Name, name_of

Source = tuple[str, str, str]  # kind, namespace, name


class Lineage:
    """StorageVolumes by what spec.source names, StorageSnapshots by their volume."""

    def __init__(self) -> None:
        self._source: dict[Name, Source] = {}
        self._begun: defaultdict[Source, set[Name]] = defaultdict(set)
        self._volume: dict[Name, Name] = {}
        self._snapshots: defaultdict[Name, set[Name]] = defaultdict(set)

    def put_volume(self, body: Manifest) -> None:
        """A volume as it is now; its source never changes, but another volume may have had the name."""
        name, source = name_of(body), source_of(body)
        self.drop_volume(name)
        if source:
            self._source[name] = source
            self._begun[source].add(name)

    def drop_volume(self, name: Name) -> None:
        """Unknown is fine."""
        source = self._source.pop(name, None)
        if source:
            self._begun[source].discard(name)
            if not self._begun[source]:
                del self._begun[source]

    def put_snapshot(self, body: Manifest) -> None:
        """A snapshot as it is now."""
        name, volume = name_of(body), volume_of(body)
        self.drop_snapshot(name)
        self._volume[name] = volume
        self._snapshots[volume].add(name)

    def drop_snapshot(self, name: Name) -> None:
        """Unknown is fine."""
        volume = self._volume.pop(name, None)
        if volume:
            self._snapshots[volume].discard(name)
            if not self._snapshots[volume]:
                del self._snapshots[volume]

    def begun_with(self, kind: str, name: Name) -> tuple[Name, ...]:
        """The volumes that name the StorageSnapshot or StorageVolume as their source."""
        return tuple(sorted(self._begun.get((kind, *name), ())))

    def snapshots_of(self, volume: Name) -> tuple[Name, ...]:
        return tuple(sorted(self._snapshots.get(volume, ())))


def source_of(volume: Manifest) -> Source | None:
    """What a volume begins with."""
    source, namespace = part(volume, "spec", "source"), volume["metadata"]["namespace"]
    if snapshot := source.get("snapshot"):
        return "StorageSnapshot", namespace, snapshot
    return ("StorageVolume", namespace, source["volume"]) if source.get("volume") else None


def volume_of(snapshot: Manifest) -> Name:
    return snapshot["metadata"]["namespace"], part(snapshot, "spec").get("volume") or ""
