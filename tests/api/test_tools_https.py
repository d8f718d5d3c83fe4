"""S3 tools over TLS, by the certificate that the chart makes: all they need is the Secret with its ca.crt."""

import base64
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bed import Bed
from chart import rendered
from s3engines import versity
from s3engines.operated import backend_on
from s3engines.server import Server
from s3tools import Desk, Shell

DOMAIN = "s3.example.com"
MIB = 1 << 20
TLS = {"s3.tls.enabled": "true", "s3.virtualHostDomain": DOMAIN}

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt, tls.crt and tls.key, as the chart makes them for `TLS`."""
    home = tmp_path_factory.mktemp("tls")
    things = rendered(*(word for name, value in TLS.items() for word in ("--set", f"{name}={value}")))
    made = next(each for each in things if (each["kind"], each["metadata"]["name"]) == ("Secret", "moorage-s3-tls"))
    for name, text in made["data"].items():
        (home / name).write_bytes(base64.b64decode(text))
    return home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Path, versitygw_program: Path) -> Iterator[Server]:
    """versitygw with the chart's flags for TLS."""
    names = {"cert": "tls.crt", "key": "tls.key", "admin-cert": "tls.crt", "admin-cert-key": "tls.key"}
    flags = [f"--{flag}={certificate / file}" for flag, file in names.items()]
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("versitygw-https")
        more = (*flags, f"--virtual-domain={DOMAIN}")
        yield versity.start(home, stack, *more, program=versitygw_program, ca=certificate / "ca.crt")


async def trusting(bed: Bed, server: Server, **more: Any) -> str:
    """A StorageBackend on `server` that knows its CA."""
    assert server.ca
    await bed.make("Secret", "ca", "v1", stringData={"ca.crt": server.ca.read_text()})
    return await backend_on(bed, server, caSecret={"name": "ca", "namespace": bed.namespace}, **more)


@pytest.fixture
async def shell(bed: Bed, server: Server, tmp_path: Path) -> AsyncIterator[Shell]:
    yield await Desk(bed, tmp_path).shell(backend=await trusting(bed, server))


@pytest.fixture
async def by_name(bed: Bed, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    """Buckets stand in the host's name. The DNS is missing: the operator's and the tools' names are answered here."""
    resolve = socket.getaddrinfo

    def answer(host: Any, *words: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(DOMAIN) else host, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    named = Server(server.flavor, server.endpoint.replace("127.0.0.1", DOMAIN), server.root, server.admin_endpoint)
    wanted = {"pathStyle": False, "virtualHostDomain": DOMAIN}
    assert server.ca
    backend = await trusting(bed, Server(**{**vars(named), "ca": server.ca}), **wanted)
    shell = await Desk(bed, tmp_path).shell(backend=backend)
    shell.hosts = f"127.0.0.1 localhost {DOMAIN} {shell.bucket}.{DOMAIN}\n"
    yield shell


def parts(shell: Shell, server: Server, key: str) -> int:
    """Of how many parts an object was made, as the server says it in its ETag."""
    etag = server.boto().head_object(Bucket=shell.bucket, Key=key)["ETag"].strip('"')
    return int(etag.partition("-")[2] or 1)


async def aws(shell: Shell, server: Server) -> None:
    """Puts, lists and gets, with more than 8 MiB, which go in parts."""
    where, data = f"s3://{shell.bucket}", os.urandom(9 * MIB)
    shell.file("big", data)
    await shell.run("aws", "s3", "cp", "big", f"{where}/d/big")
    listed = await shell.run("aws", "s3", "ls", f"{where}/d/")
    await shell.run("aws", "s3", "cp", f"{where}/d/big", "back")

    assert ((shell.home / "back").read_bytes() == data, listed.split()[-2:]) == (True, [str(len(data)), "big"])
    assert parts(shell, server, "d/big") == 2


async def s3cmd(shell: Shell, server: Server) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(6 * MIB)
    shell.file("big", data)
    await shell.run("s3cmd", "put", "--multipart-chunk-size-mb=5", "big", f"{where}/d/big")
    listed = await shell.run("s3cmd", "ls", f"{where}/d/")
    await shell.run("s3cmd", "get", f"{where}/d/big", "by-s3cmd")

    assert ((shell.home / "by-s3cmd").read_bytes() == data, listed.split()[-1]) == (True, f"{where}/d/big")
    assert parts(shell, server, "d/big") == 2


async def rclone(shell: Shell, server: Server) -> None:
    where, data = f"moorage:{shell.bucket}", os.urandom(6 * MIB)
    shell.file("big", data)
    await shell.run("rclone", "copy", "big", f"{where}/d", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    listed = await shell.run("rclone", "lsf", "--recursive", "--files-only", where)
    await shell.run("rclone", "copyto", f"{where}/d/big", "by-rclone")
    await shell.run("rclone", "check", "--download", "big", f"{where}/d")

    assert ((shell.home / "by-rclone").read_bytes() == data, listed.split()) == (True, ["d/big"])
    assert parts(shell, server, "d/big") == 2


async def s5cmd(shell: Shell, server: Server, *style: str) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(6 * MIB)
    shell.file("big", data)
    await shell.run("s5cmd", *style, "cp", "--part-size", "5", "big", f"{where}/d/big")
    listed = await shell.run("s5cmd", *style, "ls", f"{where}/d/")
    await shell.run("s5cmd", *style, "cp", f"{where}/d/big", "back")

    assert ((shell.home / "back").read_bytes() == data, listed.split()[-2:]) == (True, [str(len(data)), "big"])
    assert parts(shell, server, "d/big") == 2


async def test_boto3(shell: Shell, server: Server) -> None:
    program = """
import boto3, io, os
from boto3.s3.transfer import TransferConfig
s3, bucket, data = boto3.client("s3"), os.environ["BUCKET"], os.urandom(6 << 20)
s3.upload_fileobj(io.BytesIO(data), bucket, "d/big", Config=TransferConfig(5 << 20, multipart_chunksize=5 << 20))
listed = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="d/")["Contents"]]
print(listed == ["d/big"], s3.get_object(Bucket=bucket, Key="d/big")["Body"].read() == data)
"""
    said = await shell.run("python", "-c", program)

    assert (said.split(), shell.secret["AWS_ENDPOINT_URL"][:8]) == (["True", "True"], "https://")
    assert parts(shell, server, "d/big") == 2


@pytest.mark.parametrize("tool", [aws, s3cmd, rclone, s5cmd])
async def test_tools(shell: Shell, server: Server, tool: Any) -> None:
    await tool(shell, server)


async def test_tools_that_do_not_know_the_ca_refuse_the_server(shell: Shell) -> None:
    (shell.home / "ca.crt").unlink()
    del shell.environment["AWS_CA_BUNDLE"], shell.secret["ca.crt"]
    shell.environment["AWS_MAX_ATTEMPTS"] = "1"

    for argv in (
        ("aws", "s3", "ls", f"s3://{shell.bucket}"),
        ("s3cmd", "ls", f"s3://{shell.bucket}"),
        ("rclone", "lsf", f"moorage:{shell.bucket}", "--retries", "1", "--low-level-retries", "1"),
        ("s5cmd", "--retry-count", "0", "ls", f"s3://{shell.bucket}"),
    ):
        assert "certificate" in (await shell.refused(*argv)).lower()


async def test_buckets_in_the_host_name(by_name: Shell, server: Server) -> None:
    """s3cmd and rclone know it by the Secret's files; aws and s5cmd have to be told."""
    await by_name.run("aws", "configure", "set", "default.s3.addressing_style", "virtual")

    await rclone(by_name, server)
    await s3cmd(by_name, server)
    await aws(by_name, server)
