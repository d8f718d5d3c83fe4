"""What the tests of bad weather share."""

import json
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fusemount
import s3engine

from harness.ports import free_ports
from moorage import sigv4


def body(engine: s3engine.Engine, bucket: str, key: str) -> bytes:
    return bytes(engine.s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def write(name: str, data: bytes) -> None:
    with open(name, "wb") as file:
        file.write(data)


def read(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


def refusal(work: Callable[[], Any]) -> int:
    """The errno that the mount gave; 0 when it gave none."""
    try:
        work()
    except OSError as error:
        return error.errno or -1
    return 0


def admin(engine: s3engine.Engine, port: int, verb: str, new: str = "", **query: str) -> None:
    """A call of versitygw's admin API with the root key."""
    account = f"<Account><Access>{new}</Access><Secret>{'s' * 40}</Secret><Role>admin</Role></Account>"
    body = account.encode() if new else b""
    host = f"127.0.0.1:{port}"
    asked = sigv4.Request("PATCH", f"/{verb}", {"host": host}, tuple(query.items()), body)
    key = sigv4.Key(engine.access, engine.secret)
    headers = sigv4.signed_headers(asked, key, sigv4.Scope("us-east-1"), datetime.now(UTC))
    url = f"http://{host}/{verb}?{sigv4.encode_query(asked.query)}"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PATCH"), timeout=20) as answer:
        assert answer.status in (200, 201)


@contextmanager
def with_keys(home: Path) -> Generator[tuple[fusemount.Mount, s3engine.Engine, int]]:
    """A mount of an engine of its own, whose admin API listens at the port: keys come and go there."""
    port = free_ports(1)[0]
    with s3engine.running(home / "engine", more=("--keep-alive", f"--admin-port=127.0.0.1:{port}")) as engine:
        made = fusemount.Mount(home / "a", fusemount.make(home / "a", engine, bucket=engine.bucket()))
        made.mount()
        made.start()
        try:
            yield made, engine, port
        finally:
            made.close()


def take_key(made: fusemount.Mount, engine: s3engine.Engine, port: int, name: str) -> bool:
    """A new key is made, and the mount told of it. Whether it was new to the mount: it may have seen it by itself."""
    admin(engine, port, "create-user", new=name)
    fresh = made.home / "fresh"
    fresh.write_text(json.dumps({"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": "s" * 40}))
    fresh.rename(made.settings.key_file)
    return bool(made.ask("rekey")["changed"])
