"""What a reader of a folder wants next is got for him while he goes on; and without that he misses nothing."""

import threading
from pathlib import Path

import pytest
from treerig import Rig

S3FS = {"mode": "33184", "uid": "1000", "gid": "100", "mtime": "1700000000"}
COUNT = 2500


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    found = Rig(tmp_path)
    for number in range(COUNT):
        found.store.make(f"f{number:04d}", b"", S3FS)
    return found


def read(rig: Rig, plus: bool, step: int = 200, most: int = COUNT) -> list[str]:
    """As the kernel does: some names with each request."""
    handle, offset, names = rig.system.opendir(1), 0, list[str]()
    while len(names) < most:
        found = []
        for item in rig.system.readdir(1, handle, offset, plus):
            found.append(item)
            if len(found) == step:
                break
        if not found:
            break
        offset = found[-1].next
        names += [item.name.decode() for item in found if item.name not in (b".", b"..")]
        if plus:
            assert all(item.mode == 0o100640 for item in found if item.name not in (b".", b".."))
    rig.system.releasedir(1, handle)
    return names


def test_each_object_is_asked_for_once_and_each_page_too_the_first_in_two(rig: Rig):
    assert read(rig, plus=True) == [f"f{number:04d}" for number in range(COUNT)]

    assert rig.store.since(0) == {"list": 4, "head": COUNT}


def test_names_alone_cost_their_pages(rig: Rig):
    assert read(rig, plus=False) == [f"f{number:04d}" for number in range(COUNT)]

    assert rig.store.since(0) == {"list": 3}


def test_who_reads_one_answer_makes_nobody_read_the_rest(rig: Rig):
    assert len(read(rig, plus=True, most=100)) >= 100

    assert rig.store.since(0)["list"] == 2
    assert rig.store.since(0)["head"] <= 256


def test_all_is_found_when_no_thread_has_time(rig: Rig):
    hold = threading.Event()
    pool = rig.system.volume.heads.pool
    for _ in range(32):
        pool.submit(hold.wait, 60)
    try:
        assert read(rig, plus=True) == [f"f{number:04d}" for number in range(COUNT)]
    finally:
        hold.set()

    assert rig.store.since(0) == {"list": 4, "head": COUNT}


def test_what_vanishes_after_its_page_was_read_is_left_out(rig: Rig):
    handle = rig.system.opendir(1)
    first = [item for item, _ in zip(rig.system.readdir(1, handle, 0, True), range(10), strict=False)]
    for number in range(500, 600):
        del rig.store.objects[f"f{number:04d}"]

    rest = [item.name.decode() for item in rig.system.readdir(1, handle, first[-1].next, True)]

    assert rest == [f"f{number:04d}" for number in range(8, COUNT) if not 500 <= number < 600]


def test_names_that_the_answer_had_no_room_for_are_not_kept(rig: Rig):
    handle, tree = rig.system.opendir(1), rig.system.volume.tree
    before = len(tree)

    items = iter(rig.system.readdir(1, handle, 0, True))
    told = [next(items).node for _ in range(12)]
    del items

    assert len(tree) - before == 10  # all but . and ..
    assert all(tree.known(node) for node in told)
    assert [node.lookups for node in tree.all() if node is not tree.root] == [1] * 10
