"""What unmounted volumes left in a node's cache: removed when it is of no use, kept and told when somebody needs it."""

import fcntl
import json
import os
import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moorage.errors import InUse
from moorage.unsaved import Unsaved
from moorage_csi.mounter.leftovers import Leftovers
from moorage_csi.mounter.recipe import digest

TARGET = "/var/lib/kubelet/plugins/globalmount"
NAME = f"team_models_abc-{digest(TARGET)[:8]}"
RECORD = Unsaved("lost-1", "run/model", 7, "", {}, 5, 0, 2.0, "Permission denied", 13)


class Node:
    """A cache of a node. `targets`: where something is mounted; None: the mounter does not know yet."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.targets: Collection[str] | None = ()

    def folder(self, name: str = NAME, *records: Unsaved) -> Path:
        """What a mount that is over has left."""
        folder = self.cache / name
        for each in ("data", "unsaved"):
            (folder / each).mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
        (folder / "data" / "2").write_bytes(b"clean")
        for record in records:
            (folder / "unsaved" / f"{record.name}.json").write_text(json.dumps(asdict(record)))
            (folder / "unsaved" / record.name).write_bytes(bytes(record.size))
        return folder

    def of_rclone(self, **dirty: bool) -> Path:
        """What an rclone has left: its files, and whether the bucket lacks them."""
        folder = self.cache / f"{NAME}.rclone"
        for name, is_dirty in dirty.items():
            for each, text in (("vfs", "12345"), ("vfsMeta", json.dumps({"Dirty": is_dirty}))):
                path = folder / each / "bucket" / "models-x" / "run" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return folder

    def leftovers(self, grace: float = 0.0) -> Leftovers:
        found = Leftovers(self.cache, lambda: self.targets, grace)
        found.look()
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_folder_with_nothing_unsaved_is_removed(node: Node) -> None:
    node.folder()
    node.leftovers()
    assert os.listdir(node.cache) == []


def test_it_stays_for_a_while_first(node: Node) -> None:
    folder = node.folder()
    node.leftovers(grace=3600).look()
    assert folder.is_dir()


@pytest.mark.parametrize("targets", [None, [TARGET]], ids=["not known yet", "is mounted, and its process starts again"])
def test_what_may_be_mounted_is_left_alone(node: Node, targets: Collection[str] | None) -> None:
    folder = node.folder()
    node.targets = targets
    node.leftovers()
    assert (folder / "data" / "2").read_bytes() == b"clean"


def test_what_a_process_serves_is_left_alone(node: Node) -> None:
    folder = node.folder(NAME, RECORD)
    lock = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert node.leftovers().all() == ()
    os.close(lock)
    assert folder.is_dir()


def test_what_another_program_keeps_there_is_left_alone(node: Node) -> None:
    other = node.cache / "rclone"
    other.mkdir()
    node.leftovers()
    assert other.is_dir()


def test_unsaved_files_are_kept_counted_and_told_of_their_volume(node: Node) -> None:
    folder = node.folder(NAME, RECORD, replace(RECORD, name="lost-2", size=7, since=1.0))
    found = node.leftovers()

    assert folder.is_dir()
    assert [record.name for record in found.of("team/models")] == ["lost-2", "lost-1"]
    assert found.of("team/others") == []
    samples = [each for family in text_string_to_metric_families(found.text()) for each in family.samples]
    labels = {"namespace": "team", "volume": "models", "type": "object"}
    assert [(each.name, each.labels, each.value) for each in samples] == [
        ("moorage_volume_unsaved_bytes", labels, 12.0),
        ("moorage_volume_unsaved_files", labels, 2.0),
    ]


def test_bytes_that_a_power_loss_took_are_not_told(node: Node) -> None:
    """A record of another boot, whose bytes were never synced (`writeback`)."""
    node.folder(NAME, replace(RECORD, boot="another"))
    assert node.leftovers().all() == ()
    assert os.listdir(node.cache) == []


def test_the_next_mount_of_the_volume_gets_the_folders_of_those_that_are_over(node: Node) -> None:
    left = node.folder("team_models_abc-g100-00000000", RECORD)
    node.folder("team_models_xyz-00000000", RECORD)
    node.folder(NAME, RECORD)
    found = node.leftovers()
    node.targets = [TARGET]  # the new one's own

    assert found.folders("team/models/abc") == [str(left)]
    node.targets = None
    assert found.folders("team/models/abc") == []


def test_what_is_discarded_is_gone_and_the_folder_with_it(node: Node) -> None:
    folder = node.folder(NAME, RECORD)
    found = node.leftovers()
    found.discard(folder, RECORD)
    found.look()
    assert (found.all(), folder.exists()) == ((), False)


def test_nothing_of_a_mount_is_discarded_behind_its_back(node: Node) -> None:
    folder = node.folder(NAME, RECORD)
    found = node.leftovers()
    lock = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(InUse, match="mounted"):
        found.discard(folder, RECORD)
    os.close(lock)
    assert (folder / "unsaved" / "lost-1").stat().st_size == 5


def test_a_removal_that_was_cut_short_is_finished(node: Node) -> None:
    node.folder(".gone-team_models_abc-00000000")
    node.leftovers()
    assert os.listdir(node.cache) == []


def test_no_cache_yet_is_no_trouble(tmp_path: Path) -> None:
    found = Leftovers(tmp_path / "none", lambda: ())
    found.look()
    assert (found.text(), found.folders("team/models/abc")) == ("", [])


def test_a_record_is_as_old_as_it_says(node: Node) -> None:
    now = time.time()
    node.folder(NAME, replace(RECORD, since=now))
    (record,) = node.leftovers().of("team/models")
    assert record.since == now


# Of an rclone


def test_what_an_rclone_could_not_store_is_kept_and_told(node: Node) -> None:
    node.of_rclone(good=False, lost=True)

    leftovers = node.leftovers()

    (left,) = leftovers.all()
    assert left.volume == "team/models"
    assert [(record.key, record.size) for record in left.records] == [("run/lost", 5)]
    assert leftovers.folders("team/models/abc") == []  # a moorfs could not use it
    samples = {
        (sample.name, sample.labels["volume"]): sample.value
        for family in text_string_to_metric_families(leftovers.text())
        for sample in family.samples
    }
    assert samples["moorage_volume_unsaved_files", "models"] == 1


def test_an_rclone_cache_with_everything_stored_is_removed_after_a_while(node: Node) -> None:
    node.of_rclone(good=False)
    assert node.leftovers(grace=60.0).all() == ()
    assert len(os.listdir(node.cache)) == 1

    node.leftovers()

    assert os.listdir(node.cache) == []


@pytest.mark.parametrize("targets", [None, (TARGET,)])
def test_an_rclone_that_may_run_is_left_alone(node: Node, targets: Collection[str] | None) -> None:
    node.of_rclone(good=False, lost=True)
    node.targets = targets

    assert node.leftovers().all() == ()
    assert len(os.listdir(node.cache)) == 1


def test_what_an_rclone_left_can_be_given_up_and_the_folder_goes_with_it(node: Node) -> None:
    folder = node.of_rclone(one=True, two=True)
    leftovers = node.leftovers()
    (left,) = leftovers.all()

    leftovers.discard(folder, left.records[0])
    assert len(node.leftovers().all()[0].records) == 1
    leftovers.discard(folder, left.records[1])

    node.leftovers()
    assert os.listdir(node.cache) == []
