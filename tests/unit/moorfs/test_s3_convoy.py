"""HEADs of many objects over a few connections: all that goes well comes, in order, and what does not is left open."""

from collections.abc import Callable
from functools import partial

import fault
import pytest
import s3engine
from fault import Rule

from harness.ports import free_ports
from moorfs.ports import Head, Missing
from moorfs.s3.store import S3Store

MODE = {"mode": "33188"}
KEYS = [f"k{number:03d}" for number in range(60)]


@pytest.fixture
def make(make_store: Callable[..., S3Store], engine: s3engine.Engine, bucket: str) -> Callable[..., S3Store]:
    return partial(make_store, engine, bucket=bucket)


@pytest.fixture
def filled(make: Callable[..., S3Store]) -> None:
    store = make()
    for number, key in enumerate(KEYS):
        store.put(key, b"x" * number, MODE)


def sizes(store: S3Store, keys: list[str]) -> list[int | None]:
    return [head.size if isinstance(head, Head) else None for _, head in store.heads(keys)]


@pytest.mark.usefixtures("filled")
def test_each_key_gets_its_own_answer(make: Callable[..., S3Store]):
    store = make()

    found = [head for _, head in store.heads(KEYS)]

    assert [each.size for each in found if isinstance(each, Head)] == list(range(60))
    assert all(isinstance(each, Head) and each.metadata == MODE for each in found)
    assert store.counters()["head"]["calls"] == 60


def test_keys_with_letters_of_all_kinds_are_signed_for(make: Callable[..., S3Store]):
    store = make()
    odd = ["a b", "50%", "a+b", "ümlaut", "x&y=z?", "~_.-", "deep/er"]
    for key in odd:
        store.put(key, key.encode(), {**MODE, "note": "a: b"})

    found = [head for _, head in store.heads(odd)]

    assert [each.size for each in found if isinstance(each, Head)] == [len(key.encode()) for key in odd]
    assert all(isinstance(each, Head) and each.metadata == {**MODE, "note": "a: b"} for each in found)
    assert found == [store.head(key) for key in odd]


@pytest.mark.usefixtures("filled")
def test_what_is_missing_is_said_to_be_when_the_bucket_is_known_to_be_there(make: Callable[..., S3Store]):
    unsure, sure = make(), make()
    sure.list("")

    doubtful = next(head for _, head in unsure.heads(["none", *KEYS[:20]]))
    missing = [head for _, head in sure.heads(["none", "no more"])]

    assert doubtful is None
    assert all(isinstance(each, Missing) for each in missing)


@pytest.mark.usefixtures("filled")
def test_a_refused_one_is_left_open_and_the_others_come(make: Callable[..., S3Store], proxy: fault.Proxy):
    proxy.add(Rule(kind="HEAD", key="k007", status=503, code="SlowDown"))

    found = sizes(make(endpoint=proxy.endpoint), KEYS)

    assert found == [None if number == 7 else number for number in range(60)]


@pytest.mark.usefixtures("filled")
def test_after_a_broken_connection_the_rest_is_left_open(make: Callable[..., S3Store], proxy: fault.Proxy):
    proxy.add(Rule(kind="HEAD", key="k020", lose_answer=True))
    store = make(endpoint=proxy.endpoint)

    found = sizes(store, KEYS)

    assert found == [*range(20), *[None] * 40]
    assert sizes(store, KEYS[21:]) == list(range(21, 60))


@pytest.mark.usefixtures("filled")
def test_engines_that_close_after_each_answer_are_connected_to_again(make: Callable[..., S3Store], proxy: fault.Proxy):
    proxy.add(Rule(kind="HEAD", edit=lambda headers: headers.update({"connection": "close"})))

    assert sizes(make(endpoint=proxy.endpoint), KEYS) == list(range(60))


@pytest.mark.usefixtures("filled")
def test_who_has_seen_enough_leaves_connections_that_work(make: Callable[..., S3Store]):
    store = make()
    heads = store.heads(KEYS)
    assert [next(heads)[1] is not None for _ in range(13)] == [True] * 13

    heads.close()

    assert store.head("k059").size == 59
    assert sizes(store, KEYS) == list(range(60))


def test_an_engine_that_is_down_answers_nothing(make: Callable[..., S3Store]):
    store = make(endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")

    assert sizes(store, KEYS) == [None] * 60
