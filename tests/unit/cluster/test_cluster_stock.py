"""What the nodes of a running cluster hold, and what is brought to them."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.archive import Entry, Settings, write_archive
from cluster.layout import Node
from cluster.state import State
from cluster.stock import Stock

REF = "docker.io/moorage/x:1"


@dataclass
class Image:
    ref: str
    archive: Path
    key: str


class Nodes:
    """Takes what is poured, and remembers the names of its members."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []

    def pour(self, node: Node, file: Path) -> None:
        with tarfile.open(file) as tar:
            self.taken.append((node.name, len([name for name in tar.getnames() if name.startswith("blobs/")])))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    state = State("x")
    state.home.mkdir(parents=True)
    return state


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "program").write_text("program")
    write_archive(tmp_path / "x.tar", REF, [Entry("program", tmp_path / "program")], Settings())
    return Image(REF, tmp_path / "x.tar", "k1")


def test_a_new_image_goes_to_every_node_once(state: State, image: Image):
    nodes = Nodes()
    stock = Stock(state, nodes.pour)

    stock.renew([image])
    stock.renew([image])

    assert sorted(nodes.taken) == [("node1", 3), ("node2", 3), ("node3", 3)]


def test_layers_that_the_nodes_have_are_not_sent_again(state: State, image: Image):
    Stock(state, Nodes().pour).load(image.archive)
    nodes = Nodes()

    Stock(state, nodes.pour).load(image.archive)

    assert {blobs for _, blobs in nodes.taken} == {2}


def test_what_failed_to_load_is_loaded_next_time_and_leaves_no_file(state: State, image: Image):
    def refuse(node: Node, file: Path) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        Stock(state, refuse).renew([image])
    nodes = Nodes()
    Stock(state, nodes.pour).renew([image])

    assert len(nodes.taken) == 3
    assert list(state.load.iterdir()) == []
