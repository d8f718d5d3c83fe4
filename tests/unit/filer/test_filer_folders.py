"""Folders of a filer's volumes on a real file system: links that are swapped in, deep trees, crashes at every step."""

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.errors import InUse, MoorageError, NotOffered, Pending
from moorage.filer import Action, Around, Wanted
from moorage.folder import FolderRecord
from moorage.model import NfsEngine, RootFolder, VolumeOnDelete
from moorage_operator.filer import removal
from moorage_operator.filer.folders import Folders, Outcome
from moorage_operator.filer.home import Home
from moorage_operator.filer.removal import remove

ENGINE = NfsEngine(server="filer", path="/export", folder="${namespace}/${name}", size="advisory", adopt="/")
DATA = Wanted("aaaaaaaa", "research", "data", "uid-a", 1 << 30)
NEXT = Wanted("bbbbbbbb", "research", "data", "uid-b", 1 << 30)  # the same folder
LIVING = {"aaaaaaaa", "bbbbbbbb"}


class Died(Exception):
    """The worker's process ends here."""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export"
    path.mkdir()
    return path


def worker(export: Path) -> Folders:
    found = Folders(export)
    found.home.load()
    return found


@pytest.fixture
def folders(export: Path) -> Iterator[Folders]:
    made = worker(export)
    yield made
    made.close()


def around(folders: Folders, engine: NfsEngine = ENGINE) -> Callable[[], Around]:
    return lambda: Around("nas", engine, dict(folders.home.records), frozenset(LIVING))


def settle(folders: Folders, wanted: Wanted | None, id: str = "", engine: NfsEngine = ENGINE) -> Outcome:
    for _ in range(100):
        done = folders.settle(wanted.id if wanted else id, wanted, around(folders, engine))
        if not done.unfinished:
            return done
    raise AssertionError("does not end")


def released(wanted: Wanted, how: VolumeOnDelete) -> Wanted:
    return replace(wanted, deleting=True, release=how, served=True)


def fill(folder: Path) -> None:
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_text("kept")
    (folder / "file").write_text("kept")


def leftovers(export: Path) -> list[str]:
    return sorted(str(each.relative_to(export)) for each in export.rglob("*") if each.name != "lock")


def test_a_folder_is_made_with_the_mode_asked_and_everybody_may_write_by_default(
    export: Path, folders: Folders
) -> None:
    asked = replace(NEXT, name="mine", root=RootFolder(mode="2750", uid=1000, gid=2000))

    settle(folders, DATA)
    settle(folders, asked)

    made = (export / "research/mine").stat()
    assert (export / "research/data").stat().st_mode & 0o7777 == 0o777
    assert (made.st_mode & 0o7777, made.st_uid, made.st_gid) == (0o2750, 1000, 2000)
    assert (export / "research").stat().st_mode & 0o7777 == 0o755


def test_what_pods_change_in_the_folders_mode_stays(export: Path, folders: Folders) -> None:
    settle(folders, DATA)
    (export / "research/data").chmod(0o700)

    settle(folders, DATA)

    assert (export / "research/data").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize(
    ("how", "left"),
    [
        (VolumeOnDelete.Delete, []),
        (VolumeOnDelete.Retain, ["data", "data/deep", "data/deep/er", "data/deep/er/file", "data/file"]),
        (
            VolumeOnDelete.Archive,
            [f"archived-data{each}" for each in ("", "/deep", "/deep/er", "/deep/er/file", "/file")],
        ),
    ],
)
def test_the_folder_goes_stays_or_is_renamed(
    export: Path, folders: Folders, how: VolumeOnDelete, left: list[str]
) -> None:
    settle(folders, DATA)
    fill(export / "research/data")

    settle(folders, released(DATA, how))

    assert leftovers(export / "research") == left
    records = [] if how is VolumeOnDelete.Delete else [".moorage/aaaaaaaa.json"]
    assert [each for each in leftovers(export) if each.startswith(".moorage/a")] == records
    assert not list((export / ".moorage/trash").iterdir())
    assert not list((export / ".moorage/staged").iterdir())


def test_an_archive_takes_no_name_that_is_taken(export: Path, folders: Folders) -> None:
    settle(folders, DATA)
    (export / "research/archived-data").mkdir()

    settle(folders, released(DATA, VolumeOnDelete.Archive))

    assert sorted(each.name for each in (export / "research").iterdir()) == ["archived-data", "archived-data-aaaaaaaa"]
    assert folders.home.records["aaaaaaaa"].folder == "research/archived-data-aaaaaaaa"


def test_a_kept_folder_comes_back_under_a_new_volume(export: Path, folders: Folders) -> None:
    settle(folders, DATA)
    fill(export / "research/data")
    settle(folders, released(DATA, VolumeOnDelete.Archive))
    LIVING.discard("aaaaaaaa")
    try:
        settle(folders, replace(NEXT, adopt="aaaaaaaa"))
    finally:
        LIVING.add("aaaaaaaa")

    record = Home(os.open(export, os.O_RDONLY))
    record.load()
    assert record.records == folders.home.records
    assert record.records["bbbbbbbb"].folder == "research/archived-data"
    assert record.records["bbbbbbbb"].former == ("aaaaaaaa",)
    assert not record.records["bbbbbbbb"].retained


def test_two_volumes_that_adopt_one_folder_at_once_one_gets_it(export: Path, folders: Folders) -> None:
    (export / "set").mkdir()
    found: dict[str, Outcome] = {}
    both = [replace(each, name=each.id, adopt="/set") for each in (DATA, NEXT)]

    threads = [threading.Thread(target=lambda one=one: found.update({one.id: settle(folders, one)})) for one in both]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)

    assert sorted(each.plan.reason for each in found.values()) == ["", "AdoptInUse"]
    assert [each.folder for each in folders.home.records.values()] == ["set"]


def test_an_adopted_folder_keeps_its_mode_and_outlives_the_volume(export: Path, folders: Folders) -> None:
    (export / "set").mkdir(mode=0o750)
    (export / "set/file").write_text("precious")
    adopter = replace(DATA, adopt="/set", root=RootFolder(mode="0777"))

    settle(folders, adopter)
    gone = settle(folders, released(adopter, VolumeOnDelete.Delete))

    assert (export / "set/file").read_text() == "precious"
    assert (export / "set").stat().st_mode & 0o7777 == 0o750
    assert folders.home.records == {}
    assert "stays as it is" in gone.plan.note


# Links.


def test_no_link_leads_a_new_folder_out_of_the_export(tmp_path: Path, export: Path, folders: Folders) -> None:
    (tmp_path / "outside").mkdir()
    (export / "research").symlink_to(tmp_path / "outside")

    refused = settle(folders, DATA)

    assert refused.plan.reason == "FolderExists"
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_is_not_adopted(tmp_path: Path, export: Path, folders: Folders) -> None:
    (tmp_path / "outside").mkdir()
    (export / "link").symlink_to(tmp_path / "outside")

    assert settle(folders, replace(DATA, adopt="/link")).plan.reason == "AdoptForbidden"
    assert settle(folders, replace(DATA, adopt="/link/inner")).plan.reason == "AdoptForbidden"


def test_a_link_swapped_in_for_the_folder_is_not_followed_by_its_removal(
    tmp_path: Path, export: Path, folders: Folders
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("precious")
    settle(folders, DATA)
    (export / "research/data").rmdir()
    (export / "research/data").symlink_to(tmp_path / "outside")

    settle(folders, released(DATA, VolumeOnDelete.Delete))

    assert (tmp_path / "outside/file").read_text() == "precious"
    assert folders.home.records == {}


def test_removal_follows_no_link_however_often_folders_are_swapped(tmp_path: Path) -> None:
    outside, trash = tmp_path / "outside", tmp_path / "trash"
    fill(outside)
    (trash / "tree/a/b").mkdir(parents=True)
    stop = threading.Event()

    def swap() -> None:
        """As somebody with the export mounted: folder, link, folder, link."""
        place = trash / "tree/a"
        while not stop.is_set():
            for act in (
                lambda: place.symlink_to(outside),
                lambda: place.unlink(),
                lambda: (place / "b").mkdir(parents=True),
            ):
                try:
                    act()
                except OSError:
                    continue

    rival = threading.Thread(target=swap)
    rival.start()
    above = os.open(trash, os.O_RDONLY)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        try:
            remove(above, "tree", until)
        except OSError as error:  # what vanished under our hands: the next look goes on
            assert error.errno is not None
    stop.set()
    rival.join(10)
    os.close(above)

    assert sorted(str(each.relative_to(outside)) for each in outside.rglob("*")) == [
        "deep", "deep/er", "deep/er/file", "file",
    ]  # fmt: skip


def test_a_link_in_the_trash_goes_and_its_target_stays(tmp_path: Path) -> None:
    fill(tmp_path / "outside")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/dangling").symlink_to("/nowhere")
    (tmp_path / "whole").symlink_to(tmp_path / "outside")
    above = os.open(tmp_path, os.O_RDONLY)

    assert remove(above, "tree", time.monotonic() + 10)
    assert remove(above, "whole", time.monotonic() + 10)

    os.close(above)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["outside"]
    assert (tmp_path / "outside/deep/er/file").read_text() == "kept"


def test_removal_enters_no_other_file_system(tmp_path: Path) -> None:
    (tmp_path / "tree/inner/mounted").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "tree/inner/mounted"], check=True)
    above = os.open(tmp_path, os.O_RDONLY)
    try:
        (tmp_path / "tree/inner/mounted/file").write_text("precious")
        with pytest.raises(InUse, match="another file system"):
            remove(above, "tree", time.monotonic() + 10)
        assert (tmp_path / "tree/inner/mounted/file").read_text() == "precious"
    finally:
        os.close(above)
        subprocess.run(["umount", tmp_path / "tree/inner/mounted"], check=True)


# Removal in pieces.


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    above = os.dup(here)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    assert remove(above, "d" * 20, time.monotonic() + 60)

    os.close(above)
    assert list(tmp_path.iterdir()) == []


def test_removal_out_of_time_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        (tmp_path / f"tree/{number}/sub").mkdir(parents=True)
        (tmp_path / f"tree/{number}/sub/file").touch()
    above = os.open(tmp_path, os.O_RDONLY)
    clock = iter(range(10**9))
    monkeypatch.setattr(removal.time, "monotonic", lambda: float(next(clock)))  # each look at the clock is a second

    calls, at = 0, 0.0
    while not remove(above, "tree", at := at + 400.0):
        calls += 1
        assert calls < 100

    os.close(above)
    assert calls > 1
    assert list(tmp_path.iterdir()) == []


# Crashes.


ENDS: dict[VolumeOnDelete, tuple[dict[str, str], list[str]]] = {  # folders by id, and what lies on the filer
    VolumeOnDelete.Delete: ({"bbbbbbbb": "research/data"}, ["data"]),
    VolumeOnDelete.Archive: (
        {"aaaaaaaa": "research/archived-data", "bbbbbbbb": "research/data"},
        ["archived-data", "archived-data/file", "data"],
    ),
    VolumeOnDelete.Retain: ({"aaaaaaaa": "research/data"}, ["data", "data/file"]),
}


def killed_at(step: int, after: bool) -> Callable[[Folders, Action], None]:
    """An `_apply` that dies once: before its action number `step`, or right after it."""
    real, steps = Folders._apply, itertools.count()

    def mortal(self: Folders, action: Action) -> None:
        now = next(steps) == step
        if now and not after:
            raise Died
        real(self, action)
        if now:
            raise Died

    return mortal


def live(export: Path, how: VolumeOnDelete) -> tuple[bool, dict[str, str]]:
    """A volume is made, gets a file and goes, and the next of its name is made.

    Whether a worker died over it, and the folders by id as the last worker knows them.
    """
    died, folders = False, worker(export)
    for wanted in (DATA, released(DATA, how), NEXT):
        try:
            settle(folders, wanted)
        except Died:
            died = True
            folders.close()
            folders = worker(export)
            settle(folders, wanted)
        if wanted is DATA:
            (export / "research/data/file").touch()
    folders.close()
    return died, by_id(folders.home)


def by_id(home: Home) -> dict[str, str]:
    return {each.id: each.folder for each in home.records.values()}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("how", list(VolumeOnDelete))
def test_killed_before_or_after_any_step_the_next_worker_comes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: VolumeOnDelete, after: bool
) -> None:
    for step in itertools.count():
        export = tmp_path / f"{step}"
        export.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(Folders, "_apply", killed_at(step, after))
            died, known = live(export, how)
        reread = Home(os.open(export, os.O_RDONLY))
        reread.load()

        assert known == by_id(reread)
        assert (known, leftovers(export / "research")) == ENDS[how]
        assert not list((export / ".moorage/trash").iterdir())
        if not died:  # there is no such step
            break
    assert step > 3


def test_a_removal_that_was_cut_short_is_ended_though_the_volume_is_gone(export: Path, folders: Folders) -> None:
    settle(folders, DATA)
    fill(export / "research/data")
    os.rename(export / "research/data", export / ".moorage/trash/aaaaaaaa")
    record = folders.home.records["aaaaaaaa"]
    folders.home.write(record.model_copy(update={"folder": ""}))

    settle(folders, None, "aaaaaaaa")

    assert folders.home.records == {}
    assert list((export / ".moorage/trash").iterdir()) == []


# Records.


def test_one_worker_at_a_time(export: Path, folders: Folders) -> None:
    folders.home.lock(0)
    second = Folders(export)

    with pytest.raises(Pending, match="another worker"):
        second.home.lock(0)

    folders.home.close()
    folders.home.folder = second.home.folder
    second.home.lock(0)


def test_a_record_of_a_newer_release_or_a_broken_one_stops_the_worker(export: Path, folders: Folders) -> None:
    newer = FolderRecord(version=9, id="cccccccc", namespace="n", name="v", uid="u", folder="x")
    (export / ".moorage/cccccccc.json").write_text(newer.model_dump_json(by_alias=True))
    with pytest.raises(NotOffered, match="newer release"):
        folders.home.load()

    (export / ".moorage/cccccccc.json").write_text("{")
    with pytest.raises(MoorageError, match=r"cccccccc\.json .* cannot be read"):
        folders.home.load()
