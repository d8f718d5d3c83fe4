"""Room for every promise, on a real XFS: what is reserved can be written, whatever snapshots there are."""

import errno
import math
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import xfspool
from xfspool import MIB, NEEDS_ROOT, SIZE, Xfs, write

from moorage import imagesize
from moorage.errors import NoCapacity
from moorage.share import Wanted
from moorage_operator.agent import extents, reflink
from moorage_operator.agent.pool import Pool

pytestmark = NEEDS_ROOT

_BLOCK = 4096


def test_a_deleted_snapshot_gives_its_room_back(xfs: Xfs) -> None:
    write(xfs.volume("a") / "file", 50 * MIB)
    before = xfs.pool.space()[1]
    xfs.snapshot("s", "a")
    taken = xfs.pool.space()[1]

    xfs.snapshots.ensure_absent("s")

    assert before - taken > 50 * MIB
    assert xfs.pool.space()[1] >= before - MIB
    assert xfs.snapshots.ids() == set()


def test_a_clone_is_reserved_or_promised_to_the_last_byte(xfs: Xfs) -> None:
    write(xfs.volume("a") / "file", 50 * MIB)
    xfs.snapshot("s", "a")
    free = xfs.pool.space()[1]

    xfs.clone("c", "s")

    cost = free - xfs.pool.space()[1]
    assert imagesize.image_bytes(SIZE) <= cost < imagesize.image_bytes(SIZE) + 8 * MIB


def test_shared_blocks_are_counted_by_the_kernel_and_guessed_high_without_time(xfs: Xfs) -> None:
    volume = xfs.volume("a")
    write(volume / "file", 50 * MIB)
    image = xfs.pool.image("a")
    alone = extents.look(image, 10.0, sync=True)

    xfs.snapshot("s", "a")

    both = extents.look(image, 10.0)
    assert (alone.shared, both.own) == (0, 0)
    assert both.shared >= alone.own > 50 * MIB
    assert extents.look(image, 0.0).shared == image.stat().st_blocks * 512


def test_many_extents_are_read_page_by_page(xfs: Xfs) -> None:
    file = xfs.pool.root / "fragments"
    with file.open("wb") as out:
        for number in range(3000):
            out.seek(number * 2 * _BLOCK)
            out.write(b"x" * _BLOCK)

    assert extents.look(file, 10.0, sync=True) == extents.Extents(3000 * _BLOCK, 0)


def test_writing_takes_from_free_and_promised_alike(xfs: Xfs) -> None:
    """So a figure that is some minutes old never promises too much."""
    volume = xfs.volume("a")
    write(volume / "file", 100 * MIB)
    xfs.snapshot("s", "a")
    stale = xfs.pool.space()[1]

    with (volume / "file").open("r+b") as file:
        file.write(os.urandom(80 * MIB))
        file.flush()
        os.fsync(file.fileno())
    os.sync()

    assert xfs.pool.space()[1] <= stale
    xfs.pool.room.renew(xfs.pool.image("a"))
    assert abs(xfs.pool.space()[1] - stale) < 4 * MIB


def fill(path: Path) -> int:
    """Write until there is no space; bytes written. Any other error is one that must not be."""
    written, news = 0, os.urandom(8 * MIB)
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                written += file.write(news)
                os.fsync(file.fileno())
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
                return written


def rewrite_here_and_there(path: Path) -> None:
    """Every block once, never two neighbours in a row, synced at times: each makes an extent of its own."""
    blocks = path.stat().st_size // _BLOCK
    stride = next(number for number in range(blocks // 3, blocks) if math.gcd(number, blocks) == 1)
    with path.open("r+b", buffering=0) as file:
        for count in range(blocks):
            os.pwrite(file.fileno(), os.urandom(_BLOCK), count * stride % blocks * _BLOCK)
            if count % 2000 == 0:
                os.fsync(file.fileno())
        os.fsync(file.fileno())


def test_on_a_pool_full_of_promises_every_byte_of_every_volume_can_be_written(tmp_path: Path, plain_mkfs: None) -> None:
    """Volumes, snapshots of them and a clone, until nothing fits any more; then all of it is written anew."""
    with xfspool.pool_on_xfs(tmp_path, 2 * 2**30) as xfs:
        a = xfs.volume("a", 256 * MIB)
        assert fill(a / "file") > 200 * MIB
        xfs.snapshot("s", "a")
        c = xfs.clone("c", "s", size=SIZE)
        b = xfs.volume("b", 256 * MIB)
        write(b / "file", 150 * MIB)
        xfs.snapshot("b", "b")
        made = make_until_full(lambda number: xfs.volume(f"more{number}", 256 * MIB))
        taken = [make_until_full(lambda number, size=size: snapshot_of_news(xfs, b, size, number)) for size in (20, 1)]

        assert sum(taken) >= 2
        with pytest.raises(NoCapacity, match="enlarge the pool, or delete volumes or snapshots"):
            xfs.volume("none", 256 * MIB)
        for folder in (c, b, *(xfs.mounts.point(f"more{number}") for number in range(made))):
            fill(folder / "rest")
        for folder in (a, c, b):
            rewrite_here_and_there(folder / "file")
        os.sync()
        assert {each for each in (a, b, c) if not alive(each)} == set()


def snapshot_of_news(xfs: Xfs, volume: Path, size: int, number: int) -> None:
    write(volume / "news", size * MIB)
    xfs.snapshot(f"b-{size}-{number}", "b")


def make_until_full(make: Callable[[int], Any]) -> int:
    """How many fitted; the one that did not must say NoCapacity, and leave nothing."""
    for number in range(100):
        try:
            make(number)
        except NoCapacity:
            return number
    raise AssertionError("the pool never got full")


def alive(folder: Path) -> bool:
    """XFS shuts down at an I/O error to its log or a lost write."""
    probe = folder / "file"
    with probe.open("r+b") as file:
        os.fsync(file.fileno())
    return probe.stat().st_size > 0


def test_a_snapshot_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path, plain_mkfs: None) -> None:
    with xfspool.pool_on_xfs(tmp_path, 600 * MIB) as xfs:
        write(xfs.volume("a") / "file", 200 * MIB)
        free = xfs.pool.space()[1]

        with pytest.raises(NoCapacity, match="are needed"):
            xfs.snapshot("s", "a")

        assert xfs.snapshots.record("s") is None
        assert extents.look(xfs.pool.image("a"), 10.0).shared == 0
        assert abs(xfs.pool.space()[1] - free) < MIB


def test_a_clone_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path, plain_mkfs: None) -> None:
    with xfspool.pool_on_xfs(tmp_path, 800 * MIB) as xfs:
        write(xfs.volume("a") / "file", 5 * MIB)
        xfs.snapshot("s", "a")

        with pytest.raises(NoCapacity):
            xfs.clone("c", "s")

        assert xfs.pool.record("c") is None
        assert not xfs.pool.image("c").exists()
        assert not xfs.pool.unfinished("c")


def test_a_pool_on_ext4_offers_no_clones_and_says_what_to_do(tmp_path: Path) -> None:
    disk, root = tmp_path / "disk", tmp_path / "pool"
    root.mkdir()
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", str(disk)], check=True)
    subprocess.run(["mount", "-o", "loop", str(disk), str(root)], check=True)
    try:
        pool = Pool(root)
        pool.open()
        (root / "a").write_bytes(bytes(_BLOCK))

        with pytest.raises(reflink.ClonesNotOffered, match="use XFS"):
            reflink.clone_file(root / "a", root / "b")

        assert pool.clones is False
        assert not list(root.glob("probe*"))
        pool.close()
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_a_pool_on_xfs_offers_clones_and_keeps_no_trace_of_the_question(xfs: Xfs) -> None:
    assert xfs.pool.clones is True
    assert not list(xfs.pool.root.glob("probe*"))


def test_a_plain_volume_costs_no_walk(xfs: Xfs) -> None:
    xfs.pool.ensure_image(Wanted("a", "ns", "a", "uid", SIZE))

    assert xfs.pool.shares_blocks() is False
    assert xfs.pool.room.promised() == 0


def test_how_much_room_there_is_can_be_asked_while_space_is_being_taken(xfs: Xfs) -> None:
    """fallocate(2) takes minutes on some pools, and the heartbeat asks every ten seconds."""
    with ThreadPoolExecutor(1) as other, xfs.pool.room.taking:
        total, free = other.submit(xfs.pool.space).result(timeout=60)

    assert 0 < free < total


def test_growth_beside_snapshots_is_reserved_in_full(xfs: Xfs) -> None:
    volume = xfs.volume("a")
    write(volume / "file", 50 * MIB)
    xfs.snapshot("s", "a")
    free = xfs.pool.space()[1]

    xfs.mounts.ensure_grown("a", 2 * SIZE)

    assert abs(free - xfs.pool.space()[1] - SIZE) < 4 * MIB
    assert fill(volume / "rest") > 2 * SIZE - 100 * MIB


def test_growth_that_would_take_what_is_promised_is_refused(tmp_path: Path, plain_mkfs: None) -> None:
    with xfspool.pool_on_xfs(tmp_path, 800 * MIB) as xfs:
        write(xfs.volume("a") / "file", 200 * MIB)
        xfs.snapshot("s", "a")

        with pytest.raises(NoCapacity, match="delete volumes or snapshots"):
            xfs.mounts.ensure_grown("a", SIZE + 250 * MIB)

        assert xfs.mounts.size("a") == SIZE


def test_what_a_trim_from_outside_gave_away_of_a_reserved_volume_is_taken_again(xfs: Xfs) -> None:
    """Where /etc/fstab is empty, the node's own timer trims whatever is mounted, local volumes too."""
    volume = xfs.volume("a")
    data = write(volume / "file", 10 * MIB)
    xfs.pool.ensure_image(Wanted("b", "ns", "b", "uid-b", SIZE, sparse=True))
    subprocess.run(["fstrim", str(volume)], check=True)
    os.sync()
    assert xfs.pool.allocated_bytes("a") < SIZE // 2

    xfs.pool.ensure_reserved()

    assert xfs.pool.allocated_bytes("a") >= imagesize.image_bytes(SIZE)
    assert xfs.pool.allocated_bytes("b") < SIZE // 2
    assert (volume / "file").read_bytes() == data
