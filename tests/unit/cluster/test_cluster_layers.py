"""Archives that hold only what a node lacks."""

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.archive import Entry, Settings, write_archive
from cluster.golden import Record
from cluster.layers import contents, missing_bytes, write_missing

REF = "docker.io/moorage/x:1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "program").write_text("program")
    write_archive(tmp_path / "x.tar", REF, [Entry("program", tmp_path / "program")], Settings())
    return tmp_path / "x.tar"


@dataclass
class Image:
    ref: str
    archive: Path
    key: str


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {name: stream.read() for name in tar.getnames() if (stream := tar.extractfile(name))}


def test_layers_are_named_by_the_digest_of_their_bytes(archive: Path):
    (image,) = contents(archive)

    with tarfile.open(archive) as tar:
        stream = tar.extractfile(image.layers[0][1])
        assert stream is not None
        assert image.layers[0][0] == "sha256:" + hashlib.sha256(stream.read()).hexdigest()
    assert image.ref == REF


def test_a_node_without_the_layer_gets_it(archive: Path, tmp_path: Path):
    write_missing(archive, [], tmp_path / "out.tar")

    out = members(tmp_path / "out.tar")
    digest = contents(archive)[0].layers[0][0]
    blob = out[f"blobs/{digest.replace(':', '/')}"]
    assert "sha256:" + hashlib.sha256(blob).hexdigest() == digest


def test_a_node_that_has_the_layer_gets_only_manifest_and_configuration(archive: Path, tmp_path: Path):
    digest = contents(archive)[0].layers[0][0]

    write_missing(archive, [digest], tmp_path / "out.tar")

    out = members(tmp_path / "out.tar")
    assert len([name for name in out if name.startswith("blobs/")]) == 2
    entry = json.loads(out["index.json"])["manifests"][0]
    assert entry["annotations"]["io.containerd.image.name"] == REF
    manifest = json.loads(out[f"blobs/{entry['digest'].replace(':', '/')}"])
    assert [layer["digest"] for layer in manifest["layers"]] == [digest]
    config = json.loads(out[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert config["rootfs"]["diff_ids"] == [digest]


def test_what_would_be_sent_is_known_before(archive: Path):
    image = contents(archive)[0]

    assert missing_bytes(archive, [image.layers[0][0]]) == 0
    assert missing_bytes(archive, []) > 0


def test_a_store_knows_how_far_it_is_behind(archive: Path, tmp_path: Path):
    (tmp_path / "program").write_text("another program")
    write_archive(tmp_path / "new.tar", REF, [Entry("program", tmp_path / "program")], Settings())
    record = Record.of([Image(REF, archive, "k1")], tmp_path / "tools-x/bin")

    assert record.behind([Image(REF, archive, "k1")]) == 0
    assert record.behind([Image(REF, tmp_path / "new.tar", "k2")]) == missing_bytes(tmp_path / "new.tar", [])
    assert record.behind([Image(REF, archive, "k1"), Image("y:1", archive, "k1")]) is None
    assert (record.tools, record.images) == ("tools-x", {REF: "k1"})
