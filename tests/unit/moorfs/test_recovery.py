"""The tree after a kill -9: the same numbers, handles, attributes; requests that come again are recognised."""

import errno
import os
import stat
import time
from pathlib import Path

import pytest
from treerig import Rig

from moorage.errors import InvalidInput
from moorfs import recovery
from moorfs.journal import replay
from moorfs.mounting import Tending, state_log
from moorfs.ports import Caller, Change, FileError
from moorfs.records import Made, Opened

AGAIN = Caller(resent=True)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def refusal(action: object, *arguments: object) -> int:
    with pytest.raises(FileError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.errno or 0


def test_numbers_names_and_attributes_are_the_same_after_a_takeover(rig: Rig):
    rig.mkdir("d")
    rig.write("d/f", b"data", 0o640)
    rig.set("d/f", uid=7)
    rig.system.symlink(rig.number("d"), b"l", b"f", Caller())
    rig.rename("d", "moved")
    rig.write("gone", b"")
    rig.unlink("gone")
    paths = ("moved/f", "moved/l")
    before = {path: rig.look_up(path) for path in paths}

    again = rig.again()

    for path in paths:
        found = before[path]
        assert found
        assert again.system.getattr(found.node, None, Caller())[0] == found
        assert again.look_up(path) == found
    assert again.look_up("gone") is None
    assert (
        again.number("moved")
        == rig.number("moved")
        != again.write("new", b"")
        not in [found.node for found in before.values() if found]
    )


def test_nodes_under_a_folder_that_moved_below_a_younger_one_are_found(rig: Rig):
    rig.mkdir("old")
    rig.write("old/f", b"x")
    rig.mkdir("young")
    rig.rename("old", "young/old")
    number = rig.number("young/old/f")
    rig.system.volume.journal.compact(recovery.live)

    again = rig.again()

    assert again.number("young/old/f") == number
    assert again.system.volume.tree.node(number).key == "young/old/f"


def test_an_open_file_with_bytes_that_are_not_stored_is_written_on_with_its_attributes(rig: Rig):
    parent, name = rig.parent("f")
    entry, opened = rig.system.create(parent, name, os.O_RDWR, 0o600, rig.asks())
    assert entry.attributes
    node = entry.attributes.node
    rig.system.write(node, opened.handle, 0, memoryview(b"one"))
    rig.set("f", uid=11, mode=0o640)

    again = rig.again()
    found, _ = again.system.getattr(node, opened.handle, Caller())
    again.system.write(node, opened.handle, 3, memoryview(b" two"))
    again.close(node, opened.handle)

    assert (found.mode, found.uid, found.size) == (0o100640, 11, 3)
    assert again.store.objects["f"].body == b"one two"
    assert again.store.objects["f"].metadata["uid"] == "11"
    assert again.store.objects["f"].metadata["mode"] == str(0o100640)


def test_an_unlinked_open_file_is_read_on(rig: Rig):
    node = rig.write("f", b"data")
    opened = rig.system.open(node, os.O_RDONLY, rig.asks())
    rig.unlink("f")

    again = rig.again()

    assert bytes(again.system.read(node, opened.handle, 0, 10)) == b"data"
    assert again.system.getattr(node, opened.handle, Caller())[0].links == 0
    again.close(node, opened.handle)
    assert again.store.objects == {}


def test_a_second_takeover_knows_what_the_first_one_did(rig: Rig):
    rig.write("a", b"x")
    again = rig.again()
    again.rename("a", "b")
    again.mkdir("d")
    third = again.again()

    assert third.number("b") == rig.number("b") if rig.look_up("b") else third.number("b")
    assert sorted(third.names()) == ["b", "d"]


# Requests that come again


def test_mkdir_symlink_and_mknod_that_were_done_succeed(rig: Rig):
    rig.mkdir("d")
    rig.system.symlink(1, b"l", b"t", Caller())
    rig.system.mknod(1, b"p", stat.S_IFIFO | 0o600, 0, Caller())
    numbers = [rig.number(name) for name in ("d", "l", "p")]
    again = rig.again()

    entries = [
        again.system.mkdir(1, b"d", 0o755, AGAIN),
        again.system.symlink(1, b"l", b"t", AGAIN),
        again.system.mknod(1, b"p", stat.S_IFIFO | 0o600, 0, AGAIN),
    ]

    assert [entry.attributes.node for entry in entries if entry.attributes] == numbers
    assert refusal(again.system.mkdir, 1, b"d", 0o755, Caller()) == errno.EEXIST
    assert refusal(again.system.mkdir, 1, b"l", 0o755, AGAIN) == errno.EEXIST


def test_unlink_and_rmdir_that_were_done_succeed(rig: Rig):
    rig.write("f", b"")
    rig.mkdir("d")
    rig.unlink("f")
    rig.rmdir("d")
    again = rig.again()

    again.system.unlink(1, b"f", AGAIN)
    again.system.rmdir(1, b"d", AGAIN)
    assert refusal(again.system.unlink, 1, b"f", Caller()) == errno.ENOENT
    assert refusal(again.system.rmdir, 1, b"d", Caller()) == errno.ENOENT


def test_an_exclusive_create_that_was_done_is_ours_and_only_ours(rig: Rig):
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    rig.system.create(1, b"f", flags, 0o644, Caller(unique=42))
    again = rig.again()

    assert refusal(again.system.create, 1, b"f", flags, 0o644, Caller(resent=True, unique=44)) == errno.EEXIST
    entry, opened = again.system.create(1, b"f", flags, 0o644, Caller(resent=True, unique=42))
    assert entry.attributes
    again.system.write(entry.attributes.node, opened.handle, 0, memoryview(b"x"))
    again.close(entry.attributes.node, opened.handle)

    assert again.store.objects["f"].body == b"x"
    assert again.system.volume.tree.leaf(entry.attributes.node).busy is False


def test_an_exclusive_create_that_died_before_its_answer_was_written_is_ours(rig: Rig):
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    rig.system.create(1, b"f", flags, 0o644, Caller(unique=42))
    cut(rig, "Q")
    again = rig.again()

    entry, opened = again.system.create(1, b"f", flags, 0o644, Caller(resent=True, unique=42))

    assert entry.attributes
    again.close(entry.attributes.node, opened.handle)
    assert again.system.volume.tree.leaf(entry.attributes.node).busy is False
    assert set(again.store.objects) == {"f"}


def test_an_exclusive_create_that_died_before_it_was_opened_is_made_anew(rig: Rig):
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    rig.system.create(1, b"f", flags, 0o644, Caller(unique=42))
    cut(rig, "O")
    again = rig.again()

    entry, opened = again.system.create(1, b"f", flags, 0o644, Caller(resent=True, unique=42))

    assert entry.attributes
    again.close(entry.attributes.node, opened.handle)
    assert set(again.store.objects) == {"f"}


def cut(rig: Rig, letter: str) -> None:
    """The log ends before the first line of that kind: the process died there."""
    path = rig.home / "journal"
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if line[9:13] == f'["{letter}"'.encode())
    path.write_bytes(b"".join(lines[:first]))


def test_an_open_that_comes_again_leaves_no_handle_behind(rig: Rig):
    node = rig.write("f", b"x")
    rig.system.open(node, os.O_RDONLY, Caller(unique=42))
    again = rig.again()
    opened = again.system.open(node, os.O_RDONLY, Caller(resent=True, unique=42))
    again.system.release(node, opened.handle)

    assert again.system.volume.tree.leaf(node).busy is False
    assert not recovery.folded(replay(rig.home / "journal")[0]).handles


def test_a_handle_that_nobody_heard_of_is_closed_after_a_while(rig: Rig):
    node = rig.write("f", b"x")
    rig.system.open(node, os.O_RDONLY, Caller(unique=42))
    lines = (rig.home / "journal").read_bytes().splitlines(keepends=True)
    (rig.home / "journal").write_bytes(b"".join(lines[:-1]))
    again = rig.again()
    assert again.system.volume.tree.leaf(node).busy

    Tending(again.system, resent=0).settle()

    assert again.system.volume.tree.leaf(node).busy is False


def test_a_handle_that_the_kernel_has_is_kept(rig: Rig):
    node = rig.write("f", b"x")
    opened = rig.system.open(node, os.O_RDONLY, Caller(unique=42))
    again = rig.again()

    Tending(again.system, resent=0).settle()

    assert bytes(again.system.read(node, opened.handle, 0, 1)) == b"x"


def test_a_folder_is_read_on_where_the_process_before_stopped(rig: Rig):
    for number in range(10):
        rig.write(f"f{number}", b"")
    handle = rig.system.opendir(1)
    first = [item.name for item in rig.system.readdir(1, handle, 0, False)][:6]

    again = rig.again()
    rest = [item.name for item in again.system.readdir(1, handle, 6, False)]

    assert first + rest == [b".", b"..", *(b"f%d" % number for number in range(10))]
    assert again.system.opendir(1) != handle


# Forgetting


def test_what_an_earlier_process_told_is_forgotten_when_the_kernel_drops_it(rig: Rig):
    node = rig.write("f", b"")
    again = rig.again()
    again.look_up("f")
    again.look_up("f")

    again.system.forget(node, 1)
    assert again.system.volume.tree.known(node)
    again.system.forget(node, 3)
    assert again.system.volume.tree.known(node) is None


# The log


def test_a_new_mount_starts_with_an_empty_log(rig: Rig):
    rig.write("f", b"x")
    fresh = rig.again(takeover=False)

    assert replay(rig.home / "journal") == ([], 0)
    assert fresh.read("f") == b"x"


def test_a_takeover_without_a_log_or_of_another_version_cannot_be(tmp_path: Path):
    with pytest.raises(InvalidInput, match="mount anew"):
        state_log(tmp_path / "journal", True, lambda: None)
    (tmp_path / "journal").write_bytes(b"another program's\n")
    with pytest.raises(InvalidInput, match="mount anew"):
        state_log(tmp_path / "journal", True, lambda: None)

    state_log(tmp_path / "journal", False, lambda: None)

    assert (tmp_path / "journal.unknown").read_bytes() == b"another program's\n"


def test_compaction_keeps_all_that_a_takeover_needs(rig: Rig):
    rig.mkdir("d")
    for number in range(50):
        rig.write(f"d/f{number}", b"x")
    rig.rename("d/f0", "d/g")
    for number in range(1, 40):
        rig.unlink(f"d/f{number}")
        rig.system.forget(number + 4, 1 << 20)
    node = rig.number("d/g")
    opened = rig.system.open(node, os.O_RDWR, Caller(unique=42))
    before = recovery.folded(replay(rig.home / "journal")[0])
    size = rig.journal.size

    rig.journal.compact(recovery.live)

    assert recovery.folded(replay(rig.home / "journal")[0]) == before
    assert rig.journal.size < size / 2
    again = rig.again()
    again.system.write(node, opened.handle, 0, memoryview(b"y"))
    again.close(node, opened.handle)
    assert again.store.objects["d/g"].body == b"y"


def test_the_log_is_compacted_when_it_is_time(rig: Rig):
    rig.journal._least = rig.journal._limit = 2000  # pyright: ignore[reportPrivateUsage]
    for _ in range(100):
        rig.system.release(2, rig.system.open(rig.write("f", b""), os.O_RDONLY, Caller()).handle)

    Tending(rig.system).compact()

    assert rig.journal.size < 2000
    assert [type(r) for r in replay(rig.home / "journal")[0]].count(Opened) == 0


def test_a_hundred_thousand_nodes_are_taken_over_in_seconds(rig: Rig):
    rig.journal.write_all([Made(n, 1, f"name-{n:06d}.bin", 0o100644, 0, 0, 1 << 60, 0) for n in range(2, 100_002)])

    began = time.process_time()  # others may have the processors meanwhile
    again = rig.again()
    took = time.process_time() - began

    assert len(again.system.volume.tree) == 100_001
    assert took < 5  # one, on an idle machine


def test_a_file_that_a_reader_has_open_keeps_its_mode_though_only_a_listing_told_of_it(rig: Rig):
    number = rig.write("a", b"some bytes", 0o750)
    again = rig.again()
    again.expire()
    assert again.names() == ["a"]
    opened = again.system.open(number, os.O_RDONLY, again.asks())  # the kernel believes the name for a second

    again.system.setattr(number, Change(size=4), again.caller)
    again.system.release(number, opened.handle)

    assert again.store.objects["a"].body == b"some"
    assert again.store.objects["a"].metadata["mode"] == str(0o100750)
