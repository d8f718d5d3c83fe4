"""Whom the change of a pod wakes: at once where something moves, later where only a number changes."""

from typing import Any

from moorage import names
from moorage_operator.index import Index
from moorage_operator.store import Key
from moorage_operator.watch import COUNT_DELAY, Router

VOLUME, BUCKET = Key("StorageVolume", "ns", "part"), Key("Bucket", "ns", "models")
STARTED = {"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}


class Line:
    """The queue, as a list."""

    def __init__(self, deleting: bool = False) -> None:
        self.now: list[Key] = []
        self.later: list[tuple[Key, float]] = []
        self.router = Router(Index(), self.now.append, lambda key, delay: self.later.append((key, delay)))
        gone = {"deletionTimestamp": "t"} if deleting else {}
        spec = {"type": "object", "bucket": {"name": "models"}}
        self.see("Bucket", "models", metadata=gone, spec={}, status={})
        self.see("StorageVolume", "part", metadata=gone, spec=spec, status={"id": "abcdefgh"})

    def see(self, kind: str, name: str, deleted: bool = False, **body: Any) -> None:
        metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1", **body.pop("metadata", {})}
        if kind == "PersistentVolume":
            del metadata["namespace"]
        self.now.clear()
        self.later.clear()
        self.router.see({"kind": kind, "apiVersion": "v1", "metadata": metadata, **body}, deleted)

    def pod(self, name: str, status: dict[str, Any], deleted: bool = False, **attributes: str) -> None:
        used = attributes or {"volume": "part"}
        volume = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": used}}
        self.see("Pod", name, deleted, spec={"nodeName": "n1", "volumes": [volume]}, status=status)


def test_a_pod_that_moves_wakes_the_volume_and_the_bucket_that_it_shows() -> None:
    line = Line()

    line.pod("one", {})
    waiting = set(line.now)
    line.pod("one", STARTED)

    assert waiting == set(line.now) == {VOLUME, BUCKET}
    assert line.later == []


def test_how_full_a_volume_is_wakes_nobody_and_is_known() -> None:
    line = Line()
    status = {"id": "abcdefgh", "share": {"state": "Served", "server": "moorage-nfs-0"}}
    spec = {"type": "shared", "size": "1Gi"}
    woken: list[bool] = []
    for version, change in (
        ("2", {}),
        ("3", {"usage": {"usedBytes": 1}}),
        ("4", {"usage": {"usedBytes": 2}}),
        ("5", {"usage": {"usedBytes": 3}, "capacity": "1Gi"}),
        ("6", {"capacity": "1Gi"}),
    ):
        metadata = {"resourceVersion": version, "managedFields": [version]}
        line.see("StorageVolume", "full", metadata=metadata, spec=spec, status={**status, **change})
        woken.append(Key("StorageVolume", "ns", "full") in line.now)

    assert woken == [True, False, False, True, False]
    known = line.router._index.volumes.get("ns", "full")
    assert known
    assert known["metadata"]["resourceVersion"] == "6"


def test_a_volume_made_anew_wakes_although_it_looks_the_same() -> None:
    line = Line()
    for uid in ("first", "second"):
        line.see("StorageVolume", "again", metadata={"uid": uid}, spec={"type": "shared", "size": "1Gi"}, status={})
        assert line.now == [Key("StorageVolume", "ns", "again")]
        line.see("StorageVolume", "again", True, metadata={"uid": uid, "resourceVersion": "2"}, spec={}, status={})


def test_a_second_pod_of_the_node_can_wait_to_be_counted() -> None:
    line = Line()
    line.pod("one", STARTED)

    line.pod("two", {})

    assert line.now == []
    assert set(line.later) == {(VOLUME, COUNT_DELAY), (BUCKET, COUNT_DELAY)}


def test_who_is_waited_for_is_noticed_at_once() -> None:
    line = Line(deleting=True)
    line.pod("one", STARTED)
    line.pod("two", STARTED)

    line.pod("two", STARTED, deleted=True)

    assert set(line.later) == {(VOLUME, 0), (BUCKET, 0)}


def test_a_bucket_by_its_own_name_is_woken_alone() -> None:
    line = Line()

    line.pod("one", {}, bucket="models")

    assert line.now == [BUCKET]


def test_pods_that_were_seen_before_their_persistent_volume_are_counted_when_it_comes() -> None:
    line = Line()
    claim = {"name": "d", "persistentVolumeClaim": {"claimName": "c"}}
    line.see("Pod", "one", spec={"nodeName": "n1", "volumes": [claim]}, status={})
    unknown = list(line.now)

    csi = {"driver": names.DRIVER, "volumeHandle": "ns/part/abcdefgh"}
    line.see("PersistentVolume", "pv", spec={"csi": csi, "claimRef": {"namespace": "ns", "name": "c"}})

    assert unknown == []
    assert set(line.now) == {VOLUME, BUCKET}
