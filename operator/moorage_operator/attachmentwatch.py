"""Which attachments a change concerns: their own objects, their volume, the nodes and namespaces that they name."""

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from moorage import conditions, consent, nodegroup
from moorage.actions import Manifest, part
from moorage.model import LabelSelector
from moorage.nodegroup import NodeSeen
from moorage_operator.bodies import placed_on, shown_bucket
from moorage_operator.index import Index
from moorage_operator.links import attachment_uid, path_of, volume_of
from moorage_operator.pods import Stir
from moorage_operator.store import Key, Name, key_of, name_of

Add = Callable[[Key], None]
AddLater = Callable[[Key, float], None]
COUNT_DELAY = 5.0  # seconds: mere numbers of pods are written together, however many start
HOLDER_DELAY = 0.1  # seconds: the nodes of a large group are counted together
KIND = "StorageAttachment"
_PLAN = (
    "capacity",
    "attributes",
    "secretRef",
    "placement",
    "topology",
)  # what of a volume's status an attachment passes on


class AttachmentRouter:
    """Keeps the attachments' part of the index, and fills the queue."""

    def __init__(self, index: Index, add: Add, add_later: AddLater) -> None:
        self._index = index
        self._add = add
        self._add_later = add_later
        self._marks: dict[Name, int] = {}  # of volumes

    def see(self, body: Manifest, deleted: bool) -> None:
        """A StorageAttachment, a DaemonSet of one, a node or a namespace."""
        match body["kind"]:
            case "StorageAttachment":
                self._attachment(body, deleted)
            case "DaemonSet":
                self._daemon_set(body, deleted)
            case "Node":
                self._node(body, deleted)
            case _:
                self._namespace(body, deleted)

    def volume(self, body: Manifest, deleted: bool) -> None:
        """A volume wakes its attachments when what they have of it changes, not when a pod comes or goes."""
        name, mark = name_of(body), None if deleted else _mark(body)
        if self._marks.get(name) == mark:
            return
        if mark is None:
            del self._marks[name]
        else:
            self._marks[name] = mark
        self._wake(self._index.links.of_volume(name))

    def backend(self, name: str) -> None:
        """Its minNodes may have changed."""
        for volume in self._index.volumes.values():
            if placed_on(volume) == name:
                self._wake(self._index.links.of_volume(name_of(volume)))

    def owned(self, body: Manifest) -> None:
        """A claim or PersistentVolume that was made for an attachment."""
        self._wake_uid(attachment_uid(body))

    def pod(self, stir: Stir) -> None:
        for uid in stir.attachments:
            name = self._index.links.named(uid)
            if name:
                self._add_later(Key(KIND, *name), HOLDER_DELAY)
                self._wake_volume_of(name, HOLDER_DELAY)
        for each in stir.moved | stir.counted:
            name = each.volume or each.claim
            if self._index.attachments.get(*name):
                self._add_later(Key(KIND, *name), COUNT_DELAY)

    def _attachment(self, body: Manifest, deleted: bool) -> None:
        name, store = name_of(body), self._index.attachments
        before = store.get(*name)
        if deleted:
            store.drop(body)
            if store.get(*name) is None:
                self._wake_volume_of(name)
                self._index.links.drop(name)
        elif store.put(body):
            self._index.links.put(body)
        self._add(key_of(body))
        self._wake_volume_of(name)
        if deleted or (before and _generation(before) != _generation(body)):
            paths = {path_of(each) for each in (before, body) if each}
            self._wake(each for path in paths for each in self._index.links.of_path(path))

    def _daemon_set(self, body: Manifest, deleted: bool) -> None:
        name, store = name_of(body), self._index.daemon_sets
        before = store.get(*name)
        if deleted:
            store.drop(body)
        else:
            store.put(body)
        # Its status changes with every pod, and nobody here reads it.
        if deleted or before is None or _intent(before) != _intent(body):
            self._wake_uid(attachment_uid(body))

    def _node(self, body: Manifest, deleted: bool) -> None:
        name = body["metadata"]["name"]
        before, after = self._index.nodes.get(name), None if deleted else nodegroup.node_seen(body)
        if after:
            self._index.nodes[name] = after
        else:
            self._index.nodes.pop(name, None)
        if _placed(before) == _placed(after):
            return
        for each in self._index.attachments.values():
            selector = _selector(each)
            topology = self._topology(each)
            if selector and _is_in(selector, topology, before) != _is_in(selector, topology, after):
                self._add(key_of(each))

    def _topology(self, attachment: Manifest) -> Manifest:
        """Labels of the nodes that can use its volume."""
        return part(self._index.volumes.get(*volume_of(attachment)), "status", "topology")

    def _namespace(self, body: Manifest, deleted: bool) -> None:
        name = body["metadata"]["name"]
        before, after = self._index.namespaces.get(name), None if deleted else _labels(body)
        if after is None:
            self._index.namespaces.pop(name, None)
        else:
            self._index.namespaces[name] = after
        if before == after:
            return
        for each in self._index.attachments.values():
            if each["metadata"]["namespace"] == name:
                self._add(key_of(each))

    def _wake(self, attachments: Iterable[Name]) -> None:
        for each in attachments:
            if self._index.attachments.get(*each):
                self._add(Key(KIND, *each))

    def _wake_uid(self, uid: str | None) -> None:
        name = self._index.links.named(uid) if uid else None
        if name:
            self._add(Key(KIND, *name))

    def _wake_volume_of(self, name: Name, delay: float = 0) -> None:
        named = self._index.links.volume(name)
        volume = self._index.volumes.get(*named) if named else None
        if volume:
            self._add_later(key_of(volume), delay)
            bucket = shown_bucket(volume)
            if bucket and self._index.buckets.get(*bucket):
                self._add_later(Key("Bucket", *bucket), delay)


def _mark(volume: Manifest) -> int:
    metadata, status = volume["metadata"], part(volume, "status")
    found: list[Manifest] = status.get("conditions") or []
    ready = next((each for each in found if each.get("type") == conditions.READY), Manifest())
    usable = ready.get("status") == "True"
    said = "" if usable else ready.get("message", "")
    life = metadata["uid"], metadata.get("deletionTimestamp", ""), usable, said
    share = part(volume, "status", "share")
    plan = [status.get(each) for each in _PLAN]
    return hash(repr((life, part(volume, "spec").get("share"), share.get("sizeBytes"), plan)))  # kept per volume: small


def _labels(body: Manifest) -> dict[str, str]:
    return dict(part(body, "metadata", "labels"))


def _generation(body: Manifest) -> int:
    return body["metadata"].get("generation", 0)


def _intent(body: Manifest) -> tuple[int, bool]:
    return _generation(body), "deletionTimestamp" in body["metadata"]


def _placed(node: NodeSeen | None) -> Any:
    """What of a node decides where it belongs: heartbeats and readiness do not."""
    return None if node is None or node.leaving else node.labels


def _selector(attachment: Manifest) -> LabelSelector | None:
    group = part(attachment, "spec").get("nodes")
    try:
        return LabelSelector.model_validate(group.get("selector")) if group else None
    except ValidationError:  # an object that cannot be read wakes nobody and stops nobody
        return None


def _is_in(selector: LabelSelector, topology: Manifest, node: NodeSeen | None) -> tuple[bool, bool]:
    """Whether the selector selects the node, and whether the volume can be used there."""
    selected = node is not None and not node.leaving and consent.matches(selector, node.labels)
    return selected, selected and node is not None and nodegroup.is_within(topology, node)
