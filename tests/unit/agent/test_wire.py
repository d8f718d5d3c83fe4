"""HTTP as the API server speaks it: bodies of each kind, kept connections, streams, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import MoorageError, NotFound, Retry
from moorage.model import BackendServer
from moorage_operator.agent.api import BACKENDS, VOLUMES, Api, Feed, Poll
from moorage_operator.agent.poolreport import BackendReport
from moorage_operator.agent.wire import Access, Wire


@asynccontextmanager
async def server(answer: Callable[[str], bytes | None]) -> AsyncIterator[tuple[Wire, list[str]]]:
    """Answers each request's head by bytes; None closes the connection. Gives a wire to it and the heads seen."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                break
            length = [line.partition(": ")[2] for line in head.splitlines() if line.startswith("Content-Length")]
            body = (await reader.readexactly(int(length[0]))).decode() if length else ""
            heads.append(head + body)
            said = answer(head)
            if said is None:
                break
            writer.write(said)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    wire = Wire(Access(f"http://127.0.0.1:{port}", token="secret"))
    try:
        yield wire, heads
    finally:
        wire.close()
        listening.close()


def plain(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(*chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in (*chunks, b"")
    )


@pytest.mark.parametrize("answer", [plain(b'{"a": 1}'), chunked(b'{"a"', b": 1}")])
async def test_bodies_of_each_kind_are_read_whole(answer: bytes) -> None:
    async with server(lambda _: answer) as (wire, _):
        assert await Api(wire).get("/x") == {"a": 1}


async def test_a_connection_is_used_again_and_one_that_the_server_closed_is_replaced() -> None:
    said: list[bytes | None] = [plain(b"{}"), plain(b"{}"), None, plain(b'{"new": true}')]
    async with server(lambda _: said.pop(0)) as (wire, heads):
        api = Api(wire)
        await api.get("/1")
        await api.get("/2")
        assert await api.get("/3") == {"new": True}
    assert [head.split(" ")[1] for head in heads] == ["/1", "/2", "/3", "/3"]


async def test_an_apply_carries_token_manager_and_body() -> None:
    async with server(lambda _: plain(b"{}")) as (wire, heads):
        await Api(wire).apply_status("/x", "moorage-agent-node-1", {"status": {"a": 1}})
    assert heads[0].startswith("PATCH /x/status?fieldManager=moorage-agent-node-1&force=true HTTP/1.1\r\n")
    assert "Authorization: Bearer secret\r\n" in heads[0]
    assert "Content-Type: application/apply-patch+yaml\r\n" in heads[0]
    assert heads[0].endswith('{"status": {"a": 1}}')


@pytest.mark.parametrize(
    ("status", "error"),
    [("404 Not Found", NotFound), ("409 Conflict", Retry), ("503 Busy", Retry), ("403 Forbidden", MoorageError)],
)
async def test_refusals_carry_the_servers_words(status: str, error: type[MoorageError]) -> None:
    async with server(lambda _: plain(b'{"message": "because"}', status)) as (wire, _):
        with pytest.raises(error, match=r"GET /x: \d+ because"):
            await Api(wire).get("/x?fieldSelector=a")


async def test_a_server_that_is_not_there_is_a_retry() -> None:
    with pytest.raises(Retry, match="GET /x"):
        await Api(Wire(Access("http://127.0.0.1:9"))).get("/x")


async def test_a_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    access = Access("http://127.0.0.1:9", token)
    token.write_text("one\n")
    assert access.authorization() == "Authorization: Bearer one\r\n"
    token.write_text("two\n")
    assert access.authorization() == "Authorization: Bearer two\r\n"
    token.unlink()
    with pytest.raises(MoorageError, match="the pod must mount one"):
        access.authorization()


async def test_a_feed_lists_and_watches_with_its_selector() -> None:
    listed = b'{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"uid": "a", "managedFields": []}}]}'
    events = chunked(
        b'{"type": "ADDED", "object": {"metadata": {"uid": "b"}}}\n{"type": "DEL',
        b'ETED", "object": {"metadata": {"uid": "a"}}}\n',
        b'{"type": "BOOKMARK", "object": {"metadata": {}}}\n',
    )
    said = [plain(listed), events]
    seen: list[tuple[str, bool]] = []
    done = asyncio.Event()

    def changed(uid: str, item: dict[str, Any] | None) -> None:
        seen.append((uid, item is not None))
        if len(seen) == 3:
            done.set()

    async with server(lambda _: said.pop(0) if said else None) as (wire, heads):
        feed = Feed(Api(wire), VOLUMES, changed, "status.placement.server=node-1")
        running = asyncio.create_task(feed.run())
        await asyncio.wait_for(done.wait(), 10)
        running.cancel()

    assert seen == [("a", True), ("b", True), ("a", False)]
    assert "fieldSelector=status.placement.server%3Dnode-1" in heads[0]
    assert "watch=true" in heads[1] and "resourceVersion=7" in heads[1] and "fieldSelector=" in heads[1]
    assert feed.objects.keys() == {"b"}


async def test_a_poll_watches_nothing_and_lists_when_it_is_asked_to() -> None:
    listed = plain(b'{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"uid": "a"}}]}')
    seen: asyncio.Queue[str] = asyncio.Queue()

    async with server(lambda _: listed) as (wire, heads):
        poll = Poll(Api(wire), BACKENDS, lambda uid, _: seen.put_nowait(uid), lambda: 3600.0)
        running = asyncio.create_task(poll.run())
        await asyncio.wait_for(seen.get(), 10)
        poll.look()
        await asyncio.wait_for(seen.get(), 10)
        running.cancel()

    assert [head.split(" ")[1] for head in heads] == [BACKENDS, BACKENDS]


async def test_what_was_told_of_a_backend_is_not_told_again_before_it_is_looked_at_anew() -> None:
    told: list[dict[str, Any]] = []

    class Remembering:
        async def apply_status(self, path: str, manager: str, body: dict[str, Any]) -> None:
            told.append(body)

    engine = {"local": {"namespace": "moorage", "daemonSet": "moorage-local"}}
    metadata = {"name": "local", "resourceVersion": "5"}
    item: dict[str, Any] = {"metadata": metadata, "spec": {"engine": engine}, "status": {"servers": []}}
    report = BackendReport(Remembering())  # type: ignore[arg-type]
    now = BackendServer(name="node-1", total_bytes=1000, free_bytes=500)

    for _ in range(3):
        await report.write(item, now, ())
    await report.write({**item, "metadata": {**metadata, "resourceVersion": "9"}}, now, ())  # somebody took it away

    assert len(told) == 2


async def test_a_watch_goes_on_where_the_last_one_ended_before_all_is_listed_again() -> None:
    listed = plain(b'{"metadata": {"resourceVersion": "7"}, "items": []}')
    first = chunked(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}\n')
    said = [listed, first, chunked(b""), listed]
    asked: asyncio.Queue[str] = asyncio.Queue()

    def answer(head: str) -> bytes | None:
        asked.put_nowait(head.split(" ")[1])
        return said.pop(0) if said else None

    async with server(answer) as (wire, _):
        feed = Feed(Api(wire), VOLUMES, lambda _, __: None, "a=b", watches=2)
        running = asyncio.create_task(feed.run())
        paths = [await asyncio.wait_for(asked.get(), 10) for _ in range(4)]
        running.cancel()

    assert ["watch=true" in each for each in paths] == [False, True, True, False]
    assert "resourceVersion=7" in paths[1] and "resourceVersion=9" in paths[2]


@pytest.mark.parametrize("whole", [chunked(b'{"items": [', b"1, 2, 3]}" + b" " * 20), plain(b'{"items": [1, 2, 3]}')])
async def test_an_answer_that_is_cut_off_anywhere_is_a_retry_and_never_taken_for_all_of_it(whole: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(pieces.pop(0))
        await writer.drain()
        writer.close()

    end = len(whole) - (len(b"0\r\n\r\n") if b"chunked" in whole else 0)
    pieces = [whole[:length] for length in range(end)]
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        api = Api(Wire(Access(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")))
        for _ in range(end):
            with pytest.raises(Retry):
                await api.get("/x")
    assert pieces == []


@pytest.mark.parametrize(
    "said", [b"garbage\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\n\r\n", b"\r\n\r\n", b"HTTP/1.1\r\n\r\n"]
)
async def test_what_is_no_http_is_a_retry(said: bytes) -> None:
    async with server(lambda _: said) as (wire, _):
        with pytest.raises(Retry, match="GET /x"):
            await Api(wire).get("/x")
