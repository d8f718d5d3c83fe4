"""Copies within the engine, for renames: requests that the engine gets to late, and big objects."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import fault
import pytest
import s3engine
from datafakes import FakeLog
from fault import Rule
from fusemount import Mount
from test_rename import Killed, kill_at, revived, tree_of
from test_s3_faults import refused
from treerig import Rig
from weather import body

from moorfs import copies
from moorfs.cache import Cache
from moorfs.ports import ALWAYS, Caller, Changed, Condition, Head, StoreError
from moorfs.s3.store import S3Store
from moorfs.settings import Settings

MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def store(make_store: Callable[..., S3Store], engine: s3engine.Engine, proxy: fault.Proxy, bucket: str) -> S3Store:
    return make_store(engine, endpoint=proxy.endpoint, bucket=bucket)


# Of requests that the engine gets to late


@pytest.mark.parametrize("replaced", [False, True])
def test_a_copy_of_a_dead_process_that_the_engine_gets_to_late_overwrites_nothing(rig: Rig, replaced: bool):
    """The fake engine looks at conditions of copies, as Amazon does."""
    rig.write("a", b"moved")
    if replaced:
        rig.write("b", b"old")
    late: list[tuple[object, ...]] = []
    copy = rig.store.copy

    def lost(*given: object, **_: object) -> str:
        late.append(given)
        raise Killed

    rig.store.copy = lost  # type: ignore[method-assign]
    with pytest.raises(Killed):
        rig.rename("a", "b")
    rig.store.copy = copy  # type: ignore[method-assign]
    again = revived(rig, takeover=False)
    again.system.renaming.settle()
    again.write("b", b"newer")

    with pytest.raises(Changed):
        copy(*late[0])  # type: ignore[arg-type]

    assert tree_of(again) == {"a": b"moved", "b": b"newer"}


def test_a_rename_that_comes_again_knows_the_copy_that_the_process_before_made(rig: Rig):
    rig.write("a", b"moved")
    kill_at(rig, "copy", after=True)
    with pytest.raises(Killed):
        rig.rename("a", "b")
    again = revived(rig)
    start = again.store.calls["copy"]

    again.system.rename(1, b"a", 1, b"b", 0, Caller(resent=True))

    assert tree_of(again) == {"b": b"moved"}
    assert again.store.calls["copy"] == start + 1


def test_what_somebody_else_puts_there_meanwhile_is_replaced_as_by_every_rename(rig: Rig):
    rig.write("a", b"moved")
    rig.store.before = lambda kind, key: (
        rig.store.make("b", b"theirs") and None if kind == "copy" and "b" not in rig.store.objects else None
    )

    rig.rename("a", "b")

    assert tree_of(rig) == {"b": b"moved"}


def test_engines_without_conditions_for_copies_are_asked_without(
    store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    etag = store.put("a", b"moved", {})
    seen: list[str | None] = []

    def note(request: fault.Request) -> None:
        seen.append(request.headers.get("if-none-match"))

    proxy.add(Rule(kind="PUT", key="b", times=1, status=501, code="NotImplemented", act=note))
    proxy.add(Rule(kind="PUT", key="b", act=note))

    store.copy("a", "b", None, etag, Condition(absent=True))

    assert seen == ["*", None]
    assert body(engine, bucket, "b") == b"moved"


def test_what_others_write_into_a_folder_while_it_moves_is_there_after_it(
    mount: Callable[..., Mount], proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    """versitygw refuses to remove the marker of a folder with something in it."""
    made = mount(endpoint=proxy.endpoint)

    def make() -> None:
        os.mkdir("d")
        for name in ("one", "two"):
            Path("d", name).write_bytes(b"ours")

    def write(_: fault.Request) -> None:
        for name in ("one", "new"):
            engine.s3.put_object(Bucket=bucket, Key=f"d/{name}", Body=b"theirs")

    made.do(make)
    proxy.add(Rule(kind="LIST", query="prefix=d%2F", skip=1, times=1, act=write))
    made.do(lambda: os.rename("d", "t"))

    keys = {each["Key"] for each in engine.s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {"d/", "d/one", "d/new", "t/", "t/one", "t/two"}
    assert body(engine, bucket, "d/one") == b"theirs"
    assert made.ask("stats")["figures"]["unfinished_renames"] == 0


# Of big objects, on versitygw, which does not look at conditions of CopyObject


@pytest.fixture
def files(store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Objects of more than 5 MiB are big."""
    monkeypatch.setattr(copies, "WHOLE", PART)
    settings = Settings("http://localhost", "b", "key", str(tmp_path / "cache"), "socket")
    return Cache(settings, store, FakeLog(), lambda: None)


def test_a_big_object_is_copied_in_parts_with_its_metadata(
    files: Cache, store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    data = os.urandom(2 * PART + 7)
    etag = store.put("a", data, {"mtime": "1", "content-type": "x/y"})

    copied = files.copy("a", "b", len(data), etag, Condition(absent=True))

    head = store.head("b")
    assert (head.etag, dict(head.metadata), head.content_type) == (copied, {"mtime": "1"}, "x/y")
    assert body(engine, bucket, "b") == data
    assert sum("partNumber" in each.query for each in proxy.calls) == 3
    assert list(Path(files.means.uploads).iterdir()) == []


def test_what_an_upload_would_lose_is_copied_in_one_call(
    files: Cache, store: S3Store, engine: s3engine.Engine, bucket: str
) -> None:
    data = os.urandom(PART + 1)
    engine.s3.put_object(Bucket=bucket, Key="a", Body=data, Tagging="k=v", CacheControl="no-cache")

    files.copy("a", "b", len(data), None, ALWAYS)

    found = engine.s3.head_object(Bucket=bucket, Key="b")
    assert (found["CacheControl"], found["ContentLength"]) == ("no-cache", len(data))
    assert engine.s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "k", "Value": "v"}]


@pytest.mark.parametrize("old", [None, b"old"])
def test_the_completion_of_a_dead_process_that_the_engine_gets_to_late_overwrites_nothing(
    files: Cache, store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, old: bytes | None
) -> None:
    data = os.urandom(PART + 1)
    etag = store.put("a", data, {})
    onto = Condition(match=store.put("b", old, {})) if old else Condition(absent=True)
    held, came, answered = threading.Event(), threading.Event(), threading.Event()

    def hold(_: fault.Request) -> None:
        came.set()
        held.wait(60)

    proxy.add(Rule(kind="POST", query="uploadId", act=hold, edit=lambda _: answered.set()))
    found: list[StoreError] = []
    dying = threading.Thread(target=lambda: found.append(refused(lambda: files.copy("a", "b", len(data), etag, onto))))
    dying.start()
    assert came.wait(60)

    store.close()  # no more of it is heard, but the engine gets what was sent
    dying.join(60)
    engine.s3.put_object(Bucket=bucket, Key="b", Body=b"newer")
    held.set()
    answered.wait(60)

    assert answered.is_set()
    assert found[0].errno == errno.ESHUTDOWN
    assert body(engine, bucket, "b") == b"newer"
    assert [os.readlink(each).partition("\n")[2] for each in Path(files.means.uploads).iterdir()] == ["b"]


def test_a_completion_whose_answer_is_lost_is_known(
    files: Cache, store: S3Store, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    data = os.urandom(PART + 1)
    etag = store.put("a", data, {})
    proxy.add(Rule(kind="POST", query="uploadId", times=1, lose_answer=True))

    files.copy("a", "b", len(data), etag, Condition(absent=True))

    assert body(engine, bucket, "b") == data


def test_a_source_that_somebody_changed_is_not_copied(files: Cache, store: S3Store) -> None:
    data = os.urandom(PART + 1)
    store.put("a", data, {})

    with pytest.raises(Changed):
        files.copy("a", "b", len(data), "0" * 32, Condition(absent=True))


# What is a copy of what


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (Head(3, "e", 0, {}), True),
        (Head(4, "e", 0, {}), False),
        (Head(3, "f", 0, {}), False),
        (Head(3, "f-2", 0, {}), False),  # pieces of a dataset, all of one size
        (Head(3, "e", 0, {"mtime": "1"}), False),
    ],
)
def test_an_object_without_metadata_is_a_copy_if_its_etag_is_the_same(other: Head, alike: bool) -> None:
    assert copies.is_copy(Head(3, "e", 0, {}), other) is alike


def test_a_copy_of_what_came_in_parts_is_known_by_its_time() -> None:
    one = Head(3, "e-2", 0, {"mtime": "1.5"})

    assert copies.is_copy(one, Head(3, "f", 0, {"mtime": "1.5"}))
    assert not copies.is_copy(one, Head(3, "f", 0, {"mtime": "2.5"}))
