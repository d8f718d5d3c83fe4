"""The API client against an HTTP server that records what it is asked."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from moorage import errors
from moorage_csi.rest import Access, RestApi


class Server(ThreadingHTTPServer):
    """Answers every request with `status` and `body`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.body: dict[str, Any] = {"kind": "Thing"}
        self.asked: list[tuple[str, str, str, str, Any]] = []
        self.connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token, content = self.headers["Authorization"], self.headers.get("Content-Type", "")
        self.server.asked.append((self.command, self.path, token, content, json.loads(data) if data else None))
        body = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server, tmp_path: Path) -> RestApi:
    (tmp_path / "token").write_text("first\n")
    return RestApi(Access(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "token", tmp_path / "ca.crt"))


async def test_get_gives_the_object(client: RestApi, server: Server) -> None:
    assert await client.get("/api/v1/things/x") == {"kind": "Thing"}
    assert server.asked == [("GET", "/api/v1/things/x", "Bearer first", "", None)]


async def test_apply_is_server_side_under_the_drivers_name(client: RestApi, server: Server) -> None:
    await client.apply("/x", {"spec": 1})
    content = "application/apply-patch+yaml"
    assert server.asked == [("PATCH", "/x?fieldManager=moorage-csi&force=true", "Bearer first", content, {"spec": 1})]


async def test_delete_spares_an_object_of_the_same_name(client: RestApi, server: Server) -> None:
    await client.delete("/x", "uid-1")
    assert server.asked[0][4] == {"preconditions": {"uid": "uid-1"}}


async def test_a_rotated_token_is_used_at_once(client: RestApi, server: Server, tmp_path: Path) -> None:
    await client.get("/x")
    (tmp_path / "token").write_text("second")
    await client.get("/x")
    assert [asked[2] for asked in server.asked] == ["Bearer first", "Bearer second"]


async def test_a_connection_is_used_again(client: RestApi, server: Server) -> None:
    for _ in range(3):
        await client.get("/x")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "", errors.InvalidInput),
        (403, "", errors.Forbidden),
        (404, "", errors.NotFound),
        (409, "Conflict", errors.Pending),
        (409, "AlreadyExists", errors.AlreadyExists),
        (422, "", errors.InvalidInput),
        (429, "", errors.Retry),
        (500, "", errors.Retry),
        (418, "", errors.MoorageError),
    ],
)
async def test_a_refusal_becomes_an_error_with_the_servers_words(
    client: RestApi, server: Server, status: int, reason: str, error: type[errors.MoorageError]
) -> None:
    server.status, server.body = status, {"message": "because", "reason": reason}
    with pytest.raises(errors.MoorageError, match=rf"answered {status} to GET /x: because") as caught:
        await client.get("/x")
    assert type(caught.value) is error


async def test_a_server_that_is_not_there_can_be_asked_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    with pytest.raises(errors.Retry, match="does not answer"):
        await RestApi(Access("http://127.0.0.1:1", tmp_path / "token", tmp_path)).get("/x")


async def test_a_pod_without_a_token_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(errors.MoorageError, match="no ServiceAccount token"):
        await RestApi(Access("http://127.0.0.1:1", tmp_path / "none", tmp_path)).get("/x")


def test_a_pod_finds_its_server_and_account() -> None:
    access = Access.from_environment({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"})
    assert access.url == "https://[fd00::1]:6443"
    assert str(access.token_file) == "/var/run/secrets/kubernetes.io/serviceaccount/token"
