"""What a mount meets that is not as it should be. None of it loses data, and nobody hangs; where each is tested:

wrong key                 test_bad_weather: a_wrong_key_is_an_error_that_a_new_key_ends_without_a_remount
expired key               here: a_key_that_expired_...
revoked key under load    here: a_key_that_is_revoked_under_load_...
clock skew                test_bad_weather: a_wrong_clock_is_not_seen; test_s3_faults: a_wrong_clock_is_corrected_...
missing bucket            here: a_bucket_that_is_not_there_...
deleted under a mount     test_bad_weather: a_bucket_that_is_deleted_is_an_error_and_not_an_empty_folder
down, with writers        test_bad_weather: writers_wait_for_an_engine_that_is_down_and_go_on (MOORFS_DOWN_SECONDS=300
                          makes it five minutes), a_deadline_ends_the_waiting_and_the_bytes_are_stored_later
slow endpoint             here: a_slow_engine_...; test_s3_faults: a_slow_engine_is_no_dead_one
503 SlowDown              here: an_engine_that_says_slow_down_...; test_bad_weather: throttling_and_broken_answers_...
half-sent answers         test_bad_weather: throttling_and_broken_...; test_s3_faults: a_half_sent_answer_goes_on_...
404 within a ranged read  test_bad_weather: an_object_that_vanishes_under_a_reader_is_an_error_and_no_hang
changed while it is read  test_bad_weather: an_object_that_somebody_changes_is_never_read_mixed
`a` and `a/b`             here: odd_keys_...; test_s3_store: a_name_that_is_a_file_and_a_folder_is_a_clean_error
`//`, `..`, long, UTF-8   here: odd_keys_...; test_tree: keys_that_no_file_system_can_hold_are_left_out_and_counted
"""

import errno
import http.server
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import fault
import pytest
import s3engine
from fault import Rule
from fusemount import Mount
from weather import admin, body, read, refusal, take_key, with_keys, write

Mounting = Callable[..., Mount]
MIB = 1 << 20


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId"])
def test_a_key_that_expired_fails_the_close_and_the_bytes_are_stored_with_the_next(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str, code: str
) -> None:
    made = mount(endpoint=proxy.endpoint)
    made.do(lambda: write("old", b"cached"))
    expired = proxy.add(Rule(status=403, code=code))

    refused = made.do(lambda: refusal(lambda: write("old", b"new")), 60)
    seen = made.do(lambda: read("old"), 60)
    expired.times = 0
    made.ask("store", seconds=30)

    assert refused == errno.EACCES
    assert seen == b"new"
    assert body(engine, bucket, "old") == b"new"


def test_a_key_that_is_revoked_under_load_is_told_to_writers_and_loses_nothing(tmp_path: Path) -> None:
    with with_keys(tmp_path) as (made, engine, port):
        _revoke(made, engine, port)


def _revoke(made: Mount, engine: s3engine.Engine, port: int) -> None:
    def load(writer: int) -> dict[str, int]:
        told: dict[str, int] = {}
        while errno.EACCES not in told.values():
            name = f"{writer}-{len(told)}"
            told[name] = refusal(lambda: write(name, name.encode()))  # noqa: B023
        return told

    take_key(made, engine, port, "first")
    writers = [made.begin(lambda writer=writer: load(writer)) for writer in range(3)]
    until(lambda: made.ask("stats")["figures"].get("stored_bytes_total", 1) > 0)
    time.sleep(0.3)
    admin(engine, port, "delete-user", access="first")
    told = {name: error for each in writers for name, error in each.result(60).items()}
    take_key(made, engine, port, "second")
    until(lambda: made.ask("store", seconds=30)["stored"])

    assert {*told.values()} <= {0, errno.EACCES}
    kept = {each["Key"] for each in engine.s3.list_objects_v2(Bucket=made.settings.bucket).get("Contents", [])}
    assert {name for name, error in told.items() if not error} <= kept
    made.do(lambda: write("later", b"1"), 60)
    assert body(engine, made.settings.bucket, "later") == b"1"


def test_a_bucket_that_is_not_there_is_an_error_until_it_is(mount: Mounting, engine: s3engine.Engine) -> None:
    made = mount(bucket="not-there-yet", ttl=0.1)

    refused = made.do(lambda: [refusal(lambda: os.listdir(".")), refusal(lambda: write("f", b"1"))], 60)
    engine.s3.create_bucket(Bucket="not-there-yet")
    time.sleep(0.3)
    made.do(lambda: write("g", b"2"), 60)

    assert refused == [errno.EIO, errno.EIO]
    assert body(engine, "not-there-yet", "g") == b"2"
    assert "Traceback" not in made.log


def test_a_slow_engine_is_waited_for(mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str) -> None:
    data = os.urandom(6 * MIB)
    engine.s3.put_object(Bucket=bucket, Key="old", Body=data)
    proxy.add(Rule(kind="GET", throttle=3 * MIB))
    proxy.add(Rule(delay=0.7))
    made = mount(endpoint=proxy.endpoint, call_seconds=2.0)

    def work() -> bytes:
        os.mkdir("d")
        write("d/new", data[::-1])
        return read("old")

    assert made.do(work, 120) == data
    assert body(engine, bucket, "d/new") == data[::-1]


def test_an_engine_that_says_slow_down_is_asked_less_and_less_and_nothing_is_lost(
    mount: Mounting, proxy: fault.Proxy, engine: s3engine.Engine, bucket: str
) -> None:
    made = mount(endpoint=proxy.endpoint)
    made.do(lambda: os.listdir("."))
    busy = proxy.add(Rule(status=503, code="SlowDown"))
    proxy.calls.clear()

    writers = [made.begin(lambda name=name: write(name, name.encode())) for name in ("a", "b", "c", "d")]
    with pytest.raises(TimeoutError):
        writers[0].result(5)
    asked = len(proxy.calls)
    busy.times = 0
    for each in writers:
        each.result(60)

    assert asked < 200  # without pauses there would be thousands
    assert [body(engine, bucket, name) for name in ("a", "b", "c", "d")] == [b"a", b"b", b"c", b"d"]


LONGEST = b"/".join([b"k" * 255] * 4)  # 1023 bytes
ODD = [b"a", b"a/b", b"d//x", b"../up", b"x/../y", b"not-\xff-utf8", b"l" * 300, b"fine", b"/root", LONGEST]


class Odd(http.server.BaseHTTPRequestHandler):
    """An engine that has keys which versitygw refuses. Only ListObjectsV2 and HEAD."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        words = self.path.partition("?")[2].split("&")
        prefix = unquote_to_bytes(next((each[7:] for each in words if each.startswith("prefix=")), ""))
        rest = sorted({key[len(prefix) :] for key in ODD if key.startswith(prefix)})
        names = [each for each in rest if b"/" not in each]
        folders = sorted({each.partition(b"/")[0] + b"/" for each in rest if b"/" in each})
        objects = "".join(
            f"<Contents><Key>{quote_from_bytes(prefix + n)}</Key><Size>1</Size></Contents>" for n in names
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{quote_from_bytes(prefix + each)}</Prefix></CommonPrefixes>" for each in folders
        )
        text = f"<R><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{objects}{prefixes}</R>".encode()
        self._answer(200, text)

    def do_HEAD(self) -> None:
        there = unquote_to_bytes(self.path.split("/", 2)[2]) in ODD
        self._answer(200 if there else 404, b"")

    def _answer(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(text) or 1 if self.command == "GET" else 1))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        return


def test_odd_keys_are_left_out_and_break_nothing(mount: Mounting) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        made = mount(endpoint=f"http://127.0.0.1:{server.server_port}")

        def look() -> tuple[list[str], list[str], list[str], int]:
            longest = os.listdir(os.path.dirname(LONGEST).decode())
            return sorted(os.listdir(".")), os.listdir("a"), longest, refusal(lambda: os.stat(b"not-\xff-utf8"))

        names, inside, longest, not_utf8 = made.do(look)
    finally:
        server.shutdown()
        server.server_close()

    assert names == ["a", "d", "fine", "k" * 255, "x"]
    assert (inside, longest, not_utf8) == (["b"], ["k" * 255], errno.ENOENT)
    figures = made.ask("stats")["figures"]
    assert figures["skipped_keys_encoding_total"] >= 1
    assert "Traceback" not in made.log
