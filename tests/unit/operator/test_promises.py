"""Room that was promised on a server since it last spoke."""

from typing import Any

import pytest

from moorage import berth
from moorage_operator import promises
from moorage_operator.promises import Promises

GI = 2**30
TWO = berth.taken(2 * GI)
SERVER = ("shared", "nfs-0")


def volume(name: str, state: str = "", engine: str = "ganesha", **status: Any) -> dict[str, Any]:
    placed = {"backend": "shared", "engine": engine, "server": "nfs-0"}
    status = {"placement": placed} | status | ({"share": {"state": state}} if state else {})
    return {"metadata": {"namespace": "ns", "name": name}, "spec": {"size": "2Gi"}, "status": status}


def backend(free: int) -> dict[str, Any]:
    return {"metadata": {"name": "shared"}, "status": {"servers": [{"name": "nfs-0", "freeBytes": free}]}}


def test_what_is_not_served_is_promised_and_a_second_look_counts_once() -> None:
    made = Promises()

    made.put(volume("a"))
    made.put(volume("a", "Creating"))
    made.put(volume("b"))

    assert made.sums() == {SERVER: 2 * TWO}


def test_what_was_served_before_we_looked_is_in_the_servers_word() -> None:
    made = Promises()

    made.put(volume("a", "Served"))

    assert made.sums() == {}


def test_a_served_share_stays_promised_until_its_server_speaks() -> None:
    made = Promises()
    made.told(backend(90))
    made.put(volume("a"))
    made.put(volume("b"))
    made.put(volume("a", "Served"))

    same = made.told(backend(90))
    before = dict(made.sums())
    spoken = made.told(backend(88))

    assert (same, before) == (False, {SERVER: 2 * TWO})
    assert (spoken, made.sums()) == (True, {SERVER: TWO})


def test_a_server_that_tells_of_no_small_change_is_believed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "SPOKEN_FOR", 0.0)
    made = Promises()
    made.put(volume("a"))

    made.put(volume("a", "Served"))

    assert made.sums() == {}


@pytest.mark.parametrize("after", [volume("a", release="Delete"), volume("a", engine="nfs")], ids=["released", "filer"])
def test_what_takes_no_room_is_not_promised(after: dict[str, Any]) -> None:
    made = Promises()
    made.put(volume("a"))

    made.put(after)

    assert made.sums() == {}


def test_a_look_at_the_volume_before_its_place_was_written_takes_nothing_back() -> None:
    made = Promises()
    made.make(("ns", "a"), SERVER, 2 * GI)

    made.put({"metadata": {"namespace": "ns", "name": "a"}, "spec": {"size": "2Gi"}, "status": {}})

    assert made.sums() == {SERVER: TWO}


def test_a_deleted_volume_gives_its_room_back() -> None:
    made = Promises()
    made.put(volume("a"))

    made.drop(("ns", "a"))
    made.drop(("ns", "unknown"))

    assert made.sums() == {}


def test_a_placement_that_names_no_server_is_borne() -> None:
    """The API lets the field be absent; the operator must not end by it."""
    made = Promises()

    made.put(volume("a", placement={"backend": "shared", "engine": "ganesha"}))

    assert made.sums() == {("shared", ""): TWO}
