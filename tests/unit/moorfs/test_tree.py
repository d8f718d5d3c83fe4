"""Names, attributes and listings over an engine in memory, and what they cost."""

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest
from treerig import Rig, TreeStore

from moorfs.attributes import Defaults
from moorfs.knowledge import Belief
from moorfs.listing import Listing, Names
from moorfs.mounting import Look
from moorfs.node import Folder
from moorfs.ports import Caller, Change, FileError
from moorfs.volume import Limits

S3FS = {"mode": "33184", "uid": "1000", "gid": "100", "mtime": "1700000000.123456789"}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def refusal(action: object, *arguments: object) -> int:
    with pytest.raises(FileError) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.errno or 0


# Calls


def test_a_missing_name_costs_one_call_and_the_next_one_none(rig: Rig):
    assert rig.look_up("nobody") is None
    assert rig.look_up("nobody else") is None

    assert rig.store.log == [("list", "")]


def test_touch_costs_a_listing_and_a_put(rig: Rig):
    rig.write("new", b"")

    assert [kind for kind, _ in rig.store.log] == ["list", "put"]


def test_mkdir_rm_chmod_and_mv_cost_two_two_two_and_three_calls(rig: Rig):
    rig.mkdir("d")
    assert rig.store.since(0) == {"list": 1, "put": 1}

    for name in ("a", "b", "c"):
        rig.store.make(name, b"x", S3FS)
    costs: list[dict[str, int]] = []
    for action in (
        lambda: rig.unlink("a"),
        lambda: rig.set("b", mode=0o600),
        lambda: rig.rename("c", "d/c"),
    ):
        fresh = rig.again(takeover=False)
        fresh.look_up("")
        start = rig.calls()
        rig.system = fresh.system
        action()
        costs.append(rig.store.since(start))

    assert costs[0] == {"list": 1, "head": 1, "delete": 1}
    assert costs[1] == {"list": 1, "head": 1, "copy": 1}
    assert costs[2] == {"list": 2, "head": 2, "copy": 1, "delete": 1}


def test_what_this_mount_stored_needs_no_head_when_it_is_listed_again(rig: Rig):
    for number in range(20):
        rig.write(f"f{number}", b"x")
    for node in rig.system.volume.tree.all():
        node.until = node.since = node.since and node.since - 1.5
    rig.system.volume.tree.root.listed = 0.0
    start = rig.calls()

    found = rig.items(plus=True)

    assert rig.store.since(start) == {"list": 1}
    assert all(item.entry and item.entry.attributes for item in found[2:])


def test_a_listing_reads_the_metadata_of_others_objects_once(rig: Rig):
    for number in range(300):
        rig.store.make(f"f{number:03d}", b"x" * 5000, S3FS)

    found = rig.items(plus=True)[2:]
    assert rig.store.since(0) == {"list": 2, "head": 300}
    assert {i.entry.attributes.mode for i in found if i.entry and i.entry.attributes} == {0o100640}

    for node in rig.system.volume.tree.all():
        node.until = 0.0
    rig.system.volume.tree.root.listed = 0.0
    start = rig.calls()
    rig.items(plus=True)
    assert rig.store.since(start) == {"list": 1}


def test_attributes_from_listings_alone_still_know_links_and_fifos(tmp_path: Path):
    rig = Rig(tmp_path, look=Look(belief=Belief(heads=False), defaults=Defaults(7, 8, 0o664, 0o775)))
    rig.store.make("link", b"target", {"mode": str(stat.S_IFLNK | 0o777)})
    rig.store.make("fifo", b"", {"mode": str(stat.S_IFIFO | 0o600)})
    rig.store.make("big", b"x" * 4096, S3FS)

    found = {i.name: i.entry.attributes for i in rig.items(plus=True)[2:] if i.entry and i.entry.attributes}

    assert stat.S_ISLNK(found[b"link"].mode)
    assert stat.S_ISFIFO(found[b"fifo"].mode)
    assert (found[b"big"].mode, found[b"big"].uid, found[b"big"].gid) == (0o100664, 7, 8)
    assert rig.store.since(0) == {"list": 1, "head": 2}


# What s3fs wrote


def test_a_volume_of_s3fs_shows_the_same_modes_owners_times_links_and_folders(rig: Rig):
    rig.store.make("f", b"12345", S3FS)
    rig.store.make("old", b"", {**S3FS, "mtime": "1600000000"})
    rig.store.make("d/", b"", {**S3FS, "mode": str(stat.S_IFDIR | 0o2770)})
    rig.store.make("d/l", b"../f", {**S3FS, "mode": str(stat.S_IFLNK | 0o777)})
    rig.store.make("sock", b"", {**S3FS, "mode": str(stat.S_IFSOCK | 0o755)})

    f, old, d, link, sock = (rig.look_up(name) for name in ("f", "old", "d", "d/l", "sock"))

    assert f and (f.mode, f.uid, f.gid, f.size, f.mtime) == (0o100640, 1000, 100, 5, 1_700_000_000_123_456_789)
    assert old and old.mtime == 1_600_000_000 * 10**9
    assert d and d.mode == stat.S_IFDIR | 0o2770
    assert link and link.size == 4
    assert rig.system.readlink(link.node) == b"../f"
    assert sock and stat.S_ISSOCK(sock.mode)


def test_what_is_written_here_is_what_s3fs_would_write(rig: Rig):
    rig.write("f", b"x", 0o640)
    rig.set("f", mtime=1_700_000_000_000_000_005)
    rig.system.symlink(1, b"l", b"f", Caller(1000, 100))

    f, link = rig.store.objects["f"].metadata, rig.store.objects["l"]
    assert (f["mode"], f["uid"], f["mtime"]) == ("33184", "0", "1700000000.000000005")
    assert (link.body, link.metadata["mode"], link.metadata["uid"]) == (b"f", str(0o120777), "1000")


def test_metadata_of_others_stays_when_an_object_is_changed(rig: Rig):
    rig.store.make("f", b"x", {**S3FS, "project": "apollo", "content-type": "text/html"})

    rig.set("f", mode=0o600)
    rig.write("f", b"more")

    kept = rig.store.objects["f"].metadata
    assert (kept["project"], kept["mode"], kept["uid"]) == ("apollo", str(0o100600), "1000")


# Folders


def test_a_folder_without_a_marker_is_one_by_its_keys_and_outlives_its_last_file(rig: Rig):
    rig.store.make("d/e/f", b"x")
    found = rig.look_up("d/e")
    assert found and stat.S_ISDIR(found.mode)

    rig.unlink("d/e/f")

    assert set(rig.store.objects) == {"d/e/"}
    assert rig.names("d/e") == []


def test_a_folder_with_a_marker_costs_nothing_more_when_it_is_emptied(rig: Rig):
    rig.mkdir("d")
    rig.write("d/f", b"x")
    start = rig.calls()

    rig.unlink("d/f")

    assert rig.store.since(start) == {"delete": 1}


def test_what_somebody_else_wrote_meanwhile_is_removed_too(rig: Rig):
    rig.write("f", b"x")
    rig.store.make("f", b"another's")

    rig.system.unlink(1, b"f", Caller())

    assert "f" not in rig.store.objects


def test_rmdir_asks_the_engine_whether_the_folder_is_empty(rig: Rig):
    rig.mkdir("d")
    rig.store.make("d/by others", b"")

    assert refusal(rig.rmdir, "d") == errno.ENOTEMPTY
    rig.store.objects.pop("d/by others")
    rig.rmdir("d")

    assert rig.store.objects == {}
    assert rig.look_up("d") is None


def test_rmdir_of_a_folder_with_a_file_that_is_not_stored_yet_is_refused(rig: Rig):
    rig.mkdir("d")
    node, name = rig.parent("d/f")
    rig.system.create(node, name, os.O_WRONLY, 0o644, rig.asks())

    assert refusal(rig.rmdir, "d") == errno.ENOTEMPTY


def test_a_set_group_id_folder_hands_on_its_group(rig: Rig):
    rig.mkdir("d")
    rig.set("d", mode=0o2775, gid=50)
    rig.write("d/f", b"x")
    rig.mkdir("d/e")

    f, e = rig.look_up("d/f"), rig.look_up("d/e")
    assert f and f.gid == 50
    assert e and (e.gid, stat.S_IMODE(e.mode)) == (50, 0o2755)


def test_the_mtime_of_a_folder_follows_its_names_and_can_be_set(rig: Rig):
    rig.mkdir("d")
    before = rig.set("d", mtime=5).mtime
    rig.write("d/f", b"")
    after = rig.look_up("d")

    assert before == 5
    assert after and abs(after.mtime - time.time_ns()) < 10**10
    assert rig.set("d", mtime=6).mtime == 6


# Odd keys


def test_keys_that_no_file_system_can_hold_are_left_out_and_counted(rig: Rig):
    long = "x" * 256
    odd = ("a//b", "./c", "../d", f"{long}", f"{long}/e", "/f", "nul\0", "lone\udcff", "fine")
    for key in odd:
        rig.store.make(key, b"x")

    assert rig.names() == ["a", "fine"]
    assert rig.names("a") == []

    figures = rig.system.figures()
    kinds = ("empty", "dots", "long", "nul", "encoding")
    assert [figures[f"skipped_keys_{kind}_total"] for kind in kinds] == [2, 2, 2, 1, 1]


@pytest.mark.parametrize("name", [b"..\xff", b"x" * 256, b"lone\xff"])
def test_names_that_no_key_can_have_are_not_there(rig: Rig, name: bytes):
    assert rig.system.lookup(1, name, Caller()).attributes is None


@pytest.mark.parametrize(
    ("name", "wanted"),
    [(b"\xff", errno.EILSEQ), (b"x" * 256, errno.ENAMETOOLONG), ("é".encode() * 128, errno.ENAMETOOLONG)],
)
def test_names_that_no_key_can_have_are_not_made(rig: Rig, name: bytes, wanted: int):
    for action in (
        lambda: rig.system.mkdir(1, name, 0o755, Caller()),
        lambda: rig.system.create(1, name, os.O_WRONLY, 0o644, Caller()),
        lambda: rig.system.symlink(1, name, b"t", Caller()),
    ):
        assert refusal(action) == wanted


def test_a_key_has_at_most_1024_bytes(rig: Rig):
    path = "/".join(["d" * 255] * 3)
    for depth in range(1, 4):
        rig.mkdir("/".join(path.split("/")[:depth]))

    node, _ = rig.parent(f"{path}/x")
    rig.system.create(node, b"f" * 255, os.O_WRONLY, 0o644, Caller())
    assert refusal(rig.system.create, node, b"f" * 256, os.O_WRONLY, 0o644, Caller()) == errno.ENAMETOOLONG
    assert refusal(rig.system.mkdir, node, b"e" * 255 + b"e", 0o755, Caller()) == errno.ENAMETOOLONG
    rig.system.mkdir(node, b"e" * 255, 0o755, Caller())  # 3 * 256 + 255 + 1 == 1024


def test_of_a_file_and_a_folder_with_one_name_the_folder_is_shown(rig: Rig):
    for key in ("a", "a-1", "a.txt", "a/b"):
        rig.store.make(key, b"x")

    assert rig.names() == ["a", "a-1", "a.txt"]
    assert rig.names("a") == ["b"]
    assert rig.system.figures()["skipped_keys_hidden_total"] == 1


def test_a_folder_is_found_behind_a_page_of_names_that_sort_before_it(rig: Rig):
    rig.store.page = 10
    rig.store.make("a", b"x")
    for number in range(50):
        rig.store.make(f"a-{number:02d}", b"x")
    rig.store.make("a/b", b"x")

    found = rig.look_up("a")
    names = rig.names()

    assert found and stat.S_ISDIR(found.mode)
    assert sorted(names) == ["a", *(f"a-{number:02d}" for number in range(50))]


# Big folders


def test_a_name_in_a_big_folder_is_asked_for_by_itself(rig: Rig):
    for number in range(2500):
        rig.store.make(f"f{number:04d}", b"x" * 5000, S3FS)
    rig.look_up("nobody")
    start = rig.calls()

    assert rig.look_up("f2400")
    assert rig.look_up("g") is None

    assert rig.store.log[start:] == [("list", "f2400"), ("head", "f2400"), ("list", "g")]


@pytest.mark.parametrize("plus", [False, True])
def test_a_big_folder_is_read_page_by_page_from_any_place(rig: Rig, plus: bool):
    rig.store.page = 100
    wanted = [f"f{number:03d}" for number in range(350)]
    for name in wanted:
        rig.store.make(name, b"x" * 5000)
    rig.write("not stored", b"")
    rig.store.objects.pop("not stored")
    node, name = rig.parent("open")
    rig.system.create(node, name, os.O_WRONLY, 0o644, rig.asks())

    whole = rig.items("", plus)
    handle = rig.system.opendir(1)
    again = [item.name for item in rig.system.readdir(1, handle, 303, plus)]
    back = [item.name for item in rig.system.readdir(1, handle, 52, plus)]

    names = [item.name for item in whole]
    assert sorted(names) == sorted([b".", b"..", *(n.encode() for n in wanted), b"open"])
    assert [item.next for item in whole] == list(range(1, len(whole) + 1))
    assert again == names[303:]
    assert back == names[52:]


def test_reading_a_big_folder_without_stat_makes_no_nodes(rig: Rig):
    rig.store.page = 100
    for number in range(1000):
        rig.store.make(f"f{number:03d}", b"x")

    assert len(rig.names()) == 1000

    assert len(rig.system.volume.tree.root.children) <= 100
    assert rig.store.since(0).get("head", 0) == 0


# Consistency


def test_a_change_by_others_is_seen_when_the_time_of_belief_is_over(tmp_path: Path):
    rig = Rig(tmp_path, look=Look(belief=Belief(ttl=1.0)))
    rig.write("f", b"one")
    rig.store.make("f", b"other", {"mode": str(0o100600)})
    rig.store.make("new", b"x")
    assert rig.look_up("new") is None
    time.sleep(1.05)

    assert rig.read("f") == b"other"
    assert rig.look_up("new")
    found = rig.look_up("f")
    assert found and stat.S_IMODE(found.mode) == 0o600


def test_the_kernel_is_told_no_more_time_than_is_left(tmp_path: Path):
    rig = Rig(tmp_path, look=Look(belief=Belief(ttl=1000)))
    rig.store.make("f", b"x")
    rig.look_up("f")
    root = rig.system.volume.tree.root
    node = rig.node("f")
    began = time.monotonic()
    node.until, root.listed = began + 400, began + 300

    entry = rig.system.lookup(1, b"f", Caller())
    missing = rig.system.lookup(1, b"nobody", Caller())

    passed = time.monotonic() - began
    assert 400 - passed <= entry.name_valid <= 400
    assert 300 - passed <= missing.name_valid <= 300


def test_what_was_removed_by_others_is_gone_for_stat_and_open(rig: Rig):
    rig.store.make("f", b"x")
    node = rig.number("f")
    rig.expire()
    rig.store.objects.clear()

    assert refusal(rig.system.getattr, node, None, Caller()) == errno.ENOENT
    assert refusal(rig.system.open, node, os.O_RDONLY, Caller()) == errno.ESTALE
    assert rig.look_up("f") is None


def test_a_file_that_became_a_folder_is_one(rig: Rig):
    rig.store.make("x", b"1")
    first = rig.number("x")
    rig.expire()
    del rig.store.objects["x"]
    rig.store.make("x/y", b"2")

    found = rig.look_up("x")

    assert found and stat.S_ISDIR(found.mode) and found.node != first
    assert refusal(rig.system.getattr, first, None, Caller()) == errno.ENOENT


def test_a_file_that_is_not_stored_yet_outlives_a_listing_without_it(rig: Rig):
    parent, name = rig.parent("f")
    rig.system.create(parent, name, os.O_WRONLY, 0o644, rig.asks())
    rig.expire()

    assert rig.names() == ["f"]
    assert rig.look_up("f")


def test_an_error_of_the_engine_is_no_missing_name(rig: Rig):
    rig.store.refuse = {"list"}

    assert refusal(rig.look_up, "f") == errno.EIO


def test_two_mounts_that_make_one_folder_do_not_both_win(rig: Rig, tmp_path: Path):
    rig.look_up("d")
    other = Rig(tmp_path / "other", rig.store)
    other.mkdir("d")

    assert refusal(rig.mkdir, "d") == errno.EEXIST


# Attributes


def test_special_files_are_objects_with_their_type(rig: Rig):
    rig.system.mknod(1, b"fifo", stat.S_IFIFO | 0o600, 0, Caller())
    rig.system.mknod(1, b"disk", stat.S_IFBLK | 0o600, 0x803, Caller())
    rig.system.mknod(1, b"file", 0o644, 0, Caller())
    fresh = rig.again(takeover=False)

    kinds = [fresh.look_up(name) for name in ("fifo", "disk", "file")]

    assert [stat.S_IFMT(k.mode) for k in kinds if k] == [stat.S_IFIFO, stat.S_IFBLK, stat.S_IFREG]
    assert kinds[1] and kinds[1].device == 0x803
    assert refusal(rig.system.mknod, 1, b"x", stat.S_IFLNK | 0o600, 0, Caller()) == errno.EINVAL


def test_a_link_is_read_anew_after_somebody_changed_it(rig: Rig):
    rig.system.symlink(1, b"l", b"one", Caller())
    node = rig.number("l")
    assert rig.system.readlink(node) == b"one"
    rig.store.make("l", b"two", {"mode": str(stat.S_IFLNK | 0o777)})
    rig.expire()

    assert rig.system.readlink(node) == b"two"
    assert refusal(rig.system.symlink, 1, b"long", b"x" * 4096, Caller()) == errno.ENAMETOOLONG


def test_a_chmod_that_fails_changes_nothing(rig: Rig):
    rig.store.make("f", b"x", S3FS)
    rig.store.refuse = {"copy"}
    assert refusal(lambda: rig.set("f", mode=0)) == errno.EIO

    found = rig.look_up("f")
    assert found and found.mode == 0o100640


def test_a_chmod_meets_an_object_that_somebody_replaced(rig: Rig):
    rig.store.make("f", b"x", S3FS)
    rig.look_up("f")
    rig.store.make("f", b"theirs", {**S3FS, "uid": "77"})

    rig.set("f", mode=0o600)

    assert rig.store.objects["f"].body == b"theirs"
    assert rig.store.objects["f"].metadata["mode"] == str(0o100600)
    assert rig.read("f") == b"theirs"


def test_a_chmod_of_an_open_file_goes_along_with_its_bytes(rig: Rig):
    parent, name = rig.parent("f")
    entry, opened = rig.system.create(parent, name, os.O_WRONLY, 0o644, rig.asks())
    assert entry.attributes
    rig.set("f", mode=0o600, uid=5)
    rig.system.write(entry.attributes.node, opened.handle, 0, memoryview(b"data"))
    rig.close(entry.attributes.node, opened.handle)

    assert rig.store.since(0) == {"list": 1, "put": 1}
    assert rig.store.objects["f"].metadata["mode"] == str(0o100600)
    assert rig.store.objects["f"].metadata["uid"] == "5"


def test_truncate_of_a_closed_file_is_stored_when_it_returns(rig: Rig):
    rig.write("f", b"0123456789")
    assert rig.set("f", size=4).size == 4

    assert rig.store.objects["f"].body == b"0123"
    assert refusal(lambda: rig.set("", size=4)) == errno.EISDIR


def test_setting_the_time_keeps_the_cached_bytes(rig: Rig):
    rig.write("f", b"data")
    rig.set("f", mtime=1_500_000_000_000_000_000)
    start = rig.calls()

    assert rig.read("f") == b"data"
    assert "read" not in rig.store.since(start)
    assert rig.store.objects["f"].metadata["mtime"] == "1500000000"


# Read-only, prefix, room


def test_a_read_only_mount_changes_nothing(tmp_path: Path):
    rig = Rig(tmp_path, look=Look(limits=Limits(read_only=True)))
    rig.store.make("f", b"x")
    for action in (
        lambda: rig.mkdir("d"),
        lambda: rig.unlink("f"),
        lambda: rig.rename("f", "g"),
        lambda: rig.set("f", mode=0),
        lambda: rig.open("f", os.O_RDWR),
        lambda: rig.write("g", b""),
        lambda: rig.system.symlink(1, b"l", b"t", Caller()),
        lambda: rig.system.mknod(1, b"p", stat.S_IFIFO, 0, Caller()),
    ):
        assert refusal(action) == errno.EROFS
    assert rig.read("f") == b"x"
    assert set(rig.store.objects) == {"f"}


def test_a_mount_of_a_prefix_sees_and_makes_nothing_else(tmp_path: Path):
    store = TreeStore()
    store.make("other/x", b"")
    store.make("mine/f", b"1")
    rig = Rig(tmp_path, store, Look(prefix="mine/"))
    rig.write("g", b"2")
    rig.mkdir("d")
    rig.rename("f", "d/f")

    assert rig.names() == ["d", "g"]
    assert set(store.objects) == {"other/x", "mine/g", "mine/d/", "mine/d/f"}


def test_df_shows_room(rig: Rig):
    total, free = rig.system.statfs()
    assert total == free >= 1 << 50


# Nodes


def test_what_the_kernel_forgets_is_forgotten_and_found_again(rig: Rig):
    rig.store.make("f", b"x", S3FS)
    first = rig.number("f")
    rig.number("f")
    rig.expire()
    rig.system.forget(first, 1)
    assert rig.system.volume.tree.known(first)

    rig.system.forget(first, 1)

    assert rig.system.volume.tree.known(first) is None
    assert rig.system.volume.tree.root.children == {}
    assert rig.look_up("f")


def test_a_forgotten_name_in_a_listed_folder_is_still_known_to_be_there(rig: Rig):
    rig.store.make("f", b"x", S3FS)
    rig.system.forget(rig.number("f"), 1)
    start = rig.calls()

    assert rig.look_up("f")
    assert rig.store.since(start) == {}


def test_a_name_that_the_kernel_forgets_while_its_folder_is_listed_is_there(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    for name in ("f", "g"):
        rig.store.make(name, b"x", S3FS)
    number, put = rig.number("f"), Listing.put
    rig.expire()

    def put_and_forget(listing: Listing, folder: Folder, names: Names) -> None:
        put(listing, folder, names)
        rig.system.forget(number, 1)

    monkeypatch.setattr(Listing, "put", put_and_forget)

    assert rig.look_up("g")
    assert rig.look_up("f")


def test_a_name_that_is_forgotten_while_it_is_looked_up_keeps_its_place(rig: Rig):
    tree = rig.system.volume.tree
    leaf = tree.obtain_leaf(tree.root, "f", stat.S_IFREG | 0o644)
    tree.tell(leaf)
    tree.forget(leaf.id, 1)
    assert tree.root.children == {}

    tree.tell(leaf)

    assert tree.root.children == {"f": leaf}


def test_an_open_file_is_not_forgotten(rig: Rig):
    rig.write("f", b"data")
    node = rig.number("f")
    opened = rig.system.open(node, os.O_RDONLY, rig.asks())
    rig.unlink("f")
    rig.system.forget(node, 100)

    assert bytes(rig.system.read(node, opened.handle, 0, 10)) == b"data"
    rig.system.release(node, opened.handle)
    assert rig.system.volume.tree.known(node) is None


def test_a_number_that_nobody_was_told_is_stale(rig: Rig):
    assert refusal(rig.system.getattr, 999, None, Caller()) == errno.ESTALE
    assert refusal(rig.system.opendir, 999) == errno.ESTALE


def test_a_hundred_thousand_nodes_fit_into_ninety_mebibytes(tmp_path: Path):
    import subprocess
    import sys

    program = """
import resource, sys
sys.path[:0] = sys.argv[2].split(":")
from pathlib import Path
from treerig import Rig
rig = Rig(Path(sys.argv[1]))
for number in range(100_000):
    rig.store.modified  # the engine's own memory is not what we measure
tree, know = rig.system.volume.tree, rig.system.volume.knowledge
from moorfs.ports import Head, Listed
def rss():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) / 1024
before = rss()
for number in range(100_000):
    leaf = know.saw_object(tree.root, f"file-{number:06d}.bin", Listed("k", 5, f"{number:032x}", 1 << 60), 1.0)
    mode = {"mode": "33188", "uid": "0", "gid": "0", "mtime": f"17{number:08d}.123456789"}
    know.saw_head(leaf, Head(5, f"{number:032x}", 1 << 60, mode), 1.0)
    tree.tell(leaf)
print(rss() - before)
"""
    paths = ":".join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), paths], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 90


def test_many_who_look_into_one_folder_share_a_listing(rig: Rig):
    for number in range(8):
        rig.store.make(f"f{number}", b"x" * 5000, S3FS)
    found: list[object] = []
    asking = threading.Barrier(8)

    def look(number: int) -> None:
        asking.wait(10)
        found.append(rig.system.lookup(1, f"f{number}".encode(), Caller()).attributes)

    rig.store.before = lambda kind, key: time.sleep(0.05) if kind == "list" else None
    threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(found) == 8 and all(found)
    assert rig.store.since(0)["list"] == 1


def test_small_files_that_are_read_one_after_the_other_cost_one_call_each(rig: Rig):
    for number in range(20):
        rig.store.make(f"f{number:02d}", b"%d" % number, S3FS)
    for number in range(3):
        rig.read(f"f{number:02d}")
    start = rig.calls()

    read = [rig.read(f"f{number:02d}") for number in range(3, 20)]

    assert read == [b"%d" % number for number in range(3, 20)]
    assert rig.store.since(start) == {"get": 17}
    found = rig.look_up("f10")
    assert found and found.mode == 0o100640


def test_files_that_are_only_looked_at_are_not_fetched_for_long(rig: Rig):
    for number in range(40):
        rig.store.make(f"f{number:02d}", b"x", S3FS)
    for number in range(5):
        rig.read(f"f{number:02d}")
    start = rig.calls()

    for number in range(5, 40):
        rig.look_up(f"f{number:02d}")

    assert rig.store.since(start)["head"] >= 27


def test_bytes_got_at_a_look_are_not_served_when_the_object_changed_since(tmp_path: Path):
    rig = Rig(tmp_path, look=Look(belief=Belief(ttl=0.2)))
    for name in ("a", "b"):
        rig.store.make(name, b"old", S3FS)
    rig.read("a")
    node = rig.number("b")
    rig.store.make("b", b"new", S3FS)
    time.sleep(0.25)
    opened = rig.system.open(node, os.O_RDONLY, rig.asks())

    assert bytes(rig.system.read(node, opened.handle, 0, 9)) == b"new"


def test_an_object_that_has_grown_since_its_listing_is_looked_at_alone(rig: Rig):
    for name in ("a", "b"):
        rig.store.make(name, b"x", S3FS)
    rig.read("a")
    rig.store.make("b", b"x" * (2 << 20), S3FS)

    found = rig.look_up("b")

    assert found and found.size == 2 << 20


def test_the_root_is_not_asked_for_again_and_again(rig: Rig):
    assert rig.system.getattr(1, None, Caller())[1] == 1.0
    assert rig.store.log == []


def test_the_root_of_a_prefix_has_the_attributes_of_its_marker(tmp_path: Path):
    rig = Rig(tmp_path, look=Look(prefix="mine/"))
    rig.store.make("mine/", b"", {**S3FS, "mode": str(stat.S_IFDIR | 0o2770)})

    assert rig.system.getattr(1, None, Caller())[0].mode == stat.S_IFDIR | 0o2770
    assert rig.set("", mode=0o700).mode == stat.S_IFDIR | 0o700
    assert rig.store.objects["mine/"].metadata["mode"] == str(stat.S_IFDIR | 0o700)


@pytest.mark.parametrize(
    "change", [Change(mode=0o600), Change(mtime=5_000_000_000), Change(uid=7)], ids=["chmod", "utime", "chown"]
)
def test_metadata_of_what_another_node_wrote_are_set_and_its_bytes_are_read_and_written_on(rig: Rig, change: Change):
    rig.write("a", b"ours")
    assert rig.read("a") == b"ours"  # it is in the cache
    rig.store.make("a", b"theirs, longer")
    rig.expire()

    number = rig.number("a")
    rig.system.setattr(number, change, rig.caller)

    assert rig.read("a") == b"theirs, longer"
    opened = rig.system.open(number, os.O_WRONLY, rig.asks())
    rig.system.write(number, opened.handle, 14, memoryview(b" and more"))
    rig.close(number, opened.handle)
    assert rig.store.objects["a"].body == b"theirs, longer and more"


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("old", "new"), [("d/a", "b"), ("d", "t")], ids=["a file", "its folder"])
def test_what_another_node_wrote_is_read_where_a_rename_has_brought_it(rig: Rig, old: str, new: str, known: bool):
    rig.mkdir("d")
    rig.write("d/a", b"ours")
    assert rig.read("d/a") == b"ours"
    rig.store.make("d/a", b"theirs, longer")
    if known:
        rig.expire()
        rig.look_up("d/a")

    rig.rename(old, new)

    now = "b" if new == "b" else "t/a"
    rig.expire()
    assert rig.read(now) == b"theirs, longer"
    number = rig.number(now)
    opened = rig.system.open(number, os.O_WRONLY, rig.asks())
    rig.system.write(number, opened.handle, 14, memoryview(b" and more"))
    rig.close(number, opened.handle)
    assert rig.store.objects[now].body == b"theirs, longer and more"
