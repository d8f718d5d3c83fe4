"""What to do for a share, from what is wanted and seen."""

from dataclasses import replace

import pytest

from moorage import imagesize, share
from moorage.ganesha import Export
from moorage.model import Squash, VolumeOnDelete
from moorage.record import Record
from moorage.share import (
    EnsureAbsent,
    EnsureExported,
    EnsureGrown,
    EnsureImage,
    EnsureMounted,
    EnsureRetained,
    EnsureSquash,
    EnsureUnexported,
    EnsureUnmounted,
    Place,
    Plan,
    Seen,
    Wanted,
)

MIB, GIB = 2**20, 2**30
PLACE = Place("/export", ("10.0.0.1",))
WANTED = Wanted("abc", "default", "data", "uid-1", GIB)
RECORD = Record(id="abc", namespace="default", name="data", uid="uid-1", export_id=7, size=GIB)
EXPORT = Export(7, "/export/abc", "/vol/abc", ("10.0.0.1",))
SERVED = Seen(RECORD, GIB + 64 * MIB, GIB, True, EXPORT)
GONE = replace(WANTED, deleting=True)
DELETED, RETAINED = replace(GONE, release=VolumeOnDelete.Delete), replace(GONE, release=VolumeOnDelete.Retain)
SQUASHED = RECORD.model_copy(update={"squash": Squash.Root})
KEPT = RECORD.model_copy(update={"retained": True})

CASES = {
    "nothing yet": (WANTED, Seen(), (EnsureImage(WANTED), EnsureMounted("abc"))),
    "image made, crash before its record": (
        WANTED,
        Seen(image_bytes=GIB + 64 * MIB),
        (EnsureImage(WANTED), EnsureMounted("abc")),
    ),
    "not mounted": (WANTED, replace(SERVED, mounted=False, exported=None), (EnsureMounted("abc"),)),
    "mount lost under an export": (
        WANTED,
        replace(SERVED, mounted=False),
        (EnsureUnexported(7), EnsureMounted("abc")),
    ),
    "file system shut down": (
        WANTED,
        replace(SERVED, fs_bytes=0, down=True),
        (EnsureUnexported(7), EnsureUnmounted("abc"), EnsureMounted("abc")),
    ),
    "file system shut down, taken out of service a crash ago": (
        WANTED,
        replace(SERVED, fs_bytes=0, down=True, exported=None),
        (EnsureUnmounted("abc"), EnsureMounted("abc")),
    ),
    "file system shut down, and released": (
        DELETED,
        replace(SERVED, fs_bytes=0, down=True),
        (EnsureUnexported(7), EnsureUnmounted("abc"), EnsureAbsent("abc")),
    ),
    "not exported": (WANTED, replace(SERVED, exported=None), (EnsureExported(EXPORT),)),
    "other clients": (WANTED, replace(SERVED, exported=replace(EXPORT, clients=())), (EnsureExported(EXPORT),)),
    "served": (WANTED, SERVED, ()),
    "another squash: written down, then exported": (
        replace(WANTED, squash=Squash.Root),
        SERVED,
        (EnsureSquash("abc", Squash.Root), EnsureExported(replace(EXPORT, squash=Squash.Root))),
    ),
    "another squash, written down before a crash": (
        replace(WANTED, squash=Squash.Root),
        replace(SERVED, record=SQUASHED),
        (EnsureExported(replace(EXPORT, squash=Squash.Root)),),
    ),
    "squash taken back": (
        WANTED,
        replace(SERVED, record=SQUASHED, exported=replace(EXPORT, squash=Squash.Root)),
        (EnsureSquash("abc", Squash.none), EnsureExported(EXPORT)),
    ),
    "to grow": (replace(WANTED, size=2 * GIB), SERVED, (EnsureGrown("abc", 2 * GIB),)),
    "to export before it grows": (
        replace(WANTED, size=2 * GIB),
        replace(SERVED, exported=None),
        (EnsureExported(EXPORT), EnsureGrown("abc", 2 * GIB)),
    ),
    "never shrinks": (replace(WANTED, size=512 * MIB), SERVED, ()),
    "deleting but held: served on, not grown": (replace(GONE, size=2 * GIB), SERVED, ()),
    "deleting before it was made": (GONE, Seen(), ()),
    "release without deletion is no release": (replace(WANTED, release=VolumeOnDelete.Delete), SERVED, ()),
    "released": (DELETED, SERVED, (EnsureUnexported(7), EnsureUnmounted("abc"), EnsureAbsent("abc"))),
    "released, half done": (DELETED, replace(SERVED, exported=None, mounted=False), (EnsureAbsent("abc"),)),
    "released, image unlinked": (DELETED, Seen(record=RECORD), (EnsureAbsent("abc"),)),
    "released, done": (DELETED, Seen(), ()),
    "released to be kept": (RETAINED, SERVED, (EnsureUnexported(7), EnsureUnmounted("abc"), EnsureRetained("abc"))),
    "kept": (RETAINED, Seen(KEPT, GIB), ()),
    "kept, and its volume is back": (WANTED, Seen(KEPT, GIB), (EnsureRetained("abc", retained=False),)),
    "orphan": (None, SERVED, (EnsureUnexported(7), EnsureUnmounted("abc"))),
    "orphan out of service": (None, Seen(RECORD, GIB), ()),
    "orphan never finished": (None, Seen(unfinished=True, id="abc"), (EnsureAbsent("abc"),)),
    "orphan with an image, never recorded": (None, Seen(image_bytes=GIB, unfinished=True, id="abc"), ()),
    "orphan grown anew, a crash ago": (None, Seen(RECORD, GIB, unfinished=True, id="abc"), ()),
}


@pytest.mark.parametrize(("wanted", "seen", "actions"), CASES.values(), ids=CASES.keys())
def test_plan(wanted: Wanted | None, seen: Seen, actions: tuple[share.Action, ...]) -> None:
    assert share.plan(wanted, seen, PLACE) == Plan(actions)


def test_an_export_whose_clients_are_all_gone_admits_nobody() -> None:
    nobody = replace(EXPORT, clients=())

    assert share.plan(WANTED, SERVED, Place("/export", ())) == Plan((EnsureExported(nobody),))
    assert share.plan(WANTED, replace(SERVED, exported=nobody), Place("/export", ())) == Plan()


def test_a_volume_that_was_served_never_gets_an_empty_share_on_another_pool() -> None:
    plan = share.plan(replace(WANTED, export_id=7), Seen(), PLACE)

    assert (plan.actions, plan.reason) == ((), "ShareMissing")
    assert "is this the right pool?" in plan.message


def test_a_share_that_was_lost_can_be_released() -> None:
    assert share.plan(replace(DELETED, export_id=7), Seen(), PLACE) == Plan()


def test_an_image_that_vanished_is_never_made_anew() -> None:
    plan = share.plan(WANTED, Seen(record=RECORD, exported=EXPORT), PLACE)

    assert plan.actions == (EnsureUnexported(7),)
    assert plan.reason == "ImageMissing"
    assert "restore volumes/abc/image" in plan.message


def test_an_image_that_vanished_while_mounted_stays_mounted() -> None:
    plan = share.plan(WANTED, replace(SERVED, image_bytes=0), PLACE)

    assert plan.actions == ()
    assert plan.reason == "ImageMissing"


def test_without_known_nodes_nothing_is_exported() -> None:
    plan = share.plan(WANTED, replace(SERVED, exported=None), Place("/export", None))

    assert (plan.actions, plan.reason) == ((), "NoClients")


@pytest.mark.parametrize(
    ("size", "usable"),
    [(1, 256 * MIB), (256 * MIB, 256 * MIB), (GIB, GIB), (10**9, 10**9 // 4096 * 4096 + 4096), (GIB + 1, GIB + 4096)],
)
def test_usable_size_is_never_less_than_asked(size: int, usable: int) -> None:
    assert imagesize.usable_bytes(size) == usable
    assert imagesize.image_bytes(size) == usable + 64 * MIB


@pytest.mark.parametrize(
    ("size", "group", "image"),
    [
        (GIB, 272 * MIB, GIB + 64 * MIB),  # the tail is a whole number of groups
        (GIB, GIB, GIB + 64 * MIB),  # a long tail makes a last group
        (GIB + 4096, 272 * MIB, GIB + 64 * MIB + 64 * 4096),  # 4 KiB of tail would be dropped by growfs
    ],
)
def test_grown_image_keeps_a_last_group_that_growfs_accepts(size: int, group: int, image: int) -> None:
    assert imagesize.grown_image_bytes(size, group) == image


def test_group_size_is_read_from_the_superblock() -> None:
    head = b"XFSB" + (4096).to_bytes(4, "big") + bytes(76) + (23296).to_bytes(4, "big") + bytes(8)

    assert imagesize.group_bytes(head) == 23296 * 4096


def test_a_foreign_superblock_is_refused() -> None:
    with pytest.raises(ValueError, match="XFS superblock"):
        imagesize.group_bytes(bytes(96))


@pytest.mark.parametrize(("free", "room"), [(0, 0), (80 * MIB, 0), (GIB, GIB - 80 * MIB)])
def test_room_leaves_the_reserve_and_the_log(free: int, room: int) -> None:
    assert imagesize.room(free) == room
