"""The store against a real engine, over HTTP and over TLS; boto3 is the judge."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3engine

from moorfs.ports import Changed, Condition, Missing, Range, StoreError
from moorfs.s3.connection import Connection
from moorfs.s3.listing import page_of
from moorfs.s3.pool import Pool
from moorfs.s3.store import S3Store

KINDS = ("http", "https", "no keep-alive")


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3engine.Engine]:
    more = () if request.param == "no keep-alive" else ("--keep-alive",)
    with s3engine.running(tmp_path_factory.mktemp("s3"), request.param == "https", more) as found:
        yield found


@pytest.fixture
def make(make_store: Callable[..., S3Store], engine: s3engine.Engine) -> Callable[..., S3Store]:
    def making(bucket: str, **more: Any) -> S3Store:
        return make_store(engine, bucket=bucket, **more)

    return making


@pytest.fixture
def bucket(engine: s3engine.Engine) -> str:
    return engine.bucket()


@pytest.fixture
def store(make: Callable[..., S3Store], bucket: str) -> S3Store:
    return make(bucket)


def file_of(tmp_path: Path, data: bytes) -> int:
    path = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
    path.write_bytes(data)
    return os.open(path, os.O_RDWR)


@pytest.mark.parametrize("size", [0, 1, 70_000, 9 << 20])
def test_bytes_and_metadata_come_back_as_they_were_put(
    store: S3Store, engine: s3engine.Engine, bucket: str, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    fd = file_of(tmp_path, b"before" + data + b"after")

    etag = store.put("a/b c+d%ü", Range(fd, 6, size), {"mode": "33188", "content-type": "text/x-own"})

    there = engine.s3.get_object(Bucket=bucket, Key="a/b c+d%ü")
    assert there["Body"].read() == data
    assert (there["Metadata"], there["ContentType"]) == ({"mode": "33188"}, "text/x-own")
    assert there["ETag"] == f'"{etag}"'
    head = store.head("a/b c+d%ü")
    assert (head.size, head.etag, head.metadata, head.content_type) == (size, etag, {"mode": "33188"}, "text/x-own")
    assert head.mtime == int(there["LastModified"].timestamp()) * 1_000_000_000
    sink = file_of(tmp_path, b"")
    store.read("a/b c+d%ü", Range(sink, 3, size), 0, etag)
    assert os.pread(sink, size + 10, 3) == data


def test_a_range_is_read_to_its_place(store: S3Store, tmp_path: Path) -> None:
    etag = store.put("k", b"0123456789", {})
    sink = file_of(tmp_path, b"........")

    head = store.read("k", Range(sink, 2, 4), 5, etag)

    assert os.pread(sink, 100, 0) == b"..5678.."
    assert (head.size, head.etag) == (10, etag)


def test_small_objects_are_read_whole_and_large_ones_refused(store: S3Store) -> None:
    store.put("k", b"0123456789", {"mode": "41471"})

    head, body = store.get("k")

    assert (head.size, head.metadata, body) == (10, {"mode": "41471"}, b"0123456789")
    with pytest.raises(StoreError) as refused:
        store.get("k", most=9)
    assert refused.value.errno == errno.EFBIG


def test_what_is_missing_is_missing_and_deleting_it_is_fine(store: S3Store, tmp_path: Path) -> None:
    sink = file_of(tmp_path, b"")
    for call in (
        lambda: store.head("none"),
        lambda: store.get("none"),
        lambda: store.read("none", Range(sink, 0, 1), 0, None),
        lambda: store.copy("none", "other"),
    ):
        with pytest.raises(Missing) as missing:
            call()
        assert missing.value.errno == errno.ENOENT
    store.delete("none")
    store.delete_many(["none", "neither"])


def test_a_missing_bucket_is_an_error_and_not_an_empty_one(make: Callable[..., S3Store], tmp_path: Path) -> None:
    store = make("no-such-bucket")
    sink = file_of(tmp_path, b"")
    for call in (
        lambda: store.head("k"),
        lambda: store.get("k"),
        lambda: store.read("k", Range(sink, 0, 1), 0, None),
        lambda: store.list(""),
        lambda: store.put("k", b"x", {}),
        lambda: store.delete("k"),
        lambda: store.begin("k", {}),
    ):
        with pytest.raises(StoreError) as refused:
            call()
        assert (refused.value.errno, refused.value.s3_code) == (errno.EIO, "NoSuchBucket")


def test_a_write_over_what_somebody_else_wrote_is_refused(store: S3Store, engine: s3engine.Engine, bucket: str) -> None:
    etag = store.put("k", b"mine", {}, Condition(absent=True))
    engine.s3.put_object(Bucket=bucket, Key="k", Body=b"theirs")

    for condition in (Condition(match=etag), Condition(absent=True)):
        with pytest.raises(Changed) as refused:
            store.put("k", b"mine again", {}, condition)
        assert refused.value.errno == errno.ESTALE
    engine.s3.delete_object(Bucket=bucket, Key="k")
    with pytest.raises(Changed):
        store.put("k", b"mine again", {}, Condition(match=etag))


def test_an_engine_without_conditions_is_asked_before_a_write(
    make: Callable[..., S3Store], engine: s3engine.Engine, bucket: str
) -> None:
    store = make(bucket, conditional=False)
    etag = store.put("k", b"mine", {}, Condition(absent=True))
    store.put("k", b"mine", {}, Condition(match=etag))
    engine.s3.put_object(Bucket=bucket, Key="k", Body=b"theirs")

    for condition in (Condition(match=etag), Condition(absent=True)):
        with pytest.raises(Changed):
            store.put("k", b"mine again", {}, condition)


def test_a_reader_of_a_changed_object_is_told(store: S3Store, tmp_path: Path) -> None:
    etag = store.put("k", b"old", {})
    store.put("k", b"new and longer", {})
    sink = file_of(tmp_path, b"")

    for start, length, match in ((0, 3, etag), (0, 0, etag), (10, 10, None), (100, 1, None)):
        with pytest.raises(Changed):
            store.read("k", Range(sink, 0, length), start, match)


def test_a_copy_keeps_or_replaces_metadata(store: S3Store) -> None:
    etag = store.put("source ü", b"data", {"mode": "1", "content-type": "text/x-own"})

    copied = store.copy("source ü", "kept", match=etag)
    store.copy("source ü", "source ü", {"mode": "2", "content-type": "text/x-other"})

    kept, replaced = store.head("kept"), store.head("source ü")
    assert (kept.etag, dict(kept.metadata), kept.content_type) == (copied, {"mode": "1"}, "text/x-own")
    assert (dict(replaced.metadata), replaced.content_type) == ({"mode": "2"}, "text/x-other")
    with pytest.raises(Changed):
        store.copy("kept", "other", match="0" * 32)


def test_pages_lead_through_a_listing(store: S3Store) -> None:
    keys = [f"d/{number:03}" for number in range(25)]
    for key in [*keys, "d/sub/x", "d/sub2/", "e"]:
        store.put(key, b"" if key.endswith("/") else b"x", {})

    found: list[str] = []
    prefixes: list[str] = []
    token, pages = None, 0
    while token is not None or not pages:
        page = store.list("d/", token=token, most=10)
        found += [each.key for each in page.objects]
        prefixes += page.prefixes
        token, pages = page.token, pages + 1

    assert (found, prefixes, pages) == (keys, ["d/sub/", "d/sub2/"], 3)
    listed = store.list("", delimiter="", after="d/sub2/").objects
    assert [(each.key, each.size) for each in listed] == [("e", 1)]
    head = store.head("e")
    assert listed[0].etag == head.etag
    assert listed[0].mtime // 1_000_000_000 == head.mtime // 1_000_000_000
    assert store.list("nothing/").objects == ()


def test_odd_keys_survive_put_list_and_delete(store: S3Store) -> None:
    keys = [
        "a&b<c>\"d'",
        "sp ace+plus%41~-_.!*()=;:@,$#?[]",
        "\u00fc\u6f22\U0001f600",
        "tab\there",
        "new\nline",
        "cr\rhere",
    ]
    for key in keys:
        store.put(key, b"x", {})

    assert sorted(each.key.replace("\r", "\n") for each in store.list("").objects) == sorted(
        key.replace("\r", "\n") for key in keys
    )
    store.delete_many(keys)
    assert store.list("").objects == ()


def test_a_key_that_is_no_utf8_is_no_other_key() -> None:
    body = b"<R><EncodingType>url</EncodingType><Contents><Key>a%ff+b</Key></Contents></R>"

    assert [each.key for each in page_of(body).objects] == ["a\udcff b"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [("x" * 1025, errno.ENAMETOOLONG), ("x" * 256, errno.ENAMETOOLONG), ("\udc80", errno.EILSEQ), ("", errno.EINVAL)],
)
def test_keys_that_the_engine_cannot_hold_are_clean_errors(store: S3Store, key: str, expected: int) -> None:
    with pytest.raises(StoreError) as refused:
        store.put(key, b"", {})
    assert refused.value.errno == expected


def test_a_name_that_is_a_file_and_a_folder_is_a_clean_error(store: S3Store) -> None:
    store.put("a", b"file", {})

    with pytest.raises(StoreError) as refused:
        store.put("a/b", b"", {})

    assert refused.value.errno == errno.ENOTDIR


def test_many_are_deleted_in_one_call(store: S3Store) -> None:
    keys = [f"k{number}" for number in range(120)]
    for key in keys:
        store.put(key, b"", {})

    store.delete_many(keys)

    assert store.list("").objects == ()
    assert store.counters()["delete_many"]["calls"] == 1


def test_parts_make_an_object(store: S3Store, engine: s3engine.Engine, bucket: str, tmp_path: Path) -> None:
    data = os.urandom((11 << 20) + 17)
    fd = file_of(tmp_path, data)
    upload = store.begin("big", {"mode": "33188"})

    upload.part(3, Range(fd, 10 << 20, (1 << 20) + 17))
    upload.part(1, Range(fd, 5 << 20, 5 << 20))
    upload.part(1, Range(fd, 0, 5 << 20))
    upload.part(2, Range(fd, 5 << 20, 5 << 20))
    etag = upload.complete(Condition(absent=True))

    there = engine.s3.get_object(Bucket=bucket, Key="big")
    assert there["Body"].read() == data
    assert (there["ETag"], there["Metadata"]) == (f'"{etag}"', {"mode": "33188"})


def test_clean_parts_are_copied_and_not_sent(
    store: S3Store, engine: s3engine.Engine, bucket: str, tmp_path: Path
) -> None:
    data = bytearray(os.urandom(11 << 20))
    fd = file_of(tmp_path, bytes(data))
    etag = store.put("big", Range(fd, 0, len(data)), {})
    data[-4:] = b"tail"
    os.pwrite(fd, b"tail", len(data) - 4)
    upload = store.begin("big", {})

    upload.copy_part(1, "big", 0, 6 << 20, etag)
    upload.part(2, Range(fd, 6 << 20, 5 << 20))
    upload.complete(Condition(match=etag))

    assert engine.s3.get_object(Bucket=bucket, Key="big")["Body"].read() == data
    assert store.counters()["part"]["sent"] == 5 << 20
    with pytest.raises(Changed):
        store.begin("big", {}).copy_part(1, "big", 0, 6 << 20, etag)


def test_parts_of_what_was_stored_in_parts_are_copied(store: S3Store, tmp_path: Path) -> None:
    data = os.urandom(11 << 20)
    fd = file_of(tmp_path, data)
    first = store.begin("big", {})
    first.part(1, Range(fd, 0, 6 << 20))
    first.part(2, Range(fd, 6 << 20, 5 << 20))
    etag = first.complete()
    second = store.begin("big", {})

    second.copy_part(1, "big", 1 << 20, 5 << 20, etag)
    second.part(2, Range(fd, 0, 100))
    second.complete(Condition(match=etag))

    assert store.get("big", most=64 << 20)[1] == data[1 << 20 : 6 << 20] + data[:100]


def test_an_upload_is_refused_at_its_end_when_somebody_else_wrote(store: S3Store, tmp_path: Path) -> None:
    etag = store.put("big", b"before", {})
    upload = store.begin("big", {})
    upload.part(1, Range(file_of(tmp_path, b"mine"), 0, 4))
    store.put("big", b"theirs", {})

    with pytest.raises(Changed):
        upload.complete(Condition(match=etag))

    assert store.get("big")[1] == b"theirs"


def test_unfinished_uploads_are_found_and_aborted(store: S3Store, tmp_path: Path) -> None:
    upload = store.begin("a/big", {})
    upload.part(1, Range(file_of(tmp_path, b"mine"), 0, 4))

    found = list(store.unfinished("a/"))
    store.resume(found[0].key, found[0].upload).abort()
    upload.abort()

    assert [(each.key, each.upload) for each in found] == [("a/big", upload.id)]
    assert list(store.unfinished()) == []
    with pytest.raises(StoreError) as refused:
        upload.part(2, Range(file_of(tmp_path, b"mine"), 0, 4))
    assert (refused.value.errno, refused.value.s3_code) == (errno.EIO, "NoSuchUpload")


def test_an_engine_without_part_copy_says_so(make: Callable[..., S3Store], bucket: str) -> None:
    upload = make(bucket, part_copy=False).begin("big", {})

    with pytest.raises(StoreError) as refused:
        upload.copy_part(1, "big", 0, 6 << 20, "x")

    assert refused.value.errno == errno.ENOSYS


def test_metadata_that_no_header_holds_is_refused(store: S3Store) -> None:
    with pytest.raises(StoreError) as refused:
        store.put("k", b"", {"mode": "1\r\nx-amz-acl: public-read"})

    assert refused.value.errno == errno.EINVAL


def test_one_connection_carries_many_calls_where_the_engine_keeps_it(make: Callable[..., S3Store], bucket: str) -> None:
    waits: list[int] = []
    store = make(bucket, on_wait=lambda: waits.append(1))

    for _ in range(10):
        store.put("k", b"x", {})

    assert len(waits) >= 10
    assert store.counters()["put"] | {"seconds": 0, "buckets": []} == {
        "calls": 10, "errors": 0, "retries": 0, "throttled": 0, "seconds": 0, "sent": 10, "received": 0, "buckets": [],
    }  # fmt: skip


def test_a_range_that_was_read_leaves_its_connection_for_the_next_call(
    make: Callable[..., S3Store], bucket: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    store = make(bucket)
    store.put("k", b"0123456789", {})
    opened: list[object] = []
    real = Pool._open  # pyright: ignore[reportPrivateUsage]

    def opening(pool: Pool) -> Connection:
        opened.append(pool)
        return real(pool)

    monkeypatch.setattr(Pool, "_open", opening)
    sink = file_of(tmp_path, b"")
    for start, length in ((0, 10), (2, 3), (5, 5)):
        store.read("k", Range(sink, 0, length), start, None)
        store.head("k")

    assert len(opened) == (6 if "no keep-alive" in request.node.name else 0)
