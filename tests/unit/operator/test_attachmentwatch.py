"""Whom a change wakes: the attachments that it concerns, and nobody else."""

from typing import Any

import pytest

from moorage import names
from moorage.actions import Manifest
from moorage_operator.index import Index
from moorage_operator.store import Key
from moorage_operator.watch import Router

UID = "uid-photos"


class Watch:
    """A router whose queue can be read."""

    def __init__(self) -> None:
        self.index = Index()
        self.woken: set[str] = set()
        self.router = Router(self.index, self._add, self._add)
        self.version = 0

    def _add(self, key: Key, delay: float = 0) -> None:
        self.woken.add(f"{key.kind} {key.namespace}/{key.name}")

    def see(self, kind: str, name: str, deleted: bool = False, **fields: Any) -> set[str]:
        """Those woken by it."""
        self.version += 1
        self.woken.clear()
        metadata: Manifest = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.version), "generation": 1}
        metadata |= {} if kind in ("Node", "Namespace", "PersistentVolume") else {"namespace": "ns"}
        metadata |= fields.pop("metadata", {})
        self.router.see({"apiVersion": "x", "kind": kind, "metadata": metadata, **fields}, deleted)
        return set(self.woken)


@pytest.fixture
def watch() -> Watch:
    """A volume with an attachment on a group and one without, and an attachment of another volume."""
    watch = Watch()
    watch.see("Node", "a", metadata={"labels": {"pool": "gpu"}})
    watch.see("Namespace", "ns", metadata={"labels": {"team": "a"}})
    watch.see("StorageVolume", "data", spec={"type": "shared"})
    group = {"selector": {"matchLabels": {"pool": "gpu"}}}
    watch.see("StorageAttachment", "photos", spec={"volume": {"name": "data"}, "nodes": group})
    watch.see("StorageAttachment", "plain", spec={"volume": {"name": "data"}})
    watch.see("StorageAttachment", "far", spec={"volume": {"name": "data", "namespace": "far"}})
    return watch


PHOTOS, PLAIN, FAR, DATA = (
    "StorageAttachment ns/photos",
    "StorageAttachment ns/plain",
    "StorageAttachment ns/far",
    "StorageVolume ns/data",
)


def test_heartbeats_and_readiness_of_a_node_wake_nobody(watch: Watch) -> None:
    beat = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "t"}]}

    assert watch.see("Node", "a", metadata={"labels": {"pool": "gpu"}}, status=beat) == set()


@pytest.mark.parametrize(
    ("name", "metadata", "deleted"),
    [
        ("b", {"labels": {"pool": "gpu"}}, False),
        ("a", {"labels": {}}, False),
        ("a", {"labels": {"pool": "gpu"}, "deletionTimestamp": "t"}, False),
        ("a", {}, True),
    ],
)
def test_a_node_that_joins_or_leaves_wakes_the_groups_that_it_is_of(
    watch: Watch, name: str, metadata: Manifest, deleted: bool
) -> None:
    assert watch.see("Node", name, deleted, metadata=metadata) == {PHOTOS}


def test_a_node_of_no_group_wakes_nobody(watch: Watch) -> None:
    assert watch.see("Node", "c", metadata={"labels": {"pool": "cpu"}}) == set()
    assert watch.see("Node", "a", metadata={"labels": {"pool": "gpu", "other": "label"}}) == set()


def test_a_namespace_wakes_its_attachments_when_its_labels_change(watch: Watch) -> None:
    assert watch.see("Namespace", "ns", metadata={"labels": {"team": "a"}}) == set()
    assert watch.see("Namespace", "ns", metadata={"labels": {"team": "b"}}) == {PHOTOS, PLAIN, FAR}
    assert watch.see("Namespace", "elsewhere", metadata={"labels": {"team": "b"}}) == set()


def test_a_volume_wakes_its_attachments_when_they_have_something_of_the_change(watch: Watch) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "attached": 1}

    became_ready = watch.see("StorageVolume", "data", spec={"type": "shared"}, status=ready)
    counted = watch.see("StorageVolume", "data", spec={"type": "shared"}, status={**ready, "attached": 2})
    shared = watch.see("StorageVolume", "data", spec={"type": "shared", "share": {"from": "All"}}, status=ready)

    assert (became_ready, counted, shared) == ({DATA, PHOTOS, PLAIN}, {DATA}, {DATA, PHOTOS, PLAIN})


def test_an_attachment_wakes_itself_and_its_volume(watch: Watch) -> None:
    assert watch.see("StorageAttachment", "plain", spec={"volume": {"name": "data"}}) == {PLAIN, DATA}
    assert DATA in watch.see("StorageAttachment", "plain", True, spec={"volume": {"name": "data"}})


def test_what_was_made_for_an_attachment_wakes_it(watch: Watch) -> None:
    ours = {"labels": {names.LABEL_ATTACHMENT_UID: UID}}
    csi = {"driver": names.DRIVER, "volumeHandle": "ns/data/aaaabbbb-ccccdddd"}

    assert watch.see("PersistentVolumeClaim", "photos", metadata=ours) == {PHOTOS}
    assert watch.see("PersistentVolume", "moorage-x", metadata=ours, spec={"csi": csi}) == {PHOTOS, DATA}
    assert watch.see("DaemonSet", "moorage-x", metadata=ours, spec={}) == {PHOTOS}
    assert watch.see("DaemonSet", "moorage-x", metadata=ours, spec={}, status={"numberReady": 3}) == set()
    assert watch.see("DaemonSet", "moorage-x", True, metadata=ours, spec={}) == {PHOTOS}


def test_a_holder_pod_wakes_its_attachment_and_the_volume(watch: Watch) -> None:
    ours = {"labels": {names.LABEL_ATTACHMENT_UID: UID}}
    spec = {"nodeName": "a", "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "photos"}}]}

    woken = watch.see("Pod", "moorage-x-1", metadata=ours, spec=spec)

    assert woken == {PHOTOS, DATA}
    assert watch.index.pods.users(watch.index.ways_to(watch.index.volumes.get("ns", "data"))) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "leaving", "expected"),
    [("READY", False, "READY"), ("READY", True, "DETACHING"), ("ATTACHING", True, "ATTACHING"), (None, False, None)],
)
def test_a_node_that_lets_go_makes_the_volume_detaching(
    watch: Watch, phase: str | None, leaving: bool, expected: str | None
) -> None:
    status = {"phase": phase} if phase else {}
    watch.see(
        "StorageAttachment", "photos", spec={"volume": {"name": "data"}, "nodes": {"selector": {}}}, status=status
    )
    watch.see("StorageAttachment", "plain", True, spec={"volume": {"name": "data"}})
    ours = {"labels": {names.LABEL_ATTACHMENT_UID: UID}, **({"deletionTimestamp": "t"} if leaving else {})}
    watch.see("Pod", "moorage-x-1", metadata=ours, spec={"nodeName": "a"})

    data = watch.index.volumes.get("ns", "data")

    assert data
    assert [(each.name, each.phase) for each in watch.index.attachments_of(data)] == [("ns/photos", expected)]


@pytest.mark.parametrize("agreed", [True, False])
def test_a_pod_that_names_an_attachment_inline_uses_the_volume_if_that_was_agreed_to(
    watch: Watch, agreed: bool
) -> None:
    csi = {"driver": names.DRIVER, "volumeAttributes": {"volume": "plain"}}
    status = {"volumeHandle": "ns/data/aaaabbbb-ccccdddd"} if agreed else {}
    watch.see("StorageAttachment", "plain", spec={"volume": {"name": "data"}}, status=status)

    woken = watch.see("Pod", "user", spec={"nodeName": "a", "volumes": [{"name": "v", "csi": csi}]})

    data = watch.index.volumes.get("ns", "data")
    assert data
    assert woken == {PLAIN, DATA}
    assert set(watch.index.users(data)) == ({("ns", "user")} if agreed else set())


def test_one_that_is_gone_wakes_those_that_want_its_path(watch: Watch) -> None:
    spec = {"volume": {"name": "data"}, "mountAs": "/mnt/x", "nodes": {"selector": {}}}
    watch.see("StorageAttachment", "one", spec=spec)
    watch.see("StorageAttachment", "two", spec=spec)

    assert "StorageAttachment ns/two" in watch.see("StorageAttachment", "one", True, spec=spec)


def test_an_attachment_that_cannot_be_read_stops_nobody(watch: Watch) -> None:
    watch.see("StorageAttachment", "broken", spec={"volume": {"name": "data"}, "nodes": {"selector": 7}})

    assert watch.see("Node", "b", metadata={"labels": {"pool": "gpu"}}) == {PHOTOS}
