"""The store of objects against watches, lists and our own answers that overtake each other."""

from moorage.actions import Manifest
from moorage_operator.store import Store


def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    store, seen = Store(), {"kind": "Bucket", "metadata": {"namespace": "ns", "name": "b", "uid": "u"}}

    def at(version: int) -> Manifest:
        return {**seen, "metadata": {**seen["metadata"], "resourceVersion": str(version)}}

    store.put(at(5))
    store.drop(at(9))

    assert not store.put(at(7)) and store.get("ns", "b") is None
    assert store.put(at(11)) and store.get("ns", "b")  # it left what we select, and came back


def test_what_a_list_did_not_show_may_come_back_as_it_was() -> None:
    store, body = Store(), {"metadata": {"namespace": "ns", "name": "b", "uid": "u", "resourceVersion": "5"}}
    store.put(body)

    store.drop(body)

    assert store.put(body)
