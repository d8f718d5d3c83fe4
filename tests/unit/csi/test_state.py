"""State files survive crashes, and a bad one is as good as none."""

import json
from pathlib import Path

import pytest

from moorage_csi.state import Publication, Store, Volume

VOLUME = Volume(
    "team/data/abc", "/kubelet/globalmount", False, "f00d", {"/pods/a": Publication(True, "MULTI_NODE_READER_ONLY")}
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    Store(tmp_path).save(VOLUME)
    assert Store(tmp_path).load("team/data/abc") == VOLUME
    assert list(Store(tmp_path).all()) == [VOLUME]


def test_an_unknown_volume_is_none(tmp_path: Path) -> None:
    assert Store(tmp_path / "missing").load("x") is None
    assert list(Store(tmp_path / "missing").all()) == []


def test_deleting_can_be_repeated(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(VOLUME)
    store.delete("team/data/abc")
    store.delete("team/data/abc")
    assert store.load("team/data/abc") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"version": 1}', '{"version": 99, "volume_id": "team/data/abc"}']
)
def test_a_file_that_cannot_be_read_counts_as_absent(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    store.save(VOLUME)
    (file,) = tmp_path.glob("*.json")
    file.write_text(content)
    assert store.load("team/data/abc") is None
    store.save(VOLUME)
    assert store.load("team/data/abc") == VOLUME


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(VOLUME)
    (file,) = tmp_path.glob("*.json")
    file.with_suffix(".4711.tmp").write_text('{"version": 1, "volu')
    assert list(store.all()) == [VOLUME]


def test_the_version_is_written(tmp_path: Path) -> None:
    Store(tmp_path).save(VOLUME)
    (file,) = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["version"] == 3


@pytest.mark.parametrize("volume_id", ["../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000])
def test_a_hostile_id_stays_in_the_directory(tmp_path: Path, volume_id: str) -> None:
    store = Store(tmp_path / "state")
    store.save(Volume(volume_id, "/s"))
    assert [file.parent for file in tmp_path.rglob("*.json")] == [tmp_path / "state"]
    loaded = store.load(volume_id)
    assert loaded is not None and loaded.volume_id == volume_id


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_earlier_versions_are_read(tmp_path: Path, version: int) -> None:
    store = Store(tmp_path)
    store.save(VOLUME)
    (file,) = tmp_path.glob("*.json")
    targets = {"/pods/a": {"readonly": True, "access_mode": "MULTI_NODE_READER_ONLY"}}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": version, "targets": targets}))
    assert store.load("team/data/abc") == VOLUME
