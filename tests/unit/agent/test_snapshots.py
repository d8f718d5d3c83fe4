"""StorageSnapshots in, snapshots on a real XFS, status out."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xfspool
from xfspool import MIB, NEEDS_ROOT, Xfs, write

from moorage import names
from moorage.model import ImageState, SnapshotImage
from moorage_operator.agent.catalogue import Catalogue
from moorage_operator.agent.snapshots import Snapshots

pytestmark = NEEDS_ROOT

UID = "11111111-2222-3333-4444-555555555555"
ID = names.short_id(UID)
PATH = "/apis/moorage.dev/v1alpha1/namespaces/ns/storagesnapshots/nightly"
BACKEND = {
    "metadata": {"name": "shared"},
    "spec": {"engine": {"ganesha": {"namespace": "storage", "statefulSet": "nfs"}}},
}


class Api:
    """An API server that keeps what was applied, and shows it."""

    def __init__(self) -> None:
        self.applied: list[tuple[str, str, Any]] = []

    async def apply_status(self, path: str, manager: str, body: Any) -> None:
        self.applied.append((path, manager, body))

    @property
    def image(self) -> SnapshotImage:
        return SnapshotImage.model_validate(self.applied[-1][2]["status"]["image"])


class World:
    def __init__(self, xfs: Xfs) -> None:
        self.api, self.changes = Api(), list[tuple[str, str]]()
        self.catalogue = Catalogue("nfs-0", "storage", "nfs")
        self.catalogue.take_backends([BACKEND])
        self.work = Snapshots(
            self.api,  # type: ignore[arg-type]
            self.catalogue,
            xfs.pool,
            xfs.snapshots,
            xfs.mounts,
            lambda namespace, name: self.changes.append((namespace, name)),
        )
        self.work._feed.synced = True

    async def show(self, item: dict[str, Any] | None) -> float | None:
        """The object as it is now, and the work that it makes."""
        self.work._changed(UID, item)
        return await self.work._work(ID)


@pytest.fixture
def world(xfs: Xfs) -> World:
    return World(xfs)


def snapshot(volume: str = "a", **status: Any) -> dict[str, Any]:
    placement = {"backend": "shared", "engine": "ganesha", "server": "nfs-0"}
    return {
        "metadata": {"name": "nightly", "namespace": "ns", "uid": UID},
        "spec": {"volume": volume},
        "status": {"id": ID, "placement": placement, "volumeId": volume, **status},
    }


def deleted(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "metadata": {**item["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


async def test_it_is_taken_and_told_once_and_waiting_volumes_are_woken(world: World, xfs: Xfs) -> None:
    xfs.volume("a")

    again = await world.show(snapshot())

    assert again is None
    record = xfs.snapshots.record(ID)
    assert record
    assert (record.volume_id, record.volume_name, record.namespace, record.name, record.size) == (
        "a", "a", "ns", "nightly", xfs.mounts.size("a"),
    )  # fmt: skip
    assert [(path, manager) for path, manager, _ in world.api.applied] == [(PATH, "moorage-agent")]
    assert world.api.applied[0][2]["metadata"]["uid"] == UID
    assert world.api.image == SnapshotImage(
        state=ImageState.Ready, server="nfs-0", size_bytes=record.size, taken=record.taken
    )
    assert world.changes == [("ns", "nightly")]

    await world.show(snapshot(image=world.api.image.dump()))

    assert len(world.api.applied) == 1


@pytest.mark.parametrize(
    "status",
    [
        {"placement": {"backend": "shared", "engine": "ganesha", "server": "nfs-1"}},
        {"placement": {"backend": "other", "engine": "ganesha", "server": "nfs-0"}},
        {"placement": None},
        {"id": "another"},
        {"volumeId": ""},
        {"release": "not a boolean"},
    ],
)
async def test_what_is_not_clearly_ours_is_left_alone(world: World, xfs: Xfs, status: dict[str, Any]) -> None:
    xfs.volume("a")

    again = await world.show(snapshot(**status))

    assert (again, world.api.applied, xfs.snapshots.ids()) == (None, [], set())


async def test_a_volume_that_is_not_here_is_said_and_looked_for_again(world: World) -> None:
    again = await world.show(snapshot("nowhere"))

    assert again == 5.0
    assert (world.api.image.state, world.api.image.reason) == (ImageState.Failed, "VolumeMissing")


async def test_a_volume_that_is_not_mounted_yet_is_waited_for(world: World, xfs: Xfs) -> None:
    xfs.volume("a")
    xfs.mounts.ensure_unmounted("a")

    await world.show(snapshot())

    assert (world.api.image.state, world.api.image.reason) == (ImageState.Creating, "NotReady")

    xfs.mounts.ensure_mounted("a")
    await world.show(snapshot(image=world.api.image.dump()))

    assert (world.api.image.state, world.api.image.reason) == (ImageState.Ready, "")


async def test_no_room_is_said_and_healed_by_room(tmp_path: Path, plain_mkfs: None) -> None:
    with xfspool.pool_on_xfs(tmp_path, 700 * MIB) as xfs:
        world = World(xfs)
        write(xfs.volume("a") / "file", 200 * MIB)
        ballast = xfs.pool.root / "ballast"
        write(ballast, 200 * MIB)

        again = await world.show(snapshot())

        assert again == 5.0
        assert (world.api.image.state, world.api.image.reason) == (ImageState.Failed, "NoCapacity")

        os.truncate(ballast, 0)  # XFS frees what is unlinked later on
        await world.show(snapshot(image=world.api.image.dump()))

        assert world.api.image.state is ImageState.Ready


async def test_it_goes_when_it_is_deleted_and_released_and_not_before(world: World, xfs: Xfs) -> None:
    xfs.volume("a")
    await world.show(snapshot())
    told = world.api.image.dump()

    await world.show(deleted(snapshot(image=told)))
    await world.show(snapshot(image=told, release=True))

    assert xfs.snapshots.ids() == {ID}
    assert len(world.api.applied) == 1

    await world.show(deleted(snapshot(image=told, release=True)))

    assert xfs.snapshots.ids() == set()
    assert world.api.image.state is ImageState.Released


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


async def test_an_orphan_is_kept_and_told_once(world: World, xfs: Xfs, logged: Callable[[], list[str]]) -> None:
    xfs.volume("a")
    await world.show(snapshot())

    await world.show(None)
    await world.show(None)

    assert xfs.snapshots.ids() == {ID}
    assert logged() == [
        f"snapshot {ID} was StorageSnapshot ns/nightly, which is gone without a release: its data is kept"
    ]


async def test_nothing_is_an_orphan_before_the_first_list(
    world: World, xfs: Xfs, logged: Callable[[], list[str]]
) -> None:
    xfs.volume("a")
    await world.show(snapshot())
    world.work._feed.synced = False

    await world.show(None)

    assert logged() == []


async def test_what_a_crash_left_of_one_that_nobody_wants_is_swept(world: World, xfs: Xfs) -> None:
    folder = xfs.pool.snapshots / ID
    folder.mkdir()
    (folder / "image.tmp").write_text("unfinished")

    await world.show(None)

    assert xfs.snapshots.ids() == set()


async def test_a_snapshot_that_was_taken_is_not_taken_again_from_another_pool(world: World, xfs: Xfs) -> None:
    xfs.volume("a")
    taken = SnapshotImage(state=ImageState.Ready, server="nfs-0", size_bytes=1, taken="2026-01-01T00:00:00Z")

    await world.show(snapshot(image=taken.dump()))

    assert xfs.snapshots.ids() == set()
    assert (world.api.image.state, world.api.image.reason) == (ImageState.Failed, "SnapshotMissing")
    assert world.api.image.taken == taken.taken
