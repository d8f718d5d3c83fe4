"""From what a watch shows to the keys that want reconciling. An event says where to look, never what to do."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from moorage import holders, names
from moorage.actions import Manifest, part
from moorage.holders import Use
from moorage_operator import filers
from moorage_operator.attachmentwatch import COUNT_DELAY, AttachmentRouter
from moorage_operator.bodies import backend_mark, is_deleting, placed_on, shown_bucket, volume_uid
from moorage_operator.door import admit
from moorage_operator.index import Index
from moorage_operator.keywatch import KeyRouter
from moorage_operator.links import attachment_uid
from moorage_operator.pods import Stir
from moorage_operator.snapshotwatch import SnapshotRouter
from moorage_operator.store import Key, Store, key_of, name_of

Add = Callable[[Key], None]
AddLater = Callable[[Key, float], None]

_OF_EVERY_WRITE = ("resourceVersion", "managedFields")


@dataclass(frozen=True, slots=True)
class VolumeLook:
    """How full a volume is changes every minute, and nothing follows from it.

    Compared with what a watch showed before, and not with the index: our own writes reach that first.
    """

    usage: str
    rest: int

    @classmethod
    def of(cls, body: Manifest) -> Self:
        status = dict(part(body, "status"))
        usage = str(status.pop("usage", ""))
        metadata = {key: each for key, each in body["metadata"].items() if key not in _OF_EVERY_WRITE}
        return cls(usage, hash(json.dumps({**body, "metadata": metadata, "status": status}, sort_keys=True)))

    def differs_in_usage_alone(self, before: Self) -> bool:
        return self.rest == before.rest and self.usage != before.usage


class Router:
    """Keeps the index and fills the queue."""

    def __init__(self, index: Index, add: Add, add_later: AddLater) -> None:
        self._index = index
        self._add = add
        self._add_later = add_later
        self._marks: dict[
            str, tuple[str, ...]
        ] = {}  # of backends: our own writes reach the index before the watch does
        self._attachments = AttachmentRouter(index, add, add_later)
        self._snapshots = SnapshotRouter(index, add)
        self._keys = KeyRouter(index, add)
        self._shown: dict[str, str] = {}  # resource versions by uid
        self._looks: dict[str, VolumeLook] = {}  # of volumes, by uid

    def see(self, body: Manifest, deleted: bool = False, listed: bool = False) -> None:
        """An object as a watch or a list showed it. A list shows thousands that were shown before: nothing follows."""
        uid, at = body["metadata"].get("uid", ""), body["metadata"].get("resourceVersion", "")
        if deleted:
            self._shown.pop(uid, None)
        elif listed and _is_shown(self._shown.get(uid), at):
            return
        elif body["kind"] != "Pod":  # of all pods of the cluster, few are ours
            self._shown[uid] = at
        body = admit(body)
        match body["kind"]:
            case "StorageVolume":
                self._volume(body, deleted)
            case "Bucket":
                self._bucket(body, deleted)
            case "BucketKey":
                self._keys.see(body, deleted)
                self._wake_leaving_backend(body)
            case "StorageBackend":
                self._backend(body, deleted)
            case "PersistentVolume":
                self._persistent_volume(body, deleted)
            case "PersistentVolumeClaim":
                self._claim(body, deleted)
            case "Pod":
                self._wake_filer(body)
                self._pod(self._index.drop_pod(body) if deleted else self._index.put_pod(body))
            case "StorageSnapshot":
                self._snapshots.see(body, deleted)
                self._wake_leaving_backend(body)
            case "Node":
                self._node(body, deleted)
            case "Namespace":
                self._attachments.see(body, deleted)
                self._keys.namespace(body["metadata"]["name"])
            case "StorageAttachment" | "DaemonSet":
                self._attachments.see(body, deleted)
            case _:
                return

    def _volume(self, body: Manifest, deleted: bool) -> None:
        self._index.keep_volume(body, deleted)
        look = VolumeLook.of(body)
        before = self._looks.pop(body["metadata"]["uid"], None)
        if not deleted:
            self._looks[body["metadata"]["uid"]] = look
            if before and look.differs_in_usage_alone(before):
                return
        self._add(key_of(body))
        self._attachments.volume(body, deleted)
        self._snapshots.volume(body, deleted)
        bucket = shown_bucket(body)
        if bucket and is_deleting(self._index.buckets.get(*bucket)):
            self._add(Key("Bucket", *bucket))
        self._wake_leaving_backend(body)
        self._wake_filer(body)

    def _bucket(self, body: Manifest, deleted: bool) -> None:
        _keep(self._index.buckets, body, deleted)
        self._add(key_of(body))
        self._keys.bucket(body, deleted)
        self._add_volumes(name_of(each) for each in self._index.volumes_showing(name_of(body)))
        self._wake_leaving_backend(body)

    def _backend(self, body: Manifest, deleted: bool) -> None:
        name, mark = body["metadata"]["name"], () if deleted else backend_mark(body)
        _keep(self._index.backends, body, deleted)
        if self._index.promises.told(body):  # a server's room has changed
            self._add_volumes(self._index.unplaced())
        if self._marks.get(name, ()) == mark:
            return
        self._marks[name] = mark
        self._add(key_of(body))
        self._wake_users(name)

    def _node(self, body: Manifest, deleted: bool) -> None:
        """Of volumes on its own disk, it matters whether it is there."""
        name = body["metadata"]["name"]
        before = self._index.nodes.get(name)
        self._attachments.see(body, deleted)
        after = self._index.nodes.get(name)
        if (before is None, before and before.ready) == (after is None, after and after.ready):
            return
        for each in self._index.volumes.values():
            if part(each, "spec").get("type") == "local" and part(each, "status", "placement").get("server") == name:
                self._add(key_of(each))
        for each in self._index.backends.values():
            if part(each, "spec", "engine").get("local") is not None:
                self._add(key_of(each))

    def _wake_users(self, backend: str) -> None:
        """Everything on the backend, and everything that still waits for one."""
        for store in (self._index.volumes, self._index.buckets):
            for each in store.values():
                if placed_on(each) in (backend, None):
                    self._add(key_of(each))
        self._attachments.backend(backend)
        self._snapshots.backend(backend)
        self._keys.backend(backend)

    def _persistent_volume(self, body: Manifest, deleted: bool) -> None:
        handle = holders.claimed_volume(body)
        if handle is None:
            return
        if deleted:
            self._index.drop_persistent_volume(body)
        else:
            self._index.put_persistent_volume(body)
        self._add_volumes([(handle.namespace, handle.name)])
        claim = holders.claim_of(body)
        if claim and self._index.pods.users([Use(claim=claim)]):  # pods that the watch has shown before it
            for key in self._used([Use(claim=claim)]):
                self._add(key)
        self._attachments.owned(body)

    def _claim(self, body: Manifest, deleted: bool) -> None:
        if volume_uid(body):
            _keep(self._index.claims, body, deleted)
            self._add_volumes([name_of(body)])
        if attachment_uid(body):
            _keep(self._index.claims, body, deleted)
            self._attachments.owned(body)

    def _pod(self, stir: Stir) -> None:
        for key in self._used(stir.moved):
            self._add(key)
        for key, body in self._used(stir.counted).items():
            self._add_later(key, 0 if is_deleting(body) else COUNT_DELAY)
        self._attachments.pod(stir)

    def _used(self, ways: Iterable[Use]) -> dict[Key, Manifest]:
        """The volumes and buckets that are used in these ways, and the buckets that such volumes show."""
        found = [self._index.volumes.get(*each) for each in self._index.volumes_by(ways)]
        shown = {bucket for each in found if each and (bucket := shown_bucket(each))}
        buckets = shown | {each.bucket for each in ways if each.bucket}
        found += [self._index.buckets.get(*each) for each in buckets]
        return {key_of(each): each for each in found if each}

    def _add_volumes(self, volumes: Iterable[tuple[str, str]]) -> None:
        for namespace, name in volumes:
            if self._index.volumes.get(namespace, name):
                self._add(Key("StorageVolume", namespace, name))

    def _wake_filer(self, body: Manifest) -> None:
        for key in filers.stirred(body):
            self._add(key)

    def _wake_leaving_backend(self, body: Manifest) -> None:
        backend = placed_on(body)
        if backend and is_deleting(self._index.backends.get("", backend)):
            self._add(Key("StorageBackend", "", backend))


def _is_shown(before: str | None, at: str) -> bool:
    """Whether this was shown, or something newer: a watch may be ahead of a list that is under way."""
    return before is not None and int(before) >= int(at)


def _keep(store: Store, body: Manifest, deleted: bool) -> None:
    if deleted:
        store.drop(body)
    else:
        store.put(body)


_OURS = ",".join(f"{key}={value}" for key, value in names.MANAGED_BY.items())

# What is watched: (apiVersion, kind, selectors). Only scheduled, unfinished pods, only claims of ours.
WATCHED: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("v1", "Namespace", {}),
    ("v1", "Node", {}),
    (names.API_VERSION, "StorageBackend", {}),
    (names.API_VERSION, "Bucket", {}),
    (names.API_VERSION, "BucketKey", {}),
    (names.API_VERSION, "StorageSnapshot", {}),
    (names.API_VERSION, "StorageVolume", {}),
    (names.API_VERSION, "StorageAttachment", {}),
    ("v1", "PersistentVolume", {}),
    ("v1", "PersistentVolumeClaim", {"labelSelector": _OURS}),
    ("apps/v1", "DaemonSet", {"labelSelector": names.LABEL_ATTACHMENT_UID}),
    ("v1", "Pod", {"fieldSelector": "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"}),
)
