"""The embedded engine as the chart can start it: TLS by a certificate of its own CA, and buckets in the host's name."""

import base64
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bed import Bed
from s3engines import versity
from s3engines.operated import key_in
from s3engines.server import Server

from moorage.actions import part
from moorage.bucketpolicy import Grant
from moorage.errors import NotReady
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.s3 import S3

DOMAIN = "s3.example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tls.crt, tls.key; the certificate signed itself, so it is its own CA."""
    home = tmp_path_factory.mktemp("tls")
    names = f"subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.{DOMAIN}"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=moorage-s3"]
    files = ["-keyout", str(home / "tls.key"), "-out", str(home / "tls.crt"), "-addext", names]
    subprocess.run([*make, *files], check=True, capture_output=True, timeout=60)
    return home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Path, versitygw_program: Path) -> Iterator[Server]:
    files = [certificate / "tls.crt", certificate / "tls.key"]
    flags = [f"--{name}={file}" for name, file in zip(("cert", "key"), files, strict=True)]
    admin = [f"--admin-{name}={file}" for name, file in zip(("cert", "cert-key"), files, strict=True)]
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("versitygw-tls")
        more = (*flags, *admin, f"--virtual-domain={DOMAIN}")
        yield versity.start(home, stack, *more, program=versitygw_program, ca=files[0])


async def backend_on(bed: Bed, server: Server, **refs: Any) -> str:
    key = {"AWS_ACCESS_KEY_ID": server.root.access, "AWS_SECRET_ACCESS_KEY": server.root.secret}
    await bed.make("Secret", "tls-root", "v1", stringData=key)
    where = {"endpoint": server.endpoint, "adminEndpoint": server.admin_endpoint, "virtualHostDomain": DOMAIN}
    credentials = {"name": "tls-root", "namespace": bed.namespace}
    name = f"tls-{bed.namespace}"
    await bed.make("StorageBackend", name, spec={"engine": {"s3": {**where, **refs, "credentialsSecret": credentials}}})
    return name


async def test_buckets_and_their_secrets_have_the_ca(bed: Bed, server: Server, certificate: Path) -> None:
    ca = (certificate / "tls.crt").read_text()
    await bed.make("Secret", "ca", "v1", stringData={"ca.crt": ca})
    backend = await backend_on(bed, server, caSecret={"name": "ca", "namespace": bed.namespace})
    await bed.condition(backend, "Ready", "True", "StorageBackend")
    await bed.make("Bucket", "private", spec={"backend": backend, "emptyOnDelete": True})
    await bed.phase("private", "READY", "Bucket")
    key, bucket = await key_in(bed, "private-s3")
    data = part(await bed.get("Secret", "private-s3", "v1"), "data")
    server.boto(key).put_object(Bucket=bucket, Key="k", Body=b"1")
    await bed.delete("Bucket", "private")
    await bed.gone("Bucket", "private")

    assert base64.b64decode(data["ca.crt"]).decode() == ca
    assert base64.b64decode(data["AWS_ENDPOINT_URL"]).decode() == server.endpoint
    assert base64.b64decode(data["S3_USE_HTTPS"]).decode() == "1"


async def test_a_server_that_nobody_known_has_signed_is_not_trusted(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server)

    told = await bed.condition(backend, "Ready", "False", "StorageBackend")
    assert "certificate verify failed" in told["message"]


async def test_a_bucket_answers_by_its_host_name_too(server: Server) -> None:
    key = Key("MOHOSTHOSTHOSTHOSTHO", "h" * 40)
    async with server.opened() as engine:
        await engine.ensure_bucket("by-host")
        await engine.ensure_key(key, (Grant("by-host"),))
        await engine.ensure_access("by-host", {key.access: Access.ReadWrite})
        s3: S3 = replace(engine.s3, key=key)  # type: ignore[attr-defined]
        host = {"host": f"by-host.{DOMAIN}"}
        await s3.call("PUT", "/a/b", body=b"hello", headers=host)

        assert await s3.call("GET", "/by-host/a/b") == b"hello"
        assert b"<Key>a/b</Key>" in await s3.call("GET", "/", (("list-type", "2"),), headers=host)


async def test_plain_http_gets_no_answer(server: Server) -> None:
    plain = replace(server, endpoint=server.endpoint.replace("https", "http"))
    async with plain.opened() as engine:
        with pytest.raises(NotReady):
            await engine.tags("by-host")
