"""A volume that begins with a snapshot or another volume: what it waits for, and what it is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage import clone, names, share
from moorage.actions import Problem
from moorage.clone import Asked, Here, Origin
from moorage.model import ShareState, VolumeOnDelete, VolumeSource
from moorage.record import Record, SnapshotRecord
from moorage.share import EnsureAbsent, EnsureCloned, EnsureImage, EnsureMounted, Place, Plan, Seen, Wanted
from moorage_operator.agent.mounts import Mounts
from moorage_operator.agent.origins import Origins
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.report import share_status
from moorage_operator.agent.settings import Settings
from moorage_operator.agent.snapshotpool import SnapshotPool

GIB = 2**30
PLACE = Place("/export", ("10.0.0.1",))
ASKED = Asked("snapshot", "nightly")
WANTED = Wanted("new", "team", "again", "uid-new", GIB, source=ASKED)
ORIGIN = Origin("snapid", "nfs-0", GIB)
HERE = Here("nfs-0", clones=True)
SETTINGS = Settings.read({"POD_NAME": "nfs-0", "POD_NAMESPACE": "storage"})

REFUSED: dict[str, tuple[Asked, int, Origin | None, Here, str, str]] = {
    "no snapshot": (ASKED, GIB, None, HERE, "SourceNotFound", "no StorageSnapshot nightly in this namespace: make it"),
    "no volume": (Asked("volume", "data"), GIB, None, HERE, "SourceNotFound", "no StorageVolume data in this"),
    "elsewhere": (ASKED, GIB, replace(ORIGIN, server="nfs-1"), HERE, "SourceElsewhere", "is on server nfs-1"),
    "not placed": (ASKED, GIB, Origin("snapid", ""), HERE, "SourceNotReady", "StorageSnapshot nightly is not ready"),
    "not taken": (ASKED, GIB, Origin("snapid", "nfs-0"), HERE, "SourceNotReady", "see its status"),
    "no reflink": (ASKED, GIB, ORIGIN, replace(HERE, clones=False), "ClonesNotOffered", "use XFS"),
    "too small": (ASKED, GIB - 4096, ORIGIN, HERE, "SourceTooSmall", "nightly has 1Gi: write at least size: 1Gi"),
}


@pytest.mark.parametrize(("asked", "size", "origin", "here", "reason", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_source_that_cannot_be_had_is_named_with_what_to_do(
    asked: Asked, size: int, origin: Origin | None, here: Here, reason: str, words: str
) -> None:
    found = clone.refusal(asked, size, origin, here)

    assert found
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize("size", [GIB, GIB - 1, 2 * GIB])
def test_a_source_of_the_same_size_or_less_is_taken(size: int) -> None:
    assert clone.refusal(ASKED, size, ORIGIN, HERE) is None


def test_a_source_is_a_snapshot_or_a_volume() -> None:
    assert Asked.of(VolumeSource(snapshot="s")) == Asked("snapshot", "s")
    assert Asked.of(VolumeSource(volume="v")) == Asked("volume", "v")
    assert Asked.of(None) is None


def test_a_new_share_begins_with_its_source() -> None:
    assert share.plan(WANTED, Seen(), PLACE, ORIGIN) == Plan((EnsureCloned(WANTED, ORIGIN), EnsureMounted("new")))


def test_there_is_never_an_empty_image_where_there_shall_be_files() -> None:
    problem = Problem("SourceNotReady", "wait")

    assert share.plan(WANTED, Seen(), PLACE, problem) == Plan((), "SourceNotReady", "wait")
    assert share.plan(WANTED, Seen(unfinished=True), PLACE, problem) == Plan((), "SourceNotReady", "wait")
    assert share.plan(WANTED, Seen(), PLACE).reason == "NotOffered"


def test_a_whole_image_gets_its_record_even_when_its_source_has_gone() -> None:
    plan = share.plan(WANTED, Seen(image_bytes=GIB), PLACE, Problem("SourceNotFound", "gone"))

    assert plan == Plan((EnsureImage(WANTED), EnsureMounted("new")))


def test_a_clone_that_was_served_and_lost_is_not_made_anew() -> None:
    assert share.plan(replace(WANTED, export_id=3), Seen(), PLACE, ORIGIN).reason == "ShareMissing"


def test_a_clone_that_is_deleted_before_it_was_made_leaves_nothing() -> None:
    deleted = replace(WANTED, deleting=True, release=VolumeOnDelete.Delete)

    assert share.plan(replace(WANTED, deleting=True), Seen(), PLACE, ORIGIN) == Plan()
    assert share.plan(deleted, Seen(unfinished=True), PLACE) == Plan((EnsureAbsent("new"),))


def test_waiting_for_a_source_is_no_failure() -> None:
    waiting = share_status(SETTINGS, WANTED, Seen(), "SourceNotReady", "wait")
    failed = share_status(SETTINGS, WANTED, Seen(), "SourceTooSmall", "write more")

    assert (waiting.state, waiting.reason, waiting.message) == (ShareState.Creating, "SourceNotReady", "wait")
    assert (failed.state, failed.reason) == (ShareState.Failed, "SourceTooSmall")


class Mounted(Mounts):
    """Everything is mounted, and shows 2 GiB."""

    def mounted(self, volume_id: str) -> bool:
        return True

    def size(self, volume_id: str) -> int:
        return 2 * GIB


UID = "11111111-2222-3333-4444-555555555555"
ID = names.short_id(UID)


def item(namespace: str = "team", server: str = "nfs-0", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "nightly", "namespace": namespace, "uid": UID, **metadata},
        "status": {"placement": {"server": server}, "release": True},
    }


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path / "pool")
    pool.open()
    return pool


def origins(pool: Pool, *items: dict[str, Any]) -> Origins:
    return Origins(lambda: items, lambda: items, pool, SnapshotPool(pool), Mounted(pool.root / "mounts", pool))


def put_snapshot(pool: Pool, uid: str) -> None:
    record = SnapshotRecord(
        id=ID, namespace="team", name="nightly", uid=uid, volume_id="v", volume_name="data", size=GIB, taken="now"
    )
    folder = pool.snapshots / ID
    folder.mkdir()
    (folder / "image").write_text("data")
    (folder / "snapshot.json").write_text(record.model_dump_json(by_alias=True))


def test_a_snapshot_is_found_by_name_in_the_volumes_own_namespace_only(pool: Pool) -> None:
    put_snapshot(pool, UID)

    assert origins(pool, item()).find("team", ASKED) == Origin(ID, "nfs-0", GIB)
    assert origins(pool, item(namespace="others")).find("team", ASKED) is None
    assert origins(pool).find("team", ASKED) is None


def test_a_snapshot_that_is_not_taken_or_is_of_another_uid_has_no_size(pool: Pool) -> None:
    assert origins(pool, item()).find("team", ASKED) == Origin(ID, "nfs-0", 0)

    put_snapshot(pool, "another")

    assert origins(pool, item()).find("team", ASKED) == Origin(ID, "nfs-0", 0)


def test_a_source_that_is_being_destroyed_is_not_there_and_one_that_is_only_deleted_is(pool: Pool) -> None:
    put_snapshot(pool, UID)
    deleted = item(deletionTimestamp="2026-01-01T00:00:00Z")
    held = {**deleted, "status": {"placement": {"server": "nfs-0"}}}

    assert origins(pool, deleted).find("team", ASKED) is None
    assert origins(pool, held).find("team", ASKED) == Origin(ID, "nfs-0", GIB)


def test_a_volume_is_a_source_with_the_size_that_df_shows(pool: Pool) -> None:
    asked = Asked("volume", "nightly")
    pool.image(ID).parent.mkdir()
    pool.image(ID).write_text("data")
    pool.save_record(Record(id=ID, namespace="team", name="nightly", uid=UID, export_id=1, size=GIB))

    assert origins(pool, item()).find("team", asked) == Origin(ID, "nfs-0", 2 * GIB)


def test_a_source_that_nobody_placed_is_on_no_server(pool: Pool) -> None:
    fresh = {"metadata": item()["metadata"]}

    assert origins(pool, fresh).find("team", ASKED) == Origin(ID, "", 0)
