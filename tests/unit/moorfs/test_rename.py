"""rename: of files and folders, over what is there, with failures in the middle, and when the request comes again."""

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from treerig import Rig

from moorfs.mounting import Look
from moorfs.ports import Caller, Change, FileError
from moorfs.rename import NOREPLACE
from moorfs.volume import Limits


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def refusal(action: object, *arguments: object) -> int:
    with pytest.raises(FileError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.errno or 0


class Killed(BaseException):
    """The process ends here."""


def kill_at(rig: Rig, kind: str, number: int = 1, after: bool = False) -> None:
    """From the `number`-th call of that kind on, nothing is done any more; `after`: from the one behind it on."""
    left = [number]

    def die(*_: object, **__: object) -> None:
        rig.journal.write_all = rig.journal.sync = die  # the dead write no journal
        raise Killed

    def before(called: str, key: str) -> None:
        if left[0] <= 0:
            die()
        if called == kind:
            left[0] -= 1
            if left[0] <= 0 and not after:
                die()

    rig.store.before = before


def revived(rig: Rig, takeover: bool = True) -> Rig:
    rig.store.before = lambda kind, key: None
    return rig.again(takeover)


# Files


def test_a_renamed_file_keeps_its_number_bytes_and_metadata(rig: Rig):
    rig.mkdir("d")
    number = rig.write("a", b"data", 0o640)
    rig.rename("a", "d/b")

    assert set(rig.store.objects) == {"d/", "d/b"}
    assert rig.store.objects["d/b"].metadata["mode"] == str(0o100640)
    assert rig.number("d/b") == number
    assert rig.look_up("a") is None
    start = rig.calls()
    assert rig.read("d/b") == b"data"
    assert "read" not in rig.store.since(start)


def test_bytes_that_are_not_stored_yet_are_stored_first_and_writing_goes_on(rig: Rig):
    parent, name = rig.parent("a")
    entry, opened = rig.system.create(parent, name, os.O_WRONLY, 0o644, rig.asks())
    assert entry.attributes
    node = entry.attributes.node
    rig.system.write(node, opened.handle, 0, memoryview(b"first"))

    rig.rename("a", "b")
    assert rig.store.objects["b"].body == b"first"
    rig.system.write(node, opened.handle, 5, memoryview(b" second"))
    rig.close(node, opened.handle)

    assert {key: found.body for key, found in rig.store.objects.items()} == {"b": b"first second"}


def test_who_has_the_replaced_file_open_reads_on(rig: Rig):
    old = rig.write("b", b"old")
    opened = rig.system.open(old, os.O_RDONLY, rig.asks())
    rig.write("a", b"new")

    rig.rename("a", "b")

    assert bytes(rig.system.read(old, opened.handle, 0, 10)) == b"old"
    assert rig.read("b") == b"new"
    rig.close(old, opened.handle)
    assert set(rig.store.objects) == {"b"}


def test_who_writes_the_replaced_file_does_not_bring_it_back(rig: Rig):
    old = rig.write("b", b"old")
    opened = rig.system.open(old, os.O_WRONLY, rig.asks())
    rig.write("a", b"new")
    rig.rename("a", "b")
    rig.system.write(old, opened.handle, 0, memoryview(b"more"))
    rig.close(old, opened.handle)

    assert rig.store.objects["b"].body == b"new"


def test_names_that_do_not_fit_are_refused(rig: Rig):
    rig.mkdir("d")
    rig.mkdir("d/e")
    rig.write("f", b"x")

    assert refusal(rig.rename, "f", "d") == errno.EISDIR
    assert refusal(rig.rename, "d", "f") == errno.ENOTDIR
    assert refusal(rig.rename, "d", "d/e/x") == errno.EINVAL
    assert refusal(rig.rename, "nobody", "x") == errno.ENOENT
    assert refusal(rig.rename, "f", "x" * 256) == errno.ENAMETOOLONG
    assert refusal(lambda: rig.rename("f", "d", NOREPLACE)) == errno.EEXIST
    assert refusal(lambda: rig.rename("f", "g", 2)) == errno.EINVAL
    assert sorted(rig.store.objects) == ["d/", "d/e/", "f"]


def test_a_rename_to_itself_does_nothing(rig: Rig):
    rig.write("f", b"x")
    start = rig.calls()
    rig.rename("f", "f")

    assert rig.store.since(start) == {}


def test_what_others_wrote_meanwhile_is_what_is_moved(rig: Rig):
    rig.write("a", b"ours")
    rig.store.make("a", b"theirs")

    rig.rename("a", "b")

    assert rig.store.objects["b"].body == b"theirs"


@pytest.mark.parametrize("kind", ["copy", "delete"])
def test_a_refusal_leaves_the_file_under_its_old_name_alone(rig: Rig, kind: str):
    number = rig.write("a", b"x")
    rig.store.refuse = {f"{kind} a"}

    assert refusal(rig.rename, "a", "b") == errno.EIO
    rig.store.refuse = set()

    assert set(rig.store.objects) == {"a"}
    assert rig.number("a") == number
    assert rig.look_up("b") is None


def test_a_refused_copy_over_another_file_leaves_both(rig: Rig):
    rig.write("a", b"new")
    rig.write("b", b"old")
    rig.store.refuse = {"copy"}
    assert refusal(rig.rename, "a", "b") == errno.EIO
    rig.store.refuse = set()

    assert (rig.read("a"), rig.read("b")) == (b"new", b"old")


# Folders


def tree_of(rig: Rig) -> dict[str, bytes]:
    return {key: found.body for key, found in rig.store.objects.items()}


def make_tree(rig: Rig) -> dict[str, bytes]:
    for name in ("d", "d/e"):
        rig.mkdir(name)
    rig.mkdir("d/empty", 0o700)
    for number in range(20):
        rig.write(f"d/f{number}", b"%d" % number)
    rig.write("d/e/deep", b"deep")
    rig.store.make("d//odd", b"odd")
    return {"t" + key[1:]: body for key, body in tree_of(rig).items()}


def test_a_renamed_folder_takes_all_along_odd_keys_too(rig: Rig):
    wanted = make_tree(rig)
    deep = rig.number("d/e/deep")
    rig.rename("d", "t")

    assert tree_of(rig) == wanted
    assert rig.store.objects["t/empty/"].metadata["mode"] == str(0o40700)
    assert rig.number("t/e/deep") == deep
    assert rig.look_up("d") is None
    assert rig.read("t/f7") == b"7"


def test_an_open_file_in_a_renamed_folder_is_written_on(rig: Rig):
    rig.mkdir("d")
    parent, name = rig.parent("d/f")
    entry, opened = rig.system.create(parent, name, os.O_WRONLY, 0o644, rig.asks())
    assert entry.attributes
    rig.system.write(entry.attributes.node, opened.handle, 0, memoryview(b"one"))
    rig.rename("d", "t")
    rig.system.write(entry.attributes.node, opened.handle, 3, memoryview(b" two"))
    rig.close(entry.attributes.node, opened.handle)

    assert tree_of(rig) == {"t/": b"", "t/f": b"one two"}


def test_a_folder_without_a_marker_is_renamed_and_its_parent_stays(rig: Rig):
    rig.store.make("p/d/f", b"x")
    rig.rename("p/d", "t")

    assert tree_of(rig) == {"p/": b"", "t/f": b"x"}


def test_a_folder_takes_the_name_of_an_empty_one_only(rig: Rig):
    rig.mkdir("d")
    rig.write("d/f", b"x")
    rig.mkdir("empty")
    rig.mkdir("full")
    rig.write("full/g", b"y")

    assert refusal(rig.rename, "d", "full") == errno.ENOTEMPTY
    rig.rename("d", "empty")

    assert tree_of(rig) == {"empty/": b"", "empty/f": b"x", "full/": b"", "full/g": b"y"}


def test_a_folder_of_more_objects_than_may_be_moved_is_left_to_mv(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rig = Rig(tmp_path, look=Look(limits=Limits(rename_objects=10)))
    for number in range(11):
        rig.store.make(f"d/f{number}", b"")

    assert refusal(rig.rename, "d", "t") == errno.EXDEV
    assert "more than 10 objects" in caplog.text
    assert {key[0] for key in rig.store.objects} == {"d"}
    rig.unlink("d/f3")
    rig.rename("d", "t")
    assert {key[0] for key in rig.store.objects} == {"t"}


def test_keys_that_would_be_too_long_are_not_made(rig: Rig):
    rig.store.make("d/" + "/".join(["x" * 250] * 4), b"")

    assert refusal(rig.rename, "d", "t" * 100) == errno.ENAMETOOLONG
    assert {key[:2] for key in rig.store.objects} == {"d/"}


def test_a_folder_whose_copies_fail_stays_where_it_is(rig: Rig):
    make_tree(rig)
    before = tree_of(rig)
    rig.store.refuse = {"copy d/f13"}

    assert refusal(rig.rename, "d", "t") == errno.EIO

    assert tree_of(rig) == before
    assert rig.read("d/f3") == b"3"
    assert rig.look_up("t") is None


def test_a_folder_whose_old_keys_stay_is_moved_and_they_go_later(rig: Rig):
    wanted = make_tree(rig)
    rig.store.refuse = {"delete_many"}
    rig.rename("d", "t")
    assert rig.read("t/f3") == b"3"
    assert rig.system.figures()["unfinished_renames"] == 1

    rig.store.refuse = set()
    rig.system.renaming.settle()

    assert tree_of(rig) == wanted


def test_what_others_write_into_a_folder_while_it_moves_is_not_lost(rig: Rig):
    wanted = make_tree(rig)
    theirs = {"d/f3": b"theirs", "d/e/new": b"new"}

    def before(kind: str, key: str) -> None:
        if kind == "copy" and key == "d/f9":
            for name, data in theirs.items():
                rig.store.make(name, data)

    rig.store.before = before
    rig.rename("d", "t")

    found = tree_of(rig)
    moved = {"t" + key[1:]: data for key, data in theirs.items()}
    for key, data in theirs.items():
        assert data in (found.get(key), found.get("t" + key[1:]))
    assert {key: data for key, data in found.items() if key[0] == "t" and key not in moved} == {
        key: data for key, data in wanted.items() if key not in moved
    }
    assert {key for key in found if key[0] == "d"} <= theirs.keys() | {"d/", "d/e/"}


def test_nobody_looks_into_a_folder_while_it_moves(rig: Rig):
    make_tree(rig)
    rig.expire()
    found: list[object] = []
    sneaky: list[threading.Thread] = []
    folder = rig.number("d")
    rig.system.volume.tree.folder(folder).listed = 0

    def look() -> None:
        found.append(rig.system.lookup(folder, b"f3", Caller()).attributes)

    def before(kind: str, key: str) -> None:
        if kind == "delete_many" and not sneaky:
            sneaky.append(threading.Thread(target=look))
            sneaky[0].start()
            sneaky[0].join(0.2)
            assert not found

    rig.store.before = before
    rig.rename("d", "t")
    sneaky[0].join(10)

    assert found[0] is not None
    assert rig.look_up("t/f3")


# Death in the middle


@pytest.mark.parametrize("kind", ["copy", "delete"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_rename_that_comes_again_after_a_death_is_done_once(rig: Rig, kind: str, after: bool, replaced: bool):
    number = rig.write("a", b"new")
    if replaced:
        rig.write("b", b"old")
    kill_at(rig, kind, 1, after)
    if (kind, after) == ("delete", True):
        rig.rename("a", "b")  # it dies before the answer
    else:
        with pytest.raises(Killed):
            rig.rename("a", "b")

    again = revived(rig)
    again.system.rename(1, b"a", 1, b"b", 0, Caller(resent=True))

    assert tree_of(again) == {"b": b"new"}
    assert again.number("b") == number
    assert again.look_up("a") is None
    assert again.read("b") == b"new"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_rename_that_died_when_only_the_log_lacked_it_is_done_once(rig: Rig, replaced: bool):
    number = rig.write("a", b"new")
    if replaced:
        rig.write("b", b"old")

    def die(*_: object, **__: object) -> None:
        raise Killed

    def before(kind: str, key: str) -> None:
        if kind == "delete":
            rig.journal.write_all = die  # the engine still hears of the deletion

    rig.store.before = before
    with pytest.raises(Killed):
        rig.rename("a", "b")
    again = revived(rig)
    again.system.rename(1, b"a", 1, b"b", 0, Caller(resent=True))

    assert again.number("b") == number
    assert again.read("b") == b"new"
    again.system.setattr(number, Change(size=1), Caller())
    assert tree_of(again) == {"b": b"n"}
    another = revived(again)
    assert another.system.renaming.pending == []
    assert another.number("b") == number


@pytest.mark.parametrize("kind", ["copy", "delete"])
def test_a_file_that_was_open_while_its_rename_died_is_written_on(rig: Rig, kind: str):
    number = rig.write("a", b"one")
    opened = rig.system.open(number, os.O_WRONLY, rig.asks())
    kill_at(rig, kind, after=True)
    with suppress(Killed):
        rig.rename("a", "b")
    again = revived(rig)
    again.system.rename(1, b"a", 1, b"b", 0, Caller(resent=True))
    again.system.write(number, opened.handle, 3, memoryview(b" two"))
    again.close(number, opened.handle)

    assert tree_of(again) == {"b": b"one two"}


@pytest.mark.parametrize(("kind", "number"), [("copy", 1), ("copy", 12), ("delete_many", 1)])
def test_a_folder_rename_that_comes_again_after_a_death_is_done(rig: Rig, kind: str, number: int):
    wanted = make_tree(rig)
    deep = rig.number("d/e/deep")
    kill_at(rig, kind, number)
    with pytest.raises(Killed):
        rig.rename("d", "t")

    again = revived(rig)
    again.system.rename(1, b"d", 1, b"t", 0, Caller(resent=True))

    assert tree_of(again) == wanted
    assert again.number("t/e/deep") == deep
    assert again.look_up("d") is None
    assert again.system.renaming.pending == []


def test_a_folder_rename_that_dies_twice_leaves_nothing_that_a_later_one_could_take_for_itself(rig: Rig):
    wanted = make_tree(rig)
    kill_at(rig, "copy", 12)
    with suppress(Killed):
        rig.rename("d", "t")
    again = revived(rig)
    kill_at(again, "copy", 5)
    with suppress(Killed):
        again.system.rename(1, b"d", 1, b"t", 0, Caller(resent=True))
    third = revived(again)
    third.system.rename(1, b"d", 1, b"t", 0, Caller(resent=True))

    assert third.system.renaming.pending == []
    assert tree_of(third) == wanted
    assert revived(third).system.renaming.pending == []


@pytest.mark.parametrize("number", [1, 12])
def test_a_folder_rename_that_died_before_all_was_copied_is_undone_at_the_next_mount(rig: Rig, number: int):
    make_tree(rig)
    before = tree_of(rig)
    kill_at(rig, "copy", number)
    with pytest.raises(Killed):
        rig.rename("d", "t")

    again = revived(rig, takeover=False)
    again.system.renaming.settle()

    assert tree_of(again) == before


def test_a_folder_rename_that_died_after_all_was_copied_is_finished_at_the_next_mount(rig: Rig):
    wanted = make_tree(rig)
    kill_at(rig, "delete_many")
    with pytest.raises(Killed):
        rig.rename("d", "t")

    again = revived(rig, takeover=False)
    again.system.renaming.settle()

    assert tree_of(again) == wanted


def test_what_others_changed_since_a_death_stays(rig: Rig):
    make_tree(rig)
    kill_at(rig, "delete_many")
    with pytest.raises(Killed):
        rig.rename("d", "t")
    rig.store.before = lambda kind, key: None
    rig.store.make("d/f3", b"theirs")

    again = revived(rig, takeover=False)
    again.system.renaming.settle()

    assert {key: body for key, body in tree_of(again).items() if key[0] == "d"} == {"d/": b"", "d/f3": b"theirs"}
    assert tree_of(again)["t/f3"] == b"3"


@pytest.mark.parametrize(("after", "wanted"), [(False, {"a"}), (True, {"b"})])
def test_a_file_rename_that_died_is_whole_or_not_at_the_next_mount(rig: Rig, after: bool, wanted: set[str]):
    rig.write("a", b"x")
    kill_at(rig, "copy", 1, after)
    with pytest.raises(Killed):
        rig.rename("a", "b")

    again = revived(rig, takeover=False)
    again.system.renaming.settle()

    assert set(again.store.objects) == wanted
    assert again.again(takeover=False).system.renaming.pending == []


def test_two_objects_of_one_size_without_metadata_are_no_copies_of_each_other(rig: Rig):
    rig.store.make("a", b"one")
    rig.store.make("b", b"two")
    kill_at(rig, "copy")
    with pytest.raises(Killed):
        rig.rename("a", "b")

    again = revived(rig, takeover=False)
    again.system.renaming.settle()

    assert tree_of(again) == {"a": b"one", "b": b"two"}
