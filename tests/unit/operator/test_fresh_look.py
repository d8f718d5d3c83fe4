"""What is asked of the API server itself, because a watch may lag, before it is forgotten who has a volume."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from moorage import attachmentplan, names
from moorage.actions import Manifest, Reference
from moorage.attachmentfacts import HolderImage
from moorage.release import release
from moorage_operator.attachments import AttachmentObserver
from moorage_operator.holding import Holding
from moorage_operator.index import Index
from moorage_operator.listing import Shown
from moorage_operator.snapshots import SnapshotObserver
from moorage_operator.volumes import VolumeObserver

NFS = {"type": "shared", "mount": "nfs", "server": "nfs", "path": "/vol/x", "options": "vers=4.1"}


class Server:
    """What the API server has, by kind, and which kinds were listed."""

    def __init__(self, **objects: list[Manifest]) -> None:
        self.objects = objects
        self.listed: list[str] = []

    async def get(self, ref: Reference) -> Manifest | None:
        found = (each["metadata"] for each in self.objects.get(ref.kind, ()))
        named = any((each.get("namespace", ""), each["name"]) == (ref.namespace, ref.name) for each in found)
        return next(each for each in self.objects[ref.kind] if each["metadata"]["name"] == ref.name) if named else None

    async def pages(self, api_version: str, kind: str, namespace: str = "", **_: str) -> AsyncIterator[list[Manifest]]:
        self.listed.append(kind)
        yield [each for each in self.objects.get(kind, []) if namespace in ("", each["metadata"].get("namespace"))]

    async def list(self, api_version: str, kind: str, namespace: str = "", **_: str) -> list[Manifest]:
        return [each async for page in self.pages(api_version, kind, namespace) for each in page]

    async def list_ours(self, kind: str, namespace: str = "", **_: str) -> "list[Manifest]":
        return await self.list(names.API_VERSION, kind, namespace)


def thing(kind: str, name: str, namespace: str = "ns", api: str = names.API_VERSION, **fields: Any) -> Manifest:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "5", **fields.pop("metadata", {})}
    metadata |= {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def pod(name: str, volume: str) -> Manifest:
    inline = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": {"volume": volume}}}
    return thing("Pod", name, api="v1", spec={"nodeName": "node-1", "volumes": [inline]}, status={"phase": "Running"})


def withdrawn(**status: Any) -> Manifest:
    handle = {"id": "aaaabbbb", "volumeHandle": "far/data/ccccdddd-aaaabbbb", **status}
    spec = {"volume": {"name": "data", "namespace": "far"}}
    held = {"finalizers": [names.FINALIZER]}
    return thing("StorageAttachment", "theirs", spec=spec, status=handle, metadata=held)


def observer(server: Server) -> AttachmentObserver:
    """A watch has shown the volume, whose owner has withdrawn his consent, and no pod."""
    index = Index()
    index.keep_volume(thing("StorageVolume", "data", "far", spec={"type": "shared", "size": "1Gi"}), deleted=False)
    return AttachmentObserver(server, index, HolderImage("moorage"))  # type: ignore[arg-type]


async def test_a_pod_that_no_watch_has_shown_keeps_the_handle_of_a_withdrawn_attachment() -> None:
    server = Server(Pod=[pod("late", "theirs")])

    step = attachmentplan.plan(await observer(server)(withdrawn()))

    assert step.status.volume_handle == "far/data/ccccdddd-aaaabbbb"
    assert step.requeue_after


@pytest.mark.parametrize("pods", [[], [pod("other", "another")]])
async def test_the_handle_goes_when_a_fresh_look_finds_no_pod(pods: list[Manifest]) -> None:
    step = attachmentplan.plan(await observer(Server(Pod=pods))(withdrawn()))

    assert step.status.volume_handle is None


@pytest.mark.parametrize("status", [{"volumeHandle": None}, {"attributes": NFS}], ids=["forgotten", "still open"])
async def test_pods_are_listed_in_that_moment_only(status: Manifest) -> None:
    server = Server(Pod=[pod("late", "theirs")])

    await observer(server)(withdrawn(**status))

    assert server.listed == []


# PersistentVolumes that somebody made by hand.


HANDLE = "ns/data/aaaabbbb"


def by_hand(name: str = "mine", handle: str = HANDLE, phase: str = "Bound") -> Manifest:
    claim = {"namespace": "users", "name": "theirs"}
    spec = {"csi": {"driver": names.DRIVER, "volumeHandle": handle}, "claimRef": claim}
    return thing("PersistentVolume", name, "", api="v1", spec=spec, status={"phase": phase})


def leaving(phase: str = "DESTROYING") -> Manifest:
    """A volume that nobody uses, as far as the watches have shown."""
    metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names.FINALIZER]}
    status = {"id": "aaaabbbb", "phase": phase}
    return thing("StorageVolume", "data", metadata=metadata, spec={"type": "shared", "size": "1Gi"}, status=status)


async def look(server: Server, body: Manifest) -> Any:
    index = Index()
    observer = VolumeObserver(server, index, SnapshotObserver(server, index), Holding(server, index))  # type: ignore[arg-type]
    return release(await observer(body)).status


async def test_a_volume_shown_by_hand_that_no_watch_has_told_of_keeps_its_data() -> None:
    status = await look(Server(PersistentVolume=[by_hand()]), leaving())

    assert status.release is None
    assert "in use by claim users/theirs" in [each.message for each in status.conditions if each.type == "Ready"]


@pytest.mark.parametrize("other", [by_hand(phase="Released"), by_hand(handle="ns/other/ccccdddd")])
async def test_data_goes_when_the_last_look_finds_nobody(other: Manifest) -> None:
    server = Server(PersistentVolume=[other])

    status = await look(server, leaving())

    assert status.release is not None
    assert server.listed.count("PersistentVolume") == 1


async def test_there_is_no_last_look_before_destroying_is_written_or_while_a_pod_uses_it() -> None:
    early, used = Server(), Server(Pod=[pod("user", "data")])

    await look(early, leaving(phase="READY"))
    await look(used, leaving())

    assert "PersistentVolume" not in early.listed + used.listed


async def test_volumes_that_go_together_share_a_list_and_who_comes_later_gets_a_later_one() -> None:
    server = Server(PersistentVolume=[])
    shown = Shown(server)  # type: ignore[arg-type]

    before = await asyncio.gather(*(shown.names(HANDLE) for _ in range(50)))
    server.objects["PersistentVolume"].append(by_hand())
    after = await shown.names(HANDLE)

    assert (before, after) == ([set()] * 50, {"mine"})
    assert server.listed == ["PersistentVolume"] * 2
