"""What a list shows: only what is new in it is looked at; and what the index keeps is small."""

from typing import Any

import pytest

from moorage import names
from moorage_operator.index import Index
from moorage_operator.store import Key, slim
from moorage_operator.watch import Router


def volume(at: str, **status: Any) -> dict[str, Any]:
    metadata = {"name": "data", "namespace": "ns", "uid": "u1", "resourceVersion": at}
    return {
        **{"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata},
        **{"spec": {"type": "shared", "size": "1Gi"}, "status": status},
    }


class Line:
    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.index = Index()
        self.router = Router(self.index, self.keys.append, lambda key, _: self.keys.append(key))

    def take(self) -> list[str]:
        taken, self.keys[:] = [str(each) for each in self.keys], []
        return taken


@pytest.fixture
def line() -> Line:
    return Line()


def test_a_list_of_what_was_shown_before_asks_for_no_look(line: Line) -> None:
    line.router.see(volume("5"), listed=True)
    first = line.take()

    line.router.see(volume("5"), listed=True)

    assert (first, line.take()) == (["StorageVolume ns/data"], [])


def test_a_list_shows_what_a_watch_missed(line: Line) -> None:
    line.router.see(volume("5"))
    line.take()

    line.router.see(volume("6"), listed=True)

    assert line.take() == ["StorageVolume ns/data"]


def test_our_own_write_that_no_watch_showed_is_looked_at_when_it_is_listed(line: Line) -> None:
    line.router.see(volume("5"))
    line.take()
    line.index.volumes.put(volume("6", phase="READY"))  # the answer to a write

    line.router.see(volume("6", phase="READY"), listed=True)

    assert line.take() == ["StorageVolume ns/data"]


def test_a_list_that_a_watch_has_overtaken_changes_nothing(line: Line) -> None:
    def namespace(at: str, **labels: str) -> dict[str, Any]:
        metadata = {"name": "team", "uid": "u2", "resourceVersion": at, "labels": labels}
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}

    line.router.see(namespace("100", tier="a"))
    line.router.see(namespace("99", tier="b"), listed=True)

    assert line.index.namespaces == {"team": {"tier": "a"}}


def test_a_watch_event_is_always_looked_at(line: Line) -> None:
    line.router.see(volume("5"))
    line.take()

    line.router.see(volume("5"))

    assert line.take() == ["StorageVolume ns/data"]


def test_a_volume_made_anew_with_the_old_version_is_looked_at(line: Line) -> None:
    line.router.see(volume("5"), listed=True)
    line.router.see(volume("5"), deleted=True)
    line.take()

    line.router.see(volume("5"), listed=True)

    assert line.take() == ["StorageVolume ns/data"]


def test_the_index_keeps_no_managed_fields_and_one_copy_of_equal_strings() -> None:
    one, other = (volume(at, phase="".join(["RE", "ADY"])) for at in ("5", "6"))
    one["metadata"]["managedFields"] = [{"manager": "m"}]

    kept, also = slim(one), slim(other)

    assert "managedFields" not in kept["metadata"]
    assert kept == {**one, "metadata": {k: v for k, v in one["metadata"].items() if k != "managedFields"}}
    assert kept["status"]["phase"] is also["status"]["phase"]
