"""What is done for a snapshot, and what its status says: every branch."""

from dataclasses import replace

import pytest

from moorage import snapshotshare
from moorage.model import ImageState, SnapshotImage
from moorage.record import Record, SnapshotRecord
from moorage.snapshotshare import EnsureSnapshotAbsent, EnsureTaken, SeenSnapshot, SnapshotPlan, WantedSnapshot

GIB = 2**30
TAKEN = "2026-11-21T08:00:00Z"
WANTED = WantedSnapshot("snap", "team", "nightly", "uid-s", "vol", "data")
RELEASED = replace(WANTED, deleting=True, release=True)
VOLUME = Record(id="vol", namespace="team", name="data", uid="uid-v", export_id=1, size=GIB)
RECORD = SnapshotRecord(
    id="snap", namespace="team", name="nightly", uid="uid-s", volume_id="vol", volume_name="data", size=GIB, taken=TAKEN
)
FRESH = SeenSnapshot(volume=VOLUME, volume_image_bytes=GIB, shown_bytes=GIB)
DONE = replace(FRESH, record=RECORD, image_bytes=GIB)
TOLD = SnapshotImage(state=ImageState.Ready, server="nfs-0", size_bytes=GIB, taken=TAKEN)


def test_a_new_snapshot_is_taken_with_the_size_that_df_shows() -> None:
    assert snapshotshare.plan("snap", WANTED, FRESH) == SnapshotPlan((EnsureTaken(WANTED, GIB),))


def test_a_taken_snapshot_is_left_alone_whatever_becomes_of_its_volume() -> None:
    for seen in (DONE, replace(DONE, volume=None, volume_image_bytes=0, shown_bytes=0, clones=False)):
        assert snapshotshare.plan("snap", WANTED, seen) == SnapshotPlan()


STUCK: dict[str, tuple[WantedSnapshot, SeenSnapshot, str, str]] = {
    "no such share": (WANTED, replace(FRESH, volume=None), "VolumeMissing", "StorageVolume data has no share vol"),
    "its image is lost": (WANTED, replace(FRESH, volume_image_bytes=0), "VolumeMissing", "has no share vol"),
    "a share of another namespace by the same id": (
        replace(WANTED, namespace="others"), FRESH, "VolumeMissing", "has no share vol on this server",
    ),
    "no reflink": (WANTED, replace(FRESH, clones=False), "ClonesNotOffered", "use XFS (mkfs.xfs with reflink=1"),
    "not mounted": (WANTED, replace(FRESH, shown_bytes=0), "NotReady", "StorageVolume data is not mounted"),
    "its own image is lost": (WANTED, replace(DONE, image_bytes=0), "ImageMissing", "restore snapshots/snap/image"),
    "the wrong pool": (replace(WANTED, told=TOLD), FRESH, "SnapshotMissing", "is this the right pool?"),
    "another snapshot of the same id": (
        replace(WANTED, uid="other"), DONE, "IdTaken", "delete this StorageSnapshot and make it again",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "seen", "reason", "words"), STUCK.values(), ids=STUCK.keys())
def test_what_cannot_be_done_says_why_and_does_nothing(
    wanted: WantedSnapshot, seen: SeenSnapshot, reason: str, words: str
) -> None:
    plan = snapshotshare.plan("snap", wanted, seen)

    assert (plan.actions, plan.reason) == ((), reason)
    assert words in plan.message


def test_what_was_begun_is_made_again() -> None:
    plan = snapshotshare.plan("snap", WANTED, replace(FRESH, unfinished=True, image_bytes=GIB))

    assert plan.actions == (EnsureTaken(WANTED, GIB),)


def test_nothing_is_taken_for_one_that_is_being_deleted() -> None:
    assert snapshotshare.plan("snap", replace(WANTED, deleting=True), FRESH) == SnapshotPlan()


@pytest.mark.parametrize("wanted", [replace(WANTED, deleting=True), replace(WANTED, release=True)])
def test_data_stays_until_it_is_deleted_and_released(wanted: WantedSnapshot) -> None:
    assert snapshotshare.plan("snap", wanted, DONE) == SnapshotPlan()


@pytest.mark.parametrize(
    "seen",
    [
        DONE,
        replace(DONE, image_bytes=0),
        replace(FRESH, image_bytes=GIB, unfinished=True),
        replace(FRESH, unfinished=True),
    ],
)
def test_a_released_snapshot_goes_whole_or_in_parts(seen: SeenSnapshot) -> None:
    assert snapshotshare.plan("snap", RELEASED, seen) == SnapshotPlan((EnsureSnapshotAbsent("snap"),))


def test_a_released_snapshot_that_is_gone_is_gone() -> None:
    assert snapshotshare.plan("snap", RELEASED, FRESH) == SnapshotPlan()


def test_a_release_does_not_reach_another_snapshot_of_the_same_id() -> None:
    assert snapshotshare.plan("snap", replace(RELEASED, uid="other"), DONE) == SnapshotPlan()


def test_an_orphan_is_kept_and_what_was_never_finished_is_not() -> None:
    assert snapshotshare.plan("snap", None, DONE) == SnapshotPlan()
    assert snapshotshare.plan("snap", None, replace(DONE, record=None, unfinished=True)) == SnapshotPlan()
    assert snapshotshare.plan("snap", None, SeenSnapshot(unfinished=True)).actions == (EnsureSnapshotAbsent("snap"),)


STATUS: dict[str, tuple[WantedSnapshot, SeenSnapshot, str, str, SnapshotImage]] = {
    "taken": (WANTED, DONE, "", "", TOLD),
    "waiting": (
        WANTED, FRESH, "NotReady", "wait",
        SnapshotImage(state=ImageState.Creating, server="nfs-0", reason="NotReady", message="wait"),
    ),
    "no room": (
        WANTED, FRESH, "NoCapacity", "full",
        SnapshotImage(state=ImageState.Failed, server="nfs-0", reason="NoCapacity", message="full"),
    ),
    "lost: what was told stands, it proves that there was data": (
        replace(WANTED, told=TOLD), FRESH, "SnapshotMissing", "gone",
        TOLD.model_copy(update={"state": ImageState.Failed, "reason": "SnapshotMissing", "message": "gone"}),
    ),
    "released": (RELEASED, FRESH, "", "", SnapshotImage(state=ImageState.Released, server="nfs-0")),
    "not released before it is gone": (
        RELEASED, DONE, "OSError", "busy",
        TOLD.model_copy(update={"state": ImageState.Failed, "reason": "OSError", "message": "busy"}),
    ),
    "another's data is not told": (
        replace(WANTED, uid="other"), DONE, "IdTaken", "no",
        SnapshotImage(state=ImageState.Failed, server="nfs-0", reason="IdTaken", message="no"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "seen", "reason", "message", "expected"), STATUS.values(), ids=STATUS.keys())
def test_status(wanted: WantedSnapshot, seen: SeenSnapshot, reason: str, message: str, expected: SnapshotImage) -> None:
    assert snapshotshare.status("nfs-0", wanted, seen, reason, message) == expected
