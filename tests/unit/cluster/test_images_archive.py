"""One-layer archives: their bytes, their contents, and that nothing of the machine gets in."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from cluster.archive import Entry, Settings, architecture, write_archive

REF = "registry.example/tools/pause:1.0"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF pretended")
    return path


def member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def manifest(archive: Path) -> dict[str, object]:
    (only,) = json.loads(member(archive, "manifest.json"))
    return only


def test_equal_images_are_equal_files_whatever_the_times_and_the_order(tmp_path: Path, program: Path):
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    write_archive(first, REF, [Entry("tmp", mode=0o1777), Entry("pause", program)], Settings(entrypoint=["/pause"]))
    os.utime(program, (1, 1))
    program.chmod(0o600)

    write_archive(second, REF, [Entry("/pause", program), Entry("tmp", mode=0o1777)], Settings(entrypoint=["/pause"]))

    assert first.read_bytes() == second.read_bytes()


def test_the_layer_holds_the_entries_owned_by_root_with_their_modes(tmp_path: Path, program: Path):
    archive = tmp_path / "image.tar"
    write_archive(archive, REF, [Entry("bin"), Entry("bin/run", program, 0o555)], Settings())

    layer = tmp_path / "layer.tar"
    (name,) = manifest(archive)["Layers"]
    layer.write_bytes(member(archive, name))

    with tarfile.open(layer) as tar:
        found = [(entry.name, entry.isdir(), entry.mode, entry.uid, entry.gid, entry.mtime) for entry in tar]
    assert found == [("bin", True, 0o755, 0, 0, 0), ("bin/run", False, 0o555, 0, 0, 0)]


def test_manifest_configuration_and_layer_name_each_other_by_digest(tmp_path: Path, program: Path):
    archive = tmp_path / "image.tar"
    write_archive(archive, REF, [Entry("pause", program)], Settings(entrypoint=["/pause"], user="65535:65535"))

    described = manifest(archive)
    config = json.loads(member(archive, described["Config"]))
    layer = member(archive, described["Layers"][0])

    assert described["RepoTags"] == [REF]
    assert described["Config"] == hashlib.sha256(member(archive, described["Config"])).hexdigest() + ".json"
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert (config["os"], config["architecture"]) == ("linux", architecture())
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/pause"], "65535:65535")


def test_a_missing_program_leaves_no_half_written_layer_behind(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "image.tar", REF, [Entry("pause", tmp_path / "absent")], Settings())

    assert list(tmp_path.iterdir()) == []
