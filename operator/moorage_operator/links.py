"""Which attachment is of which volume, and where on nodes: found from either end."""

from collections import defaultdict
from typing import TypeVar

from moorage import names
from moorage.actions import Manifest, part
from moorage.holders import VolumeKey

Name = tuple[str, str]  # namespace, name
Key = TypeVar("Key")


class Links:
    """StorageAttachments by their volume, their uid and their path on nodes."""

    def __init__(self) -> None:
        self._links: dict[Name, tuple[VolumeKey, str, str]] = {}
        self._by_volume: defaultdict[VolumeKey, set[Name]] = defaultdict(set)
        self._by_path: defaultdict[str, set[Name]] = defaultdict(set)
        self._by_uid: dict[str, Name] = {}

    def put(self, body: Manifest) -> None:
        """An attachment as it is now."""
        metadata = body["metadata"]
        name = metadata["namespace"], metadata["name"]
        self.drop(name)
        volume, path = volume_of(body), path_of(body)
        self._links[name] = volume, path, metadata["uid"]
        self._by_volume[volume].add(name)
        self._by_uid[metadata["uid"]] = name
        if path:
            self._by_path[path].add(name)

    def drop(self, name: Name) -> None:
        """Unknown is fine."""
        volume, path, uid = self._links.pop(name, (("", ""), "", ""))
        self._by_uid.pop(uid, None)
        _discard(self._by_volume, volume, name)
        _discard(self._by_path, path, name)

    def volume(self, name: Name) -> VolumeKey | None:
        """The volume of the attachment with this name."""
        found = self._links.get(name)
        return found[0] if found else None

    def named(self, uid: str) -> Name | None:
        """The attachment with this uid."""
        return self._by_uid.get(uid)

    def of_volume(self, volume: VolumeKey) -> tuple[Name, ...]:
        return tuple(sorted(self._by_volume.get(volume, ())))

    def of_path(self, path: str) -> tuple[Name, ...]:
        """Those that say, or are known, to be mounted there on nodes."""
        return tuple(sorted(self._by_path.get(path, ())))


def volume_of(body: Manifest) -> VolumeKey:
    ref = part(body, "spec", "volume")
    return ref.get("namespace") or body["metadata"]["namespace"], ref.get("name", "")


def path_of(body: Manifest) -> str:
    return part(body, "spec").get("mountAs") or part(body, "status").get("mountAs") or ""


def attachment_uid(body: Manifest) -> str | None:
    """Which attachment an object that we made belongs to."""
    return part(body, "metadata", "labels").get(names.LABEL_ATTACHMENT_UID)


def _discard(groups: defaultdict[Key, set[Name]], key: Key, name: Name) -> None:
    found = groups.get(key, set())
    found.discard(name)
    if not found:
        groups.pop(key, None)
