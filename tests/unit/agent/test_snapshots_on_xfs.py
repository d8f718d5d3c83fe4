"""Snapshots and clones on a real XFS: the data of one moment, and a crash anywhere."""

import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from xfspool import MIB, NEEDS_ROOT, SIZE, Xfs, write

from moorage import imagesize, names
from moorage.clone import Origin
from moorage.errors import MoorageError
from moorage.model import RootFolder, VolumeOnDelete
from moorage.share import Wanted
from moorage.snapshotshare import WantedSnapshot
from moorage_operator.agent import clones, loop, records, reflink, snapshotpool
from moorage_operator.agent.origins import Origins
from moorage_operator.agent.reconcile import NoExports, Shares
from moorage_operator.agent.trim import Trimmer

pytestmark = NEEDS_ROOT

WANTED = WantedSnapshot("s", "ns", "nightly", "uid", "a", "a")


def test_a_snapshot_is_the_volume_at_one_moment_and_stays_it(xfs: Xfs) -> None:
    volume = xfs.volume("a")
    before = write(volume / "file", 20 * MIB)

    xfs.snapshot("s", "a")
    write(volume / "file", 20 * MIB)
    (volume / "later").write_text("not in it")

    clone = xfs.clone("c", "s")
    assert (clone / "file").read_bytes() == before
    assert not (clone / "later").exists()


def test_a_clone_and_its_source_are_mounted_side_by_side_and_go_their_own_ways(xfs: Xfs) -> None:
    volume = xfs.volume("a")
    begun = write(volume / "file", MIB)

    clone = xfs.clone("c", "a", kind="volume")
    (clone / "file").write_text("the clone's")
    (volume / "mine").write_text("the source's")

    assert xfs.uuid("a") != xfs.uuid("c")
    assert (xfs.mounts.mounted("a"), xfs.mounts.mounted("c")) == (True, True)
    assert (volume / "file").read_bytes() == begun
    assert not (clone / "mine").exists()


def test_all_that_a_writer_had_on_the_disk_before_is_in_the_snapshot_and_in_order(xfs: Xfs) -> None:
    """The writer does not stop for it: records are numbered and synced one by one."""
    volume, acknowledged, stop = xfs.volume("a"), [0], threading.Event()

    def writer() -> None:
        with (volume / "records").open("wb", buffering=0) as file:
            while not stop.is_set():
                file.write(f"{acknowledged[0]:015d}\n".encode())
                os.fsync(file.fileno())
                acknowledged[0] += 1

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for number in range(3):
            while acknowledged[0] < 50 * (number + 1):
                pass
            before = acknowledged[0]
            xfs.snapshot(f"s{number}", "a")
            (volume / f"before-{number}").write_text(str(before))
    finally:
        stop.set()
        thread.join()

    for number in range(3):
        lines = (xfs.clone(f"c{number}", f"s{number}") / "records").read_text().splitlines()
        assert [int(line) for line in lines] == list(range(len(lines)))
        assert len(lines) >= int((volume / f"before-{number}").read_text())
        xfs.mounts.ensure_unmounted(f"c{number}")
        xfs.pool.ensure_absent(f"c{number}")


def test_a_recorded_snapshot_is_never_taken_again(xfs: Xfs) -> None:
    volume = xfs.volume("a")
    (volume / "file").write_text("first")
    xfs.snapshot("s", "a")
    first = xfs.snapshots.record("s")
    (volume / "file").write_text("second")

    xfs.snapshot("s", "a")

    assert xfs.snapshots.record("s") == first
    assert (xfs.clone("c", "s") / "file").read_text() == "first"


def test_a_snapshot_outlives_its_volume(xfs: Xfs) -> None:
    data = write(xfs.volume("a") / "file", 5 * MIB)
    xfs.snapshot("s", "a")
    xfs.mounts.ensure_unmounted("a")
    xfs.pool.ensure_absent("a")

    assert (xfs.clone("c", "s") / "file").read_bytes() == data


def test_a_larger_clone_grows_with_what_it_begins_with(xfs: Xfs) -> None:
    data = write(xfs.volume("a") / "file", 5 * MIB)
    xfs.snapshot("s", "a")

    clone = xfs.clone("c", "s", size=2 * SIZE)
    xfs.mounts.ensure_grown("c", 2 * SIZE)

    assert xfs.mounts.size("c") >= 2 * SIZE
    assert (clone / "file").read_bytes() == data


def in_a_child_that_dies(at: int, work: Callable[[], None]) -> bool:
    """Whether the child was killed at its `at`-th step, or came to the end before."""
    child = os.fork()
    if child == 0:
        steps = [0]

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any, **named: Any) -> Any:
                steps[0] += 1
                if steps[0] == at:
                    os._exit(9)
                found = real(*arguments, **named)
                steps[0] += 1
                if steps[0] == at:
                    os._exit(9)
                return found

            return step

        try:  # whatever happens, a child does not go on with the tests
            for module, names in (
                (reflink, ("clone_file", "sync_file_system")),
                (clones, ("allocate", "run", "sync_file", "sync_folder")),
                (snapshotpool, ("sync_file", "sync_folder")),
                (records, ("write_durably",)),
                (subprocess, ("run",)),
            ):
                for name in names:
                    setattr(module, name, dying(getattr(module, name)))
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_snapshot_can_be_made_again_after_a_death_anywhere(xfs: Xfs) -> None:
    data = write(xfs.volume("a") / "file", 5 * MIB)
    deaths = 0

    while in_a_child_that_dies(deaths + 1, partial(xfs.snapshot, f"s{deaths}", "a")):
        xfs.snapshot(f"s{deaths}", "a")
        assert xfs.snapshots.record(f"s{deaths}")
        assert {file.name for file in xfs.snapshots.image(f"s{deaths}").parent.iterdir()} == {"image", "snapshot.json"}
        deaths += 1

    assert deaths >= 10
    assert (xfs.clone("c", f"s{deaths - 1}") / "file").read_bytes() == data


def test_a_clone_can_be_made_again_after_a_death_anywhere(xfs: Xfs) -> None:
    data = write(xfs.volume("a") / "file", 5 * MIB)
    xfs.snapshot("s", "a")
    wanted, origin = xfs.wanted("c", "s"), Origin("s", "server", SIZE)
    deaths = 0

    while in_a_child_that_dies(deaths + 1, lambda: xfs.clones.ensure_cloned(wanted, origin)):
        clone = xfs.clone("c", "s")
        assert (clone / "file").read_bytes() == data
        assert xfs.uuid("c") != xfs.uuid("a")
        xfs.mounts.ensure_unmounted("c")
        xfs.pool.ensure_absent("c")
        deaths += 1

    assert deaths >= 18


def test_what_a_death_left_mounted_goes_when_the_volume_does(xfs: Xfs) -> None:
    xfs.volume("a")
    xfs.snapshot("s", "a")
    folder = xfs.pool.volumes / "c"
    folder.mkdir()
    reflink.clone_file(xfs.snapshots.image("s"), folder / "image.tmp")
    point = xfs.mounts.point(".c")
    point.mkdir()
    with loop.attached(folder / "image.tmp") as device:
        subprocess.run(["mount", "-o", "nouuid", str(device), str(point)], check=True)

    xfs.clones.ensure_no_leftovers("c")
    xfs.pool.ensure_absent("c")

    assert not point.exists()
    assert "c" not in xfs.pool.ids()


def test_a_uuid_that_did_not_change_is_noticed(xfs: Xfs, monkeypatch: pytest.MonkeyPatch) -> None:
    """xfs_db ends with 0 whatever it met; a clone of the same UUID could never be mounted beside its source."""
    xfs.volume("a")
    xfs.snapshot("s", "a")
    monkeypatch.setattr(clones, "run", lambda argv, deadline: "")

    with pytest.raises(MoorageError, match="keeps the UUID of its source"):
        xfs.clone("c", "s")
    assert not xfs.pool.unfinished("c")


def test_the_root_folder_is_the_sources_unless_the_volume_asks_for_another(xfs: Xfs) -> None:
    volume = xfs.volume("a")
    volume.chmod(0o750)
    os.chown(volume, 1000, 1001)
    xfs.snapshot("s", "a")
    asked = replace(xfs.wanted("d", "s"), root=RootFolder(mode="2770", uid=7, gid=8))

    kept = xfs.clone("c", "s").stat()
    xfs.clones.ensure_cloned(asked, Origin("s", "server", SIZE))
    xfs.mounts.ensure_mounted("d")
    changed = xfs.mounts.point("d").stat()

    assert (kept.st_mode & 0o7777, kept.st_uid, kept.st_gid) == (0o750, 1000, 1001)
    assert (changed.st_mode & 0o7777, changed.st_uid, changed.st_gid) == (0o2770, 7, 8)


def test_a_clone_of_an_overcommitted_volume_takes_no_room_but_for_its_log(xfs: Xfs) -> None:
    xfs.pool.ensure_image(Wanted("a", "ns", "a", "uid-a", SIZE, sparse=True))
    xfs.mounts.ensure_mounted("a")
    data = write(xfs.mounts.point("a") / "file", 50 * MIB)
    free = xfs.pool.space()[1]

    xfs.snapshot("s", "a")
    xfs.clones.ensure_cloned(replace(xfs.wanted("c", "s"), sparse=True), Origin("s", "server", SIZE))
    xfs.mounts.ensure_mounted("c")

    assert free - xfs.pool.space()[1] < imagesize.LOG_BYTES + 8 * MIB
    assert (xfs.mounts.point("c") / "file").read_bytes() == data
    assert [record.sparse for record in xfs.pool.records()] == [True, True]


def test_a_reserved_clone_of_an_overcommitted_volume_is_reserved(xfs: Xfs) -> None:
    xfs.pool.ensure_image(Wanted("a", "ns", "a", "uid-a", SIZE, sparse=True))
    xfs.mounts.ensure_mounted("a")
    write(xfs.mounts.point("a") / "file", 50 * MIB)
    free = xfs.pool.space()[1]

    xfs.clone("c", "a", kind="volume")

    cost = free - xfs.pool.space()[1]
    assert imagesize.image_bytes(SIZE) <= cost < imagesize.image_bytes(SIZE) + 8 * MIB
    assert [record.sparse for record in xfs.pool.records()] == [True, False]


async def test_a_share_with_a_source_converges_and_grows_to_its_own_size(xfs: Xfs) -> None:
    data = write(xfs.volume("a") / "file", 5 * MIB)
    snapshot = {"metadata": {"name": "nightly", "namespace": "ns", "uid": "uid-s"}}
    id = names.short_id("uid-s")
    origins = Origins(list, lambda: [snapshot], xfs.pool, xfs.snapshots, xfs.mounts)
    shares = Shares(xfs.pool, xfs.mounts, NoExports(), Trimmer(xfs.pool, xfs.mounts, bool), lambda record: "")
    shares.clones = clones.Clones(xfs.pool, xfs.snapshots, xfs.mounts, origins, "server")
    wanted = xfs.wanted("c", "nightly", size=2 * SIZE)

    _, waiting = await shares.converge("c", wanted, None)
    xfs.snapshots.take(replace(WANTED, id=id, uid="uid-s"), xfs.mounts.point("a"), xfs.mounts.size("a"))
    seen, done = await shares.converge("c", wanted, None)

    assert (waiting.reason, done.reason) == ("SourceNotReady", "")
    assert (seen.mounted, seen.fs_bytes) == (True, 2 * SIZE)
    assert (xfs.mounts.point("c") / "file").read_bytes() == data

    gone, _ = await shares.converge("c", replace(wanted, deleting=True, release=VolumeOnDelete.Delete), None)

    assert (gone.record, gone.image_bytes, gone.mounted) == (None, 0, False)
    assert xfs.snapshots.record(id) is not None
