"""Each branch of the plan for a filer's folder, by values."""

from dataclasses import replace

import pytest

from moorage import filer
from moorage.errors import InvalidInput
from moorage.filer import (
    Adopt,
    Around,
    Empty,
    Forget,
    Found,
    NameArchive,
    Plan,
    Publish,
    Seen,
    SetAside,
    Stage,
    Trash,
    Wanted,
    Write,
)
from moorage.filerplan import plan
from moorage.folder import FolderRecord, archive_names, expand
from moorage.model import Kept, NfsEngine, VolumeOnDelete

ENGINE = NfsEngine(server="filer", path="/export/data", size="advisory", adopt="/home/${namespace}")
WANTED = Wanted("aaaaaaaa", "research", "data", "uid-a", 1 << 30)
RECORD = FolderRecord(
    id="aaaaaaaa", namespace="research", name="data", uid="uid-a", folder="research/data-aaaaaaaa", size=1 << 30
)
OTHER = FolderRecord(id="bbbbbbbb", namespace="research", name="old", uid="uid-b", folder="home/research/set")
SERVED = Seen(RECORD, Found.folder)


def around(*records: FolderRecord, living: tuple[str, ...] = ("aaaaaaaa",), engine: NfsEngine = ENGINE) -> Around:
    return Around("nas", engine, {each.id: each for each in records}, frozenset(living))


def deleted(how: VolumeOnDelete, wanted: Wanted = WANTED) -> Wanted:
    return replace(wanted, deleting=True, release=how, served=True)


def adopting(what: str) -> Wanted:
    return replace(WANTED, adopt=what)


# Made.


def test_a_new_volume_gets_a_folder_out_of_sight_then_its_record_then_its_name() -> None:
    found = plan(WANTED, Seen(), around())

    assert found == Plan((Stage(WANTED), Write(RECORD), Publish(RECORD)))


def test_what_is_made_as_wanted_needs_nothing_and_is_served() -> None:
    assert plan(WANTED, SERVED, around(RECORD)) == Plan()
    assert filer.is_served(WANTED, SERVED)


def test_a_crash_before_the_rename_is_made_good() -> None:
    seen = Seen(RECORD, Found.nothing, staged=True)

    assert plan(WANTED, seen, around(RECORD)).actions == (Publish(RECORD),)
    assert not filer.is_served(WANTED, seen)


def test_a_larger_size_is_noted() -> None:
    larger = replace(WANTED, size=2 << 30)

    assert plan(larger, SERVED, around(RECORD)).actions == (Write(RECORD.model_copy(update={"size": 2 << 30})),)


@pytest.mark.parametrize("found", [Found.folder, Found.other])
def test_somebodys_folder_is_never_taken_for_a_new_one(found: Found) -> None:
    refused = plan(WANTED, Seen(found=found), around())

    assert (refused.actions, refused.reason) == ((), "FolderExists")
    assert "research/data-aaaaaaaa" in refused.message


def test_a_folder_within_another_volumes_folder_is_refused() -> None:
    outer = OTHER.model_copy(update={"folder": "research"})

    refused = plan(WANTED, Seen(), around(outer))

    assert refused.reason == "FolderInUse"
    assert "lies in the folder of StorageVolume research/old" in refused.message


def test_an_early_deletion_makes_nothing() -> None:
    assert plan(replace(WANTED, deleting=True), Seen(), around()) == Plan()


def test_a_volume_that_was_served_gets_no_empty_folder_in_place_of_its_own() -> None:
    served = replace(WANTED, served=True)

    assert plan(served, Seen(), around()).reason == "ShareMissing"
    assert plan(served, Seen(RECORD, Found.nothing), around(RECORD)).reason == "FolderMissing"
    assert plan(served, Seen(RECORD, Found.other), around(RECORD)).reason == "FolderMissing"


def test_what_no_filer_does_is_refused_before_and_told_after_the_folder_was_made() -> None:
    refused = replace(WANTED, refused="set it on the filer")

    assert plan(refused, Seen(), around()) == Plan((), "NotOffered", "set it on the filer")
    assert plan(refused, SERVED, around(RECORD)) == Plan((), "NotOffered", "set it on the filer")
    assert filer.is_served(refused, SERVED)


# Adopted.


def test_a_folder_that_is_there_is_adopted_as_it_is() -> None:
    found = plan(adopting("/home/research/set"), Seen(found=Found.folder), around())

    record = RECORD.model_copy(update={"folder": "home/research/set", "adopted": True})
    assert found == Plan((Write(record),))


@pytest.mark.parametrize(
    ("folder", "found", "reason", "words"),
    [
        ("/home/research/none", Found.nothing, "AdoptNotFound", "does not exist"),
        ("/home/research/link", Found.other, "AdoptForbidden", "symbolic link"),
        ("/home/other/set", Found.folder, "AdoptForbidden", "does not lie beneath /home/research"),
        ("/home/research", Found.folder, "AdoptForbidden", "does not lie beneath /home/research"),
        ("/etc", Found.folder, "AdoptForbidden", "does not lie beneath"),
        ("/.moorage/trash", Found.folder, "AdoptForbidden", "records"),
        ("/.Moorage/trash", Found.folder, "AdoptForbidden", "records"),
        ("/home/research/../x", Found.folder, "AdoptForbidden", "plain path"),
    ],
)
def test_a_folder_that_may_not_be_adopted(folder: str, found: Found, reason: str, words: str) -> None:
    refused = plan(adopting(folder), Seen(found=found), around())

    assert (refused.actions, refused.reason) == ((), reason)
    assert words in refused.message


def test_no_folder_is_adopted_where_the_backend_names_none() -> None:
    engine = ENGINE.model_copy(update={"adopt": None})

    refused = plan(adopting("/home/research/set"), Seen(found=Found.folder), around(engine=engine))

    assert refused.reason == "AdoptForbidden"
    assert "StorageBackend nas lets no folder be adopted" in refused.message


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/home/research/set", "belongs to StorageVolume research/old"),
        ("/home/research/set/inner", "lies in the folder of StorageVolume research/old"),
        ("/home/research", "contains the folder of StorageVolume research/old"),
    ],
)
def test_a_folder_of_another_volume_is_not_adopted(folder: str, words: str) -> None:
    engine = ENGINE.model_copy(update={"adopt": "/"})
    world = around(OTHER, living=("aaaaaaaa", "bbbbbbbb"), engine=engine)

    refused = plan(adopting(folder), Seen(found=Found.folder), world)

    assert refused.reason == "AdoptInUse"
    assert words in refused.message


def test_a_kept_share_is_adopted_by_its_id_by_a_former_id_and_by_its_folder() -> None:
    kept = OTHER.model_copy(update={"retained": True, "archived": True, "former": ("cccccccc",)})
    taken = kept.model_copy(
        update={
            "id": "aaaaaaaa", "name": "data", "uid": "uid-a", "size": 1 << 30, "retained": False, "archived": False,
            "former": ("cccccccc", "bbbbbbbb"),
        }
    )  # fmt: skip
    for asked in ("bbbbbbbb", "cccccccc", "/home/research/set"):
        found = plan(adopting(asked), Seen(found=Found.folder), around(kept))

        assert found == Plan((Adopt(taken, "bbbbbbbb"),))


def test_a_kept_share_of_another_namespace_of_a_living_volume_or_none_is_not_adopted() -> None:
    foreign = OTHER.model_copy(update={"namespace": "other"})

    reasons = [
        plan(adopting("bbbbbbbb"), Seen(), world).reason
        for world in (around(foreign), around(OTHER, living=("aaaaaaaa", "bbbbbbbb")), around())
    ]

    assert reasons == ["AdoptForbidden", "AdoptInUse", "AdoptNotFound"]


def test_an_adoption_that_a_crash_interrupted_is_finished() -> None:
    half = OTHER.model_copy(update={"id": "aaaaaaaa"})

    found = plan(adopting("bbbbbbbb"), Seen(half, Found.folder), around(half))

    assert found.actions == (Adopt(half.model_copy(update={"name": "data", "uid": "uid-a", "size": 1 << 30}), half.id),)


def test_two_ids_alike_in_two_namespaces_share_nothing() -> None:
    foreign = RECORD.model_copy(update={"uid": "uid-z", "namespace": "other"})

    assert plan(WANTED, Seen(foreign, Found.folder), around(foreign)).reason == "AdoptForbidden"
    assert plan(deleted(VolumeOnDelete.Delete), Seen(foreign, Found.folder), around(foreign)) == Plan()


# Gone.


def test_deletion_frees_the_name_at_once_and_the_record_goes_last() -> None:
    found = plan(deleted(VolumeOnDelete.Delete), SERVED, around(RECORD))

    nameless = RECORD.model_copy(update={"folder": ""})
    assert found.actions == (
        Trash(RECORD.id, RECORD.folder),
        Write(nameless),
        Empty(RECORD.id),
        Forget(RECORD.id),
    )


def test_a_crash_after_the_rename_never_takes_the_folder_that_has_the_name_now() -> None:
    seen = Seen(RECORD, Found.folder, trashed=True)  # another volume's by now

    found = plan(deleted(VolumeOnDelete.Delete), seen, around(RECORD))

    assert found.actions == (Write(RECORD.model_copy(update={"folder": ""})), Empty(RECORD.id), Forget(RECORD.id))


def test_a_crash_at_the_end_of_a_removal_only_forgets() -> None:
    nameless = RECORD.model_copy(update={"folder": ""})

    found = plan(deleted(VolumeOnDelete.Delete), Seen(nameless), around(nameless))

    assert found.actions == (Empty(RECORD.id), Forget(RECORD.id))


def test_what_was_staged_without_a_record_goes_too() -> None:
    found = plan(deleted(VolumeOnDelete.Delete), Seen(staged=True), around())

    assert found.actions == (Trash(WANTED.id, "", staged=True), Empty(WANTED.id))


@pytest.mark.parametrize("how", list(VolumeOnDelete))
def test_nothing_is_done_for_a_volume_without_a_folder(how: VolumeOnDelete) -> None:
    assert plan(deleted(how), Seen(), around()).actions == ()


@pytest.mark.parametrize("how", list(VolumeOnDelete))
def test_nothing_is_removed_without_the_operators_word(how: VolumeOnDelete) -> None:
    assert plan(replace(WANTED, deleting=True, served=True), SERVED, around(RECORD)).actions == ()
    assert plan(replace(WANTED, release=how, served=True), SERVED, around(RECORD)).actions == ()


def test_a_folder_that_was_adopted_by_its_name_is_never_removed() -> None:
    adopted = RECORD.model_copy(update={"adopted": True, "folder": "home/research/set"})

    found = plan(deleted(VolumeOnDelete.Delete), Seen(adopted, Found.folder), around(adopted))

    assert found.actions == (Forget(RECORD.id),)
    assert found.note == "folder /home/research/set was there before the volume, and stays as it is"


def test_retain_marks_the_record_once() -> None:
    retained = RECORD.model_copy(update={"retained": True})

    assert plan(deleted(VolumeOnDelete.Retain), SERVED, around(RECORD)).actions == (Write(retained),)
    assert plan(deleted(VolumeOnDelete.Retain), Seen(retained, Found.folder), around(retained)).actions == ()


def test_archive_takes_the_folder_aside_names_it_and_puts_it_back() -> None:
    gone = deleted(VolumeOnDelete.Archive)
    named = RECORD.model_copy(update={"archived": True, "retained": True, "folder": "research/archived-data-aaaaaaaa"})
    marked = RECORD.model_copy(update={"archived": True, "retained": True})

    steps = [
        plan(gone, seen, around(RECORD)).actions
        for seen in (
            SERVED,
            Seen(RECORD, Found.folder, staged=True),  # another volume may have the name already
            Seen(named, Found.nothing, staged=True),
            Seen(named, Found.folder, staged=True),  # the new name was taken meanwhile: another one
            Seen(named, Found.folder),
        )
    ]

    assert steps == [(SetAside(RECORD),), (NameArchive(marked),), (Publish(named),), (NameArchive(named),), ()]
    assert archive_names(RECORD) == ("research/archived-data-aaaaaaaa", "research/archived-data-aaaaaaaa-aaaaaaaa")


def test_a_volume_that_is_gone_from_the_cluster_keeps_its_folder_but_a_begun_removal_ends() -> None:
    nameless = RECORD.model_copy(update={"folder": ""})

    assert plan(None, SERVED, around(RECORD, living=())).actions == ()
    assert plan(None, Seen(nameless, trashed=True), around()).actions == (Empty(RECORD.id), Forget(RECORD.id))
    assert filer.unfinished([RECORD, nameless], frozenset()) == {RECORD.id}
    assert filer.unfinished([nameless], frozenset({RECORD.id})) == frozenset()


# Names.


def test_kept_lists_what_no_living_volume_has() -> None:
    nameless = OTHER.model_copy(update={"id": "dddddddd", "folder": ""})

    found = filer.kept(around(RECORD, OTHER, nameless))

    assert found == (Kept(id="bbbbbbbb", namespace="research", name="old", size_bytes=0),)


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        ("${namespace}/${name}-${id}", "research/data-aaaaaaaa"),
        ("k8s/${id}", "k8s/aaaaaaaa"),
        ("${namespace}/${name}", "research/data"),
    ],
)
def test_templates(template: str, folder: str) -> None:
    assert expand(template, "research", "data", "aaaaaaaa") == folder
    assert filer.target(WANTED, ENGINE.model_copy(update={"folder": template})) == folder


@pytest.mark.parametrize("template", [".moorage/${id}", "a//${id}", "../${id}", "x" * 500 + "/${id}"])
def test_templates_that_lead_nowhere(template: str) -> None:
    engine = ENGINE.model_copy(update={"folder": template})

    with pytest.raises(InvalidInput):
        filer.target(WANTED, engine)
    assert plan(WANTED, Seen(), around(engine=engine)).reason == "InvalidInput"
