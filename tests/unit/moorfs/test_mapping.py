"""Writable shared mappings of a cache file that the kernel was given: what is stored through them is not lost."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from datafakes import Rig, until

from moorfs import mapping
from moorfs.dirty import stamp_of

SIZE = 1 << 16


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, direct=True, mmap="fast")
    yield made
    made.cache.close()


def mapped(path: str, size: int = SIZE) -> mmap.mmap:
    """A mapping without a descriptor, as it is after mmap(2) and close(2)."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


def unmap(pages: mmap.mmap) -> None:
    """Python keeps a duplicate of the descriptor until then, too."""
    pages.close()


def test_a_mapping_is_told_from_none(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    Path(path).write_bytes(b"x")
    assert not mapping.is_mapped(path)
    pages = mapped(path)
    assert mapping.is_mapped(path)
    unmap(pages)
    assert not mapping.is_mapped(path)
    with mmap.mmap(os.open(path, os.O_RDONLY), 1, prot=mmap.PROT_READ):
        assert not mapping.is_mapped(path)


def test_a_second_store_to_the_same_page_shows_after_writing_back(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    Path(path).write_bytes(b"x")
    pages = mapped(path)
    fd = os.open(path, os.O_RDONLY)
    pages[0] = 1
    for value in range(2, 12):
        mapping.write_back(fd)
        before = stamp_of(fd)
        pages[0] = value
        assert stamp_of(fd) != before
    unmap(pages)
    os.close(fd)


def test_stores_between_two_fsyncs_reach_the_engine_each_time(rig: Rig) -> None:
    node = rig.node("a")
    file = rig.cache.of(node)
    opened = file.create(os.O_RDWR | os.O_CREAT)
    assert opened.backing is not None
    pages = mapped(rig.path(node))
    for value in range(1, 20):
        pages[100] = value
        file.fsync(opened.handle)
        assert rig.store.body("a")[100] == value
    pages[200] = 7
    unmap(pages)
    file.flush(opened.handle)
    file.release(opened.handle)
    assert rig.store.body("a")[200] == 7


def test_a_mapping_that_outlives_its_descriptor_is_stored_when_it_ends(rig: Rig) -> None:
    node = rig.node("a")
    file = rig.cache.of(node)
    opened = file.create(os.O_RDWR | os.O_CREAT)
    pages = mapped(rig.path(node))
    file.flush(opened.handle)
    file.release(opened.handle)
    pages[5] = 55
    assert file.is_dirty
    assert [record.key for record in rig.cache.unsaved()] == ["a"]
    unmap(pages)
    until(lambda: not file.is_dirty)
    assert rig.store.body("a")[5] == 55
    assert rig.cache.unsaved() == []
    assert rig.kernel.held == set()


def test_a_living_mapping_reaches_the_engine_now_and_then(rig: Rig) -> None:
    node = rig.node("a")
    file = rig.cache.of(node)
    opened = file.create(os.O_RDWR | os.O_CREAT)
    pages = mapped(rig.path(node))
    file.flush(opened.handle)
    file.release(opened.handle)
    for value in (1, 2):
        pages[5] = value
        until(lambda value=value: rig.store.body("a")[5] == value, 20)
    unmap(pages)


def test_a_mapping_that_outlives_the_process_is_watched_by_the_next(rig: Rig) -> None:
    node = rig.node("a")
    file = rig.cache.of(node)
    opened = file.create(os.O_RDWR | os.O_CREAT)
    pages = mapped(rig.path(node))
    file.flush(opened.handle)
    file.release(opened.handle)
    rig.crash()
    pages[5] = 66
    unmap(pages)
    until(lambda: not rig.cache.of(node).is_dirty)
    assert rig.store.body("a")[5] == 66


def test_files_opened_for_both_are_not_passed_through_when_strict(tmp_path: Path) -> None:
    rig = Rig(tmp_path, direct=True)
    file = rig.cache.of(rig.node("a"))
    assert file.create(os.O_RDWR | os.O_CREAT).backing is None
    rig.cache.close()
